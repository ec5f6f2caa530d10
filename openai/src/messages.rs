//! The messages of a chat.

use crate::given::{Given, UpTo};
use crate::problem::Problem;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// The most messages of one request, and the most parts of one message.
pub const MOST_MESSAGES: usize = 16_384;
const MOST_PARTS: usize = 4_096;
/// The most bytes of the tool calls of one message.
const MOST_CALL_BYTES: usize = 64 << 10;

/// One message. Other fields than these have no effect.
#[derive(Clone, Deserialize, Debug)]
#[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only a template reads all of them"))]
pub struct Message {
    pub role: String,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Calls of an earlier answer. They are a part of the prompt, as they were sent.
    #[serde(default, deserialize_with = "unless_null")]
    pub tool_calls: Option<Box<RawValue>>,
    #[serde(default)]
    pub audio: Given,
}

fn unless_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok((!matches!(raw.get(), "null" | "[]")).then_some(raw))
}

#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    Parts(UpTo<Part, MOST_PARTS>),
}

/// By hand: serde's own choice between forms first keeps any value, however large it becomes.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of parts with `type` and `text`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Content, A::Error> {
                UpTo::deserialize(SeqAccessDeserializer::new(seq)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Clone, Deserialize, Debug)]
pub struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
}

impl Message {
    /// The text of the message: its parts, one after the other.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match &self.content {
            None => "".into(),
            Some(Content::Text(text)) => text.into(),
            Some(Content::Parts(parts)) => {
                parts.0.iter().filter_map(|part| part.text.as_deref()).collect::<String>().into()
            }
        }
    }
}

/// What makes the messages unusable, by field.
pub fn check(messages: &[Message]) -> Result<(), Problem> {
    if messages.is_empty() {
        return Err(Problem::field("messages", "0, expected at least 1"));
    }
    for (i, message) in messages.iter().enumerate() {
        let err =
            |field: &str, why: String| Err(Problem::field(&format!("messages[{i}].{field}"), why));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if message.role.is_empty() || message.role.len() > 64 || !message.role.chars().all(plain) {
            return err("role", "expected a name such as system, user or assistant".to_owned());
        }
        if message.audio.0 {
            return err("audio", "not supported, expected text".to_owned());
        }
        if let Some(Content::Parts(parts)) = &message.content {
            for (j, part) in parts.0.iter().enumerate() {
                let at = format!("content[{j}].type");
                if !["text", "input_text", "output_text", "refusal"].contains(&&*part.r#type) {
                    let mut kind = part.r#type.clone();
                    kind.truncate(kind.floor_char_boundary(64));
                    return err(&at, format!("'{kind}' is not supported, expected text"));
                }
            }
        }
        let bytes = message.tool_calls.as_ref().map_or(0, |calls| calls.get().len());
        if bytes > MOST_CALL_BYTES {
            let why = format!("{bytes} bytes, expected at most {MOST_CALL_BYTES}");
            return err("tool_calls", why);
        }
    }
    Ok(())
}
