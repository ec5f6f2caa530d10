//! How a profile names its model.

use super::model::Model;
use core::fmt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The name of a model's file, or the model itself: a `[model]` table in the profile.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum ModelRef {
    /// A built-in name, or a file.
    Named(String),
    /// Its sizes.
    Own(Box<Model>),
}

impl From<String> for ModelRef {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ModelRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model's name, its file, or a [model] table")
            }

            fn visit_str<E>(self, name: &str) -> Result<ModelRef, E> {
                Ok(ModelRef::Named(name.into()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ModelRef, M::Error> {
                let model = Model::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ModelRef::Own(Box::new(model)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
