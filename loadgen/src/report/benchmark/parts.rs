//! What all parts of a document are made of.

use crate::figures::{Mode, RunReport};
use crate::yaml::Node;
use serde_json::Value;
use warmpath_core::report::Slo;

/// The version of the parts of a document that describe a component or a load.
pub const PART_SCHEMA: &str = "0.0.1";

/// What the runs of a command have in common.
#[derive(Debug)]
pub struct Asked {
    /// The configuration, as the JSON report has it.
    pub config: Value,
    pub slo: Slo,
    /// Sessions that run at the same time, in a closed loop.
    pub concurrency: Option<u32>,
}

/// An entry of a map.
pub type Entry = Option<(&'static str, Node)>;

pub fn entry(key: &'static str, node: Node) -> Entry {
    Some((key, node))
}

pub fn text(key: &'static str, text: impl Into<String>) -> Entry {
    entry(key, Node::text(text))
}

pub fn count(key: &'static str, count: impl Into<u64>) -> Entry {
    entry(key, Node::number(count.into().to_string()))
}

/// Enough of a hash to tell configurations and reports apart.
pub fn id_of(parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// Whether a run was played in virtual time.
pub fn is_virtual(run: &RunReport) -> bool {
    run.mode != Mode::Live
}
