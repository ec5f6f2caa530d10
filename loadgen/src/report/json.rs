//! The report that programs read.

use crate::figures::Results;
use serde::Serialize;

/// The name and version of the report's form.
pub const SCHEMA: &str = "warmpath.report.v2";

#[derive(Debug, Serialize)]
pub struct Report<C: Serialize> {
    pub schema: &'static str,
    pub config: C,
    #[serde(flatten)]
    pub results: Results,
}

impl<C: Serialize> Report<C> {
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
