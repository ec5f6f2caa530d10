//! The highest rate at which enough requests meet the SLO.

use super::policy::as_keys;
use super::stats::Estimate;
use serde::Serialize;
use warmpath_core::routing::policy::NamedPolicy;

/// The share of the offered requests that must meet the SLO.
pub const ENOUGH: f64 = 0.9;

/// The highest rate at which enough of the offered requests meet the SLO.
#[derive(Debug, Serialize)]
pub struct Capacity {
    #[serde(flatten, serialize_with = "as_keys")]
    pub policy: NamedPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What is enough, as a share.
    pub within_slo: f64,
    /// None where a seed has none, or has no end.
    pub rate_scale: Option<Estimate>,
    pub offered_requests_per_s: Option<Estimate>,
    /// By seed.
    pub found: Vec<Found>,
}

/// What a search ended with.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    At {
        rate_scale: f64,
        offered_requests_per_s: f64,
        /// The workload is too short to say that the rate could be kept up.
        short: bool,
    },
    /// Even the highest rate that is tried is met.
    AtLeast { rate_scale: f64 },
    /// Even the lowest rate that is tried is missed: the SLO can't be met by waiting longer.
    Nowhere { rate_scale: f64, within_slo: f64 },
}
