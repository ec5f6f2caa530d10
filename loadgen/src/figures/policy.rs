//! The policy of a run, as reports show it.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use warmpath_core::routing::policy::NamedPolicy;

/// The JSON keys of a policy. `policy` is the name of the rule. `label` is there if it differs from
/// the name. `parameters` is there if some differ from the rule's defaults.
pub fn as_keys<S: Serializer>(policy: &NamedPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    Keys::of(Some(policy)).serialize(serializer)
}

/// The same for a run that may have no known policy: then `policy` is null.
pub fn as_keys_if_known<S: Serializer>(
    policy: &Option<NamedPolicy>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Keys::of(policy.as_ref()).serialize(serializer)
}

#[derive(Serialize)]
struct Keys<'a> {
    policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<&'static str, String>,
}

impl<'a> Keys<'a> {
    fn of(policy: Option<&'a NamedPolicy>) -> Self {
        let name = policy.map(|named| named.policy.name());
        let label = policy.map(|named| named.label.as_str()).filter(|label| Some(*label) != name);
        let changed = policy.map(|named| named.policy.changed()).unwrap_or_default();
        Self { policy: name, label, parameters: changed.into_iter().collect() }
    }
}
