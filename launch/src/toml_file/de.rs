//! Reads a parsed TOML document, with some keys left out and some fields made up.

use super::anything::Anything;
use super::error::Error;
use super::place;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// What is read otherwise than it stands in the file. Fields are named by their paths.
#[derive(Default, Debug)]
pub struct Repairs {
    /// Bad values, and unknown keys.
    pub left_out: BTreeSet<String>,
    /// By table: the fields that it lacks, each with what it should have been.
    supplied: BTreeMap<String, BTreeMap<String, RefCell<String>>>,
}

impl Repairs {
    /// Makes a field up from now on. Whether it was not made up before.
    pub fn supply(&mut self, path: &str) -> bool {
        let (table, field) = path.rsplit_once('.').unwrap_or(("", path));
        let of = self.supplied.entry(table.to_owned()).or_default();
        of.insert(field.to_owned(), RefCell::default()).is_none()
    }

    /// What a field that is made up should have been, in words.
    pub fn expected(&self, path: &str) -> String {
        let (table, field) = path.rsplit_once('.').unwrap_or(("", path));
        let asked = self.supplied.get(table).and_then(|of| of.get(field));
        let asked = asked.map(|asked| asked.borrow().clone()).unwrap_or_default();
        if asked.is_empty() { "a value".to_owned() } else { asked }
    }

    /// All fields that are read otherwise than they stand in the file.
    pub fn all(&self) -> BTreeSet<String> {
        let supplied = self.supplied.iter();
        let supplied =
            supplied.flat_map(|(table, of)| of.keys().map(move |field| join(table, field)));
        supplied.chain(self.left_out.iter().cloned()).collect()
    }

    fn of(&self, table: &str) -> impl Iterator<Item = (&String, &RefCell<String>)> {
        self.supplied.get(table).into_iter().flatten()
    }
}

/// The path of a field of a table.
pub fn join(table: &str, field: &str) -> String {
    if table.is_empty() { field.to_owned() } else { format!("{table}.{field}") }
}

/// A value of the document.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    value: Value<'a>,
    span: Range<usize>,
    path: String,
    repairs: &'a Repairs,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Root(&'a DeTable<'a>),
    Inner(&'a DeValue<'a>),
}

impl<'a> Node<'a> {
    pub fn root(table: &'a DeTable<'a>, span: Range<usize>, repairs: &'a Repairs) -> Self {
        Self { value: Value::Root(table), span, path: String::new(), repairs }
    }

    fn child(&self, path: String, start: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        let span = start..value.span().end.max(start);
        Self { value: Value::Inner(value.get_ref()), span, path, repairs: self.repairs }
    }

    const fn table(&self) -> Option<&'a DeTable<'a>> {
        match self.value {
            Value::Root(table) | Value::Inner(DeValue::Table(table)) => Some(table),
            Value::Inner(_) => None,
        }
    }

    fn here(&self) -> impl Fn(Error) -> Error + use<> {
        let (path, start) = (self.path.clone(), self.span.start);
        move |error| error.at(&path, start)
    }

    fn entries(&self, table: &'a DeTable<'a>) -> Entries<'a> {
        let entries = table.iter().map(|(key, value)| {
            let node = self.child(join(&self.path, key.get_ref()), place::start(key, value), value);
            (key.get_ref().as_ref(), node)
        });
        let is_left_out = |node: &Node<'_>| self.repairs.left_out.contains(&node.path);
        Entries {
            path: self.path.clone(),
            entries: entries.filter(|(_, node)| !is_left_out(node)).collect(),
            made_up: self.repairs.of(&self.path).map(|(name, asked)| (&**name, asked)).collect(),
            next: Next::None,
        }
    }
}

