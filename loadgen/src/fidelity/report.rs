//! What comes out: the errors by what was measured.

use super::carried::{Carried, WholeSteps};
use super::published::Published;
use super::routing::Routing;
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
    /// What the program carries measurements of.
    pub carried: Carried,
    /// Whole steps of the folder.
    pub whole: WholeSteps,
    pub steps: Steps,
    pub served: AllServed,
    pub published: Published,
    /// None: the folder has no figures of routing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Devices, models and formats that no row here describes, with how many rows name them.
    pub unknown: BTreeMap<String, u32>,
}
