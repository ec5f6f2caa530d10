//! The fields of a `config.json`, and everything that is wrong with them.

use serde_json::{Map, Value};

/// The part that describes the language model: `text_config` of a multimodal one, with the fields
/// around it where it has none.
#[derive(Debug)]
pub struct Fields<'a> {
    text: &'a Map<String, Value>,
    around: &'a Map<String, Value>,
    /// Fields that the file leaves to its class, with the class's value.
    pub defaults: &'static [(&'static str, u32)],
    errors: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Fields<'a> {
    pub fn of(value: &'a Value) -> Result<Self, String> {
        let around = value.as_object().ok_or("expected a JSON object, as in config.json")?;
        let nested = ["text_config", "llm_config", "language_config"];
        let text = nested.iter().find_map(|key| around.get(*key)?.as_object()).unwrap_or(around);
        Ok(Self { text, around, defaults: &[], errors: Vec::new(), notes: Vec::new() })
    }

    /// Whether the language model is a part of the file.
    pub fn is_nested(&self) -> bool {
        !std::ptr::eq(self.text, self.around)
    }

    /// A field that is not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let given = self.text.get(name).filter(|value| !value.is_null());
        given.or_else(|| self.around.get(name)).filter(|value| !value.is_null())
    }

    /// Whether the file has the field, even as null.
    pub fn has(&self, name: &str) -> bool {
        self.text.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A whole number, under the first of the names that the file has.
    pub fn whole(&mut self, names: &[&str]) -> Option<u32> {
        for name in names {
            let Some(value) = self.get(name) else { continue };
            let whole = value.as_u64().and_then(|n| u32::try_from(n).ok());
            if whole.is_none_or(|n| n > 1 << 24) {
                self.refuse(format!("{name}: {value}, expected a whole number up to {}", 1 << 24));
            }
            return Some(whole.unwrap_or(1));
        }
        let (name, value) =
            names.iter().find_map(|name| self.defaults.iter().find(|(known, _)| known == name))?;
        self.note(format!("{name} is not in config.json; {value} is its class's default."));
        Some(*value)
    }

    /// As [`Self::whole`], of a field that must be there and above 0.
    pub fn needed(&mut self, names: &[&str]) -> u32 {
        match self.whole(names) {
            Some(0) => {
                self.refuse(format!("{}: 0, expected at least 1", names.join(" or ")));
                1
            }
            Some(whole) => whole,
            None => {
                self.refuse(format!("{}: missing, expected a whole number", names.join(" or ")));
                1
            }
        }
    }

    /// Notes what cannot be used.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.errors.push(why.into());
    }

    /// Notes a sentence for the reader of the file that is made from this one.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Errors and notes.
    pub fn finish(self) -> (Vec<String>, Vec<String>) {
        (self.errors, self.notes)
    }
}
