//! Names of runs, of their records and of their requests.

use warmpath_core::id::RequestId;
use warmpath_core::routing::policy::NamedPolicy;

/// How a row of a table is called: its policy, and its variant if there are several.
pub fn label(policy: Option<&NamedPolicy>, variant: Option<&str>) -> String {
    let policy = policy.map_or("(the target's)", |policy| policy.label.as_str());
    match variant {
        Some(variant) => format!("{policy}, {variant}"),
        None => policy.to_owned(),
    }
}

/// What the record of a run is called in its folder.
pub fn record_name(policy: &NamedPolicy, variant: Option<&str>) -> String {
    // A label is free, a path is not.
    let plain = |name: &str| name.replace(['/', '\\'], "_");
    match variant {
        Some(variant) => format!("{}.{}.jsonl", plain(&policy.label), plain(variant)),
        None => format!("{}.jsonl", plain(&policy.label)),
    }
}

/// What a request is called on the wire, where several load generators may be at work.
pub fn wire_name(nonce: Option<u32>, id: RequestId) -> String {
    match nonce {
        Some(nonce) => format!("lg-{nonce}-{}", id.0),
        None => format!("lg-{}", id.0),
    }
}
