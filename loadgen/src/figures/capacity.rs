//! The highest rate at which enough requests meet the SLO.

use super::policy::as_keys;
use super::room::AtRoom;
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
    /// The share of requests that must meet the SLO.
    pub within_slo: f64,
    /// None: the search of at least one seed ended at a bound.
    pub rate_scale: Option<Estimate>,
    pub offered_requests_per_s: Option<Estimate>,
    /// One entry per seed.
    pub found: Vec<Found>,
    /// The capacity of the first seed with other room for KV. Empty: it has none, or the room is
    /// unlimited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kv_room: Vec<AtRoom>,
}

/// How a search ended.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    At {
        rate_scale: f64,
        offered_requests_per_s: f64,
        /// The workload is too short to show that the fleet can sustain the rate.
        short: bool,
    },
    /// The fleet meets the SLO even at the highest rate that is tried.
    AtLeast { rate_scale: f64 },
    /// The fleet misses the SLO even at the lowest rate that is tried, so waiting is not the reason.
    Nowhere { rate_scale: f64, within_slo: f64 },
}
