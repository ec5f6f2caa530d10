//! A plausible value for a field that a file lacks, so that reading can go on behind it.

use super::error::{Error, Kind};
use super::words;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, VariantAccess, Visitor,
};
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use std::cell::RefCell;

/// Answers whatever it is asked for, and notes what that was.
#[derive(Clone, Copy, Debug)]
pub struct Anything<'a> {
    /// What the field should have been, in words.
    pub asked: &'a RefCell<String>,
}

impl Anything<'_> {
    fn note(&self, what: impl Into<String>) {
        let mut asked = self.asked.borrow_mut();
        if asked.is_empty() {
            *asked = what.into();
        }
    }
}

macro_rules! whole {
    ($($method:ident $kind:literal $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.note(words::whole($kind));
            visitor.$visit(1).map_err(made_up)
        }
    )*};
}

/// Its errors are not the user's.
fn made_up(_: Error) -> Error {
    Error { path: "?".to_owned(), start: 0, kind: Kind::MadeUp }
}

impl<'de> Deserializer<'de> for Anything<'_> {
    type Error = Error;

    whole! {
        deserialize_u8 "u8" visit_u8
        deserialize_u16 "u16" visit_u16
        deserialize_u32 "u32" visit_u32
        deserialize_u64 "u64" visit_u64
        deserialize_u128 "u128" visit_u128
        deserialize_i8 "i" visit_i8
        deserialize_i16 "i" visit_i16
        deserialize_i32 "i" visit_i32
        deserialize_i64 "i" visit_i64
        deserialize_i128 "i" visit_i128
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("a value");
        visitor.visit_f64(1.0).map_err(made_up)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("a number");
        visitor.visit_f64(1.0).map_err(made_up)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("true or false");
        visitor.visit_bool(false).map_err(made_up)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("a text in quotes");
        visitor.visit_str("x").map_err(made_up)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("a list");
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(std::iter::empty::<u8>()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor).map_err(made_up)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor).map_err(made_up)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("a table");
        visitor.visit_map(Fields { of: self, names: &[] }).map_err(made_up)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if is_spanned(name) {
            return visitor.visit_map(SpannedDeserializer::new(self, 0..0)).map_err(made_up);
        }
        self.note("a table");
        visitor.visit_map(Fields { of: self, names }).map_err(made_up)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(format!("one of: {}", variants.join(", ")));
        visitor.visit_enum(First { of: self, variants }).map_err(made_up)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, Error> for Anything<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Every field of a struct.
struct Fields<'a> {
    of: Anything<'a>,
    names: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((first, rest)) = self.names.split_first() else { return Ok(None) };
        self.names = rest;
        seed.deserialize(name(first)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.of)
    }
}

/// The first variant of an enum.
struct First<'a> {
    of: Anything<'a>,
    variants: &'static [&'static str],
}

impl<'de, 'a> EnumAccess<'de> for First<'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(name(self.variants.first().unwrap_or(&"")))?, self))
    }
}

impl<'de> VariantAccess<'de> for First<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.of)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.of.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { of: self.of, names })
    }
}

fn name<'de>(text: &'static str) -> BorrowedStrDeserializer<'de, Error> {
    BorrowedStrDeserializer::new(text)
}
