//! Names of runs, of their records and of their requests.

use warmpath_core::id::RequestId;
use warmpath_core::routing::policy::PolicyConfig;

/// How a row of a table is called: its policy, and its variant if there are several.
pub fn label(policy: Option<PolicyConfig>, variant: Option<&str>) -> String {
    let policy = policy.map_or("(the target's)", |policy| policy.name());
    match variant {
        Some(variant) => format!("{policy}, {variant}"),
        None => policy.to_owned(),
    }
}

/// What the record of a run is called in its folder.
pub fn record_name(policy: PolicyConfig, variant: Option<&str>) -> String {
    match variant {
        // A name is free, a path is not.
        Some(variant) => format!("{policy}.{}.jsonl", variant.replace(['/', '\\'], "_")),
        None => format!("{policy}.jsonl"),
    }
}

/// What a request is called on the wire, where several load generators may be at work.
pub fn wire_name(nonce: Option<u32>, id: RequestId) -> String {
    match nonce {
        Some(nonce) => format!("lg-{nonce}-{}", id.0),
        None => format!("lg-{}", id.0),
    }
}
