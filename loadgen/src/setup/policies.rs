//! The policies of a comparison, from the command line or from the scenario file.

use crate::files::{bad, bad_field, bad_place};
use anyhow::Result;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use warmpath_core::routing::policy::{
    Hold, NamedPolicy, PolicyConfig, PolicyError, check_labels, parse_policies,
};

/// One `[[policy]]` table of a scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Name of the rule.
    name: Spanned<String>,
    /// The name in reports. Default: the rule with its parameters.
    label: Option<Spanned<String>>,
    /// Parameters of the rule. The others have their defaults.
    #[serde(default)]
    parameters: Values,
    /// Parameters of late binding. None: requests do not wait in the router.
    hold: Option<Values>,
}

type Values = BTreeMap<String, Spanned<toml::Value>>;

/// The bytes of the file that are wrong, and why.
type Fault = (Range<usize>, String);

impl PolicyFile {
    fn resolve(&self) -> Result<NamedPolicy, Fault> {
        let err =
            |values| move |error: PolicyError| (self.place_of(values, &error), error.to_string());
        let rule = PolicyConfig::with(self.name.get_ref(), spelled(&self.parameters))
            .map_err(err(&self.parameters))?;
        let hold = self.hold.as_ref().map(|given| Hold::with(spelled(given)).map_err(err(given)));
        let policy = rule.with_hold(hold.transpose()?);
        let label = match &self.label {
            Some(label) if label.get_ref().trim().is_empty() => {
                return Err((label.span(), "empty, expected a name".to_owned()));
            }
            Some(label) => label.get_ref().clone(),
            None => policy.to_string(),
        };
        Ok(NamedPolicy { label, policy })
    }

    /// Where the file says what the error is about.
    fn place_of(&self, values: &Values, error: &PolicyError) -> Range<usize> {
        let parameter = match error {
            PolicyError::UnknownParameter { given, .. } => values.get(given),
            PolicyError::BadValue { parameter, .. } => values.get(*parameter),
            _ => None,
        };
        parameter.map_or_else(|| self.name.span(), Spanned::span)
    }

    /// Where the file gives the label, or the name that the label follows from.
    fn place_of_label(&self) -> Range<usize> {
        self.label.as_ref().unwrap_or(&self.name).span()
    }
}

/// Values as a person would spell them on a command line.
fn spelled(values: &Values) -> impl Iterator<Item = (&String, String)> {
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    values.iter().map(move |(key, value)| (key, text(value.get_ref())))
}

/// Reads the value of `--policies`.
pub fn of_flag(list: &str) -> Result<Vec<NamedPolicy>> {
    let err = |error| bad(format!("--policies: {error}"));
    let policies = parse_policies(list).map_err(err)?;
    check_labels(&policies).map_err(err)?;
    Ok(policies)
}

/// The policies of a scenario file: `policies = [...]`, or `[[policy]]` tables. `origin` and `text`
/// are the file's, for errors.
pub fn of_file(
    spelled: Option<&[PolicyConfig]>,
    tables: &[PolicyFile],
    origin: &str,
    text: &str,
) -> Result<Vec<NamedPolicy>> {
    let err = |why: &str| bad_field(origin, text, "policies", why);
    match (spelled, tables) {
        (Some(_), [_, ..]) => Err(err("given with [[policy]], expected only one of the two")),
        (Some([]), []) => Err(err("none, expected at least one")),
        // What is missing belongs at the top, as everywhere.
        (None, []) => {
            let expected = "expected policies = [...] or at least one [[policy]]";
            Err(bad(format!("{origin}:1: policies: missing, {expected}")))
        }
        (Some(spelled), []) => {
            let policies: Vec<NamedPolicy> = spelled.iter().map(|&policy| policy.into()).collect();
            check_labels(&policies).map_err(|error| err(&error.to_string()))?;
            Ok(policies)
        }
        (None, tables) => {
            of_tables(tables).map_err(|(span, why)| bad_place(origin, text, span, &why))
        }
    }
}

fn of_tables(tables: &[PolicyFile]) -> Result<Vec<NamedPolicy>, Fault> {
    let mut policies = Vec::new();
    for table in tables {
        policies.push(table.resolve()?);
        check_labels(&policies).map_err(|error| (table.place_of_label(), error.to_string()))?;
    }
    Ok(policies)
}

/// Serializes policies as they are spelled. A policy whose label differs from its spelling becomes an
/// object of label and policy.
pub fn as_spelled<S: Serializer>(
    policies: &[NamedPolicy],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.iter().map(Spelled))
}

/// Serializes a policy as its label.
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
