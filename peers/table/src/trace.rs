//! Where the recorded trace is that the comparisons play.

use std::path::PathBuf;

/// Mooncake's conversation trace: in the folder that `WARMPATH_TRACES` names, else in `shared/traces` beside the
/// checkout.
pub fn trace_path() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces");
    let folder = std::env::var_os("WARMPATH_TRACES").map_or_else(|| beside.into(), PathBuf::from);
    folder.join("mooncake-conversation.jsonl")
}
