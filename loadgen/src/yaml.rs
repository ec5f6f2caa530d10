//! The small part of YAML that configurations and reports need: maps in order, lists and plain values. It is written as
//! text, or as JSON for machines.

use serde_json::Value;

/// The entries of a map, in order.
pub type Entries = Vec<(&'static str, Node)>;

/// A value of a document.
#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    Text(String),
    /// As it is written.
    Number(String),
    Flag(bool),
    List(Vec<Node>),
    Map(Entries),
    /// A map whose keys are data.
    Record(Vec<(String, Node)>),
}

/// The entry of a number, unless the project has its value built in.
pub fn unless(built_in: &str, key: &'static str, value: String) -> Option<(&'static str, Node)> {
    (value != built_in).then_some((key, Node::Number(value)))
}

impl Node {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number from its text, which Rust wrote.
    pub fn number(text: impl Into<String>) -> Self {
        Self::Number(text.into())
    }

    /// A map of those entries that are there.
    pub fn map(entries: impl IntoIterator<Item = Option<(&'static str, Self)>>) -> Self {
        Self::Map(entries.into_iter().flatten().collect())
    }

    /// The same data. A key without a value is left out.
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Number("null".to_owned()),
            Value::Bool(flag) => Self::Flag(*flag),
            // Readers of YAML 1.1 take 1e-5 for a text, so there are no exponents.
            Value::Number(number) => Self::Number(match number.as_f64() {
                Some(float) if number.is_f64() => float.to_string(),
                _ => number.to_string(),
            }),
            Value::String(text) => Self::text(text),
            Value::Array(values) => Self::List(values.iter().map(Self::from_json).collect()),
            Value::Object(entries) => {
                let there = entries.iter().filter(|(_, value)| !value.is_null());
                Self::Record(
                    there.map(|(key, value)| (key.clone(), Self::from_json(value))).collect(),
                )
            }
        }
    }

    /// The entries of a map, in order, with their keys as they are written.
    fn entries(&self) -> Vec<(String, &Self)> {
        match self {
            Self::Map(entries) => {
                entries.iter().map(|(key, node)| ((*key).to_owned(), node)).collect()
            }
            Self::Record(entries) => {
                entries.iter().map(|(key, node)| (scalar(key), node)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The document, with a line end after the last line.
    pub fn document(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(text) => {
                serde_json::from_str(text).expect("a number that Rust wrote is one in JSON")
            }
            Self::Flag(flag) => (*flag).into(),
            Self::List(nodes) => nodes.iter().map(Self::json).collect(),
            Self::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| ((*key).to_owned(), node.json())).collect(),
            ),
            Self::Record(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.clone(), node.json())).collect(),
            ),
        }
    }

    /// Whether it stands on the line of its key.
    fn inline(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(scalar(text)),
            Self::Number(text) => Some(text.clone()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::List(nodes) => nodes.is_empty().then(|| "[]".to_owned()),
            Self::Map(_) | Self::Record(_) => self.entries().is_empty().then(|| "{}".to_owned()),
        }
    }

    /// Each line begins with `depth` spaces.
    fn write(&self, out: &mut String, depth: usize) {
        let indent = " ".repeat(depth);
        if let Some(text) = self.inline() {
            out.push_str(&format!("{indent}{text}\n"));
            return;
        }
        match self {
            Self::Map(_) | Self::Record(_) => {
                for (key, node) in self.entries() {
                    match node.inline() {
                        Some(text) => out.push_str(&format!("{indent}{key}: {text}\n")),
                        None => {
                            out.push_str(&format!("{indent}{key}:\n"));
                            node.write(out, depth + 2);
                        }
                    }
                }
            }
            Self::List(nodes) => {
                for node in nodes {
                    let mut item = String::new();
                    node.write(&mut item, depth + 2);
                    out.push_str(&format!("{indent}- {}", &item[depth + 2..]));
                }
            }
            Self::Text(_) | Self::Number(_) | Self::Flag(_) => {}
        }
    }
}

/// A text, in quotes unless it can be read as nothing but a text.
fn scalar(text: &str) -> String {
    const READ_OTHERWISE: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && text.len() > 1
        && !READ_OTHERWISE.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_lists_are_indented_and_doubtful_texts_are_quoted() {
        let document = Node::Map(vec![
            ("kind", Node::text("EndpointPickerConfig")),
            ("url", Node::text("http://localhost:8000")),
            ("no", Node::text("No")),
            ("empty", Node::List(Vec::new())),
            (
                "all",
                Node::List(vec![
                    Node::Map(vec![
                        ("type", Node::text("queue-scorer")),
                        ("parameters", Node::Map(vec![("weight", Node::number("0.5"))])),
                    ]),
                    Node::Map(vec![(
                        "inner",
                        Node::List(vec![Node::text("kv@"), Node::Flag(true)]),
                    )]),
                ]),
            ),
        ]);
        let expected = "kind: EndpointPickerConfig\nurl: \"http://localhost:8000\"\nno: \"No\"\nempty: []\nall:\n  \
                        - type: queue-scorer\n    parameters:\n      weight: 0.5\n  - inner:\n      - \"kv@\"\n      - true\n";
        assert_eq!(document.document(), expected);
        assert_eq!(document.json()["all"][0]["parameters"]["weight"], 0.5);
        assert_eq!(document.json()["all"][1]["inner"][0], "kv@");
    }

    #[test]
    fn data_keep_their_kinds_for_readers_of_yaml_1_1() {
        let data = serde_json::json!({
            "small": 0.000_01, "none": null, "y": "1.5", "whole": 3, "list": [true, null, "a: b"], "empty": {}
        });
        let expected = "empty: {}\nlist:\n  - true\n  - null\n  - \"a: b\"\nsmall: 0.00001\nwhole: 3\n\"y\": \"1.5\"\n";
        let node = Node::from_json(&data);
        assert_eq!(node.document(), expected);
        assert_eq!(node.json()["list"], data["list"]);
    }
}
