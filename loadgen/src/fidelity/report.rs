//! What comes out: the errors by what was measured.

use super::published::Published;
use super::served::AllServed;
use super::steps::Steps;
use serde::Serialize;
use std::collections::BTreeMap;

/// The name and version of the report's form.
pub const SCHEMA: &str = "warmpath.fidelity.v1";

#[derive(Debug, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub files: Vec<String>,
    pub steps: Steps,
    pub served: AllServed,
    pub published: Published,
    /// Devices, models and formats that no row here describes, with how many rows name them.
    pub unknown: BTreeMap<String, u32>,
}
