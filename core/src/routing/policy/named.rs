//! Rules with labels, so that one rule can stand in a comparison twice with other parameters.

use super::hold::Hold;
use super::list::PolicyConfig;
use super::spelling::{self, PolicyError};
use serde::{Deserialize, Serialize};

/// A rule and the name that reports call it by.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct NamedPolicy {
    /// The canonical spelling of the policy where no other is given.
    pub label: String,
    /// The rule with its parameters.
    pub policy: PolicyConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    label: Option<String>,
    policy: PolicyConfig,
}

impl From<Written> for NamedPolicy {
    fn from(Written { label, policy }: Written) -> Self {
        Self { label: label.unwrap_or_else(|| policy.to_string()), policy }
    }
}

impl From<PolicyConfig> for NamedPolicy {
    fn from(policy: PolicyConfig) -> Self {
        Self { label: policy.to_string(), policy }
    }
}

/// Reads a list of rules, separated by commas: `a,b(x=1,y=2),c+hold`. Commas inside parentheses
/// separate parameters. `naive`, `field`, `own` and `all` stand for all rules of a group. Each rule is
/// labelled with its canonical spelling; [`check_labels`] says if one is used twice.
pub fn parse_policies(list: &str) -> Result<Vec<NamedPolicy>, PolicyError> {
    let mut depth = 0u32;
    let outside = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    let mut policies = Vec::new();
    for given in list.split(outside) {
        match of_group(given)? {
            Some(group) => policies.extend(group),
            None => policies.push(given.parse::<PolicyConfig>()?.into()),
        }
    }
    Ok(policies)
}

/// All rules of a group, each with late binding if that is written after the group. None: the text
/// does not name a group.
fn of_group(given: &str) -> Result<Option<Vec<NamedPolicy>>, PolicyError> {
    let (name, part) = spelling::split_part(given);
    let name = name.trim();
    let is_in = |policy: &PolicyConfig| name == "all" || policy.group().name() == name;
    let group = PolicyConfig::ALL.iter().copied().filter(is_in);
    if group.clone().next().is_none() {
        return Ok(None);
    }
    let hold = part.map(|part| Hold::read(given, part)).transpose()?;
    Ok(Some(group.map(|policy| policy.with_hold(hold).into()).collect()))
}

/// Whether the labels tell the policies apart.
pub fn check_labels(policies: &[NamedPolicy]) -> Result<(), PolicyError> {
    for (i, NamedPolicy { label, .. }) in policies.iter().enumerate() {
        if policies[..i].iter().any(|other| other.label == *label) {
            return Err(PolicyError::SameLabel { label: label.clone() });
        }
    }
    Ok(())
}
