//! Parts of a body that are read without keeping more than they take on the wire.

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// Whether a field asks for something: `null`, `false`, `0`, `""`, `[]` and `{}` do not. Its value is not
/// kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Given(pub bool);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Given, E> {
                Ok(Given(false))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Given, E> {
                Ok(Given(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Given, E> {
                Ok(Given(value != 0))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Given, E> {
                Ok(Given(value != 0))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Given, E> {
                Ok(Given(value != 0.0))
            }

            fn visit_str<E>(self, value: &str) -> Result<Given, E> {
                Ok(Given(!value.is_empty()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given, A::Error> {
                let mut any = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(Given(any))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
                let mut any = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(Given(any))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A list of up to `MOST` items. A longer one is an error before it takes memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpTo<T, const MOST: usize>(pub Vec<T>);

impl<T, const MOST: usize> Default for UpTo<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for UpTo<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
            type Value = UpTo<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of up to {MOST} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if all.len() == MOST {
                        return Err(A::Error::invalid_length(MOST + 1, &self));
                    }
                    all.push(item);
                }
                Ok(UpTo(all))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_asks_for_something_or_not() {
        for text in ["null", "false", "0", "0.0", "\"\"", "[]", "{}"] {
            assert_eq!(serde_json::from_str::<Given>(text).unwrap(), Given(false), "{text}");
        }
        for text in ["true", "1", "-1", "0.5", "\"x\"", "[null]", "{\"a\": 1}", "[[[]]]"] {
            assert_eq!(serde_json::from_str::<Given>(text).unwrap(), Given(true), "{text}");
        }
    }

    #[test]
    fn a_list_ends_at_its_bound() {
        assert_eq!(serde_json::from_str::<UpTo<u32, 2>>("[1, 2]").unwrap().0, [1, 2]);
        let error = serde_json::from_str::<UpTo<u32, 2>>("[1, 2, 3]").unwrap_err().to_string();
        assert!(error.starts_with("invalid length 3, expected a list of up to 2 items"), "{error}");
    }
}
