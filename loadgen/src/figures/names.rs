//! Names of runs, of their records and of their requests.

use warmpath_core::id::RequestId;
use warmpath_core::routing::policy::NamedPolicy;

/// The name of a table row: the policy's label, and the variant if there are several.
pub fn label(policy: Option<&NamedPolicy>, variant: Option<&str>) -> String {
    let policy = policy.map_or("(the target's)", |policy| policy.label.as_str());
    match variant {
        Some(variant) => format!("{policy}, {variant}"),
        None => policy.to_owned(),
    }
}

/// The file name of a run's record.
pub fn record_name(policy: &NamedPolicy, variant: Option<&str>) -> String {
    // A label may contain any character, a file name may not.
    let plain = |name: &str| name.replace(['/', '\\'], "_");
    match variant {
        Some(variant) => format!("{}.{}.jsonl", plain(&policy.label), plain(variant)),
        None => format!("{}.jsonl", plain(&policy.label)),
    }
}

/// The id of a request on the wire. The nonce tells load generators apart.
pub fn wire_name(nonce: Option<u32>, id: RequestId) -> String {
    match nonce {
        Some(nonce) => format!("lg-{nonce}-{}", id.0),
        None => format!("lg-{}", id.0),
    }
}
