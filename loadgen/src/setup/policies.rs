//! The policies of a comparison: from the command line, or from the scenario file.

use crate::files::{bad, bad_field};
use anyhow::Result;
use serde::{Deserialize, Serialize, Serializer};
use warmpath_core::routing::policy::{NamedPolicy, PolicyConfig, check_labels, parse_policies};

/// A `[[policy]]` of a scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// The rule.
    pub name: String,
    /// What reports call it. The canonical spelling unless given.
    pub label: Option<String>,
    /// Values of the rule's parameters, those that differ from its defaults.
    #[serde(default)]
    pub parameters: toml::Table,
}

impl PolicyFile {
    fn resolve(&self) -> Result<NamedPolicy, String> {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let given: Vec<(&str, String)> =
            self.parameters.iter().map(|(key, value)| (key.as_str(), text(value))).collect();
        let given = given.iter().map(|(key, value)| (*key, value.as_str()));
        let policy = PolicyConfig::with(&self.name, given).map_err(|error| error.to_string())?;
        let label = self.label.clone().unwrap_or_else(|| policy.to_string());
        if label.trim().is_empty() {
            return Err("label: empty, expected a name".to_owned());
        }
        Ok(NamedPolicy { label, policy })
    }
}

/// The policies of `--policies`.
pub fn of_flag(list: &str) -> Result<Vec<NamedPolicy>> {
    if list.trim() == "all" {
        return Ok(PolicyConfig::ALL.iter().map(|&policy| policy.into()).collect());
    }
    let err = |error| bad(format!("--policies: {error}"));
    let policies = parse_policies(list).map_err(err)?;
    check_labels(&policies).map_err(err)?;
    Ok(policies)
}

/// The policies of a scenario file: `policies`, or `[[policy]]` tables.
pub fn of_file(
    spelled: Option<&[PolicyConfig]>,
    tables: &[PolicyFile],
    origin: &str,
    text: &str,
) -> Result<Vec<NamedPolicy>> {
    let err = |field: &str, why: &str| bad_field(origin, text, field, why);
    let (field, policies) = match (spelled, tables) {
        (Some(_), [_, ..]) => {
            return Err(err("policies", "stands beside [[policy]], expected one of the two"));
        }
        (Some(spelled), []) => {
            ("policies", spelled.iter().map(|&policy| policy.into()).collect::<Vec<_>>())
        }
        (None, tables) => {
            let resolve = |table: &PolicyFile| {
                table.resolve().map_err(|why| err("policy", &format!("\"{}\": {why}", table.name)))
            };
            ("policy", tables.iter().map(resolve).collect::<Result<Vec<_>>>()?)
        }
    };
    if policies.is_empty() {
        let why = "missing, expected policies = [..] or at least one [[policy]]";
        return Err(bad(format!("{origin}: policies: {why}")));
    }
    check_labels(&policies).map_err(|error| err(field, &error.to_string()))?;
    Ok(policies)
}

/// As they are spelled; one whose label is another, with its label.
pub fn as_spelled<S: Serializer>(
    policies: &[NamedPolicy],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.iter().map(Spelled))
}

/// The label of one of them.
pub fn as_label<S: Serializer>(policy: &NamedPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&policy.label)
}

struct Spelled<'a>(&'a NamedPolicy);

impl Serialize for Spelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(named) = self;
        if named.label == named.policy.to_string() {
            named.policy.serialize(serializer)
        } else {
            named.serialize(serializer)
        }
    }
}