impl<'de, 'a: 'de> Deserializer<'de> for Node<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let here = self.here();
        let value = match self.value {
            Value::Root(table) => return visitor.visit_map(self.entries(table)).map_err(here),
            Value::Inner(value) => value,
        };
        match value {
            DeValue::String(text) => visitor.visit_borrowed_str(text),
            DeValue::Integer(number) => {
                let digits = |radix| i64::from_str_radix(number.as_str(), radix);
                match digits(number.radix()) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => match u64::from_str_radix(number.as_str(), number.radix()) {
                        Ok(number) => visitor.visit_u64(number),
                        Err(_) => Err(Error::other(format!("{number}, expected a smaller number"))),
                    },
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || number.as_str().contains("inf") => {
                    visitor.visit_f64(value)
                }
                Ok(value) if value.is_nan() => visitor.visit_f64(value),
                _ => Err(Error::other(format!("{number}, expected a smaller number"))),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(_) => Err(Error::other("a date, expected another kind of value")),
            DeValue::Array(list) => visitor.visit_seq(Items { of: self, list, next: 0 }),
            DeValue::Table(table) => visitor.visit_map(self.entries(table)),
        }
        .map_err(here)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let here = self.here();
        visitor.visit_newtype_struct(self).map_err(here)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let here = self.here();
        if is_spanned(name) {
            let span = self.span.clone();
            return visitor.visit_map(SpannedDeserializer::new(Inside(self), span)).map_err(here);
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let here = self.here();
        match (self.value, self.table()) {
            (Value::Inner(DeValue::String(text)), _) => {
                visitor.visit_enum(BorrowedStrDeserializer::new(text)).map_err(here)
            }
            (_, Some(table)) => {
                let mut entries = self.entries(table).entries.into_iter();
                match (entries.next(), entries.next()) {
                    (Some((name, node)), None) => {
                        visitor.visit_enum(Variant { name, node }).map_err(here)
                    }
                    _ => {
                        let known = variants.join(", ");
                        Err(here(Error::other(format!("expected exactly one of: {known}"))))
                    }
                }
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The value inside a [`toml::Spanned`].
struct Inside<'a>(Node<'a>);

impl<'de, 'a: 'de> serde::de::IntoDeserializer<'de, Error> for Inside<'a> {
    type Deserializer = Node<'a>;

    fn into_deserializer(self) -> Node<'a> {
        self.0
    }
}

/// The keys of a table, then the fields that are made up.
struct Entries<'a> {
    path: String,
    entries: Vec<(&'a str, Node<'a>)>,
    made_up: Vec<(&'a str, &'a RefCell<String>)>,
    next: Next<'a>,
}

enum Next<'a> {
    None,
    Node(Node<'a>),
    MadeUp(Anything<'a>),
}

impl<'de, 'a: 'de> MapAccess<'de> for Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.entries.is_empty() {
            let (name, node) = self.entries.remove(0);
            let here = node.here();
            self.next = Next::Node(node);
            return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some).map_err(here);
        }
        let Some((name, asked)) = self.made_up.pop() else { return Ok(None) };
        self.next = Next::MadeUp(Anything { asked });
        let path = join(&self.path, name);
        let key = seed.deserialize(BorrowedStrDeserializer::new(name));
        key.map(Some).map_err(|error: Error| error.at(&path, 0))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Node(node) => {
                let here = node.here();
                seed.deserialize(node).map_err(here)
            }
            Next::MadeUp(anything) => seed.deserialize(anything),
            Next::None => Err(Error::other("a value without a key")),
        }
    }
}

struct Items<'a> {
    of: Node<'a>,
    list: &'a DeArray<'a>,
    next: usize,
}

impl<'de, 'a: 'de> SeqAccess<'de> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        while let Some(item) = self.list.get(self.next) {
            let path = format!("{}[{}]", self.of.path, self.next);
            self.next += 1;
            if self.of.repairs.left_out.contains(&path) {
                continue;
            }
            let node = self.of.child(path, item.span().start, item);
            let here = node.here();
            return seed.deserialize(node).map(Some).map_err(here);
        }
        Ok(None)
    }
}

/// A variant with its content: a table with one key.
struct Variant<'a> {
    name: &'a str,
    node: Node<'a>,
}

impl<'de, 'a: 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Node<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Node<'a>), Error> {
        let here = self.node.here();
        let name = seed.deserialize(BorrowedStrDeserializer::new(self.name)).map_err(here)?;
        Ok((name, self.node))
    }
}

impl<'de, 'a: 'de> VariantAccess<'de> for Node<'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.table() {
            Some(table) if table.is_empty() => Ok(()),
            _ => Err(self.here()(Error::other("given, expected the name alone"))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let here = self.here();
        seed.deserialize(self).map_err(here)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}
