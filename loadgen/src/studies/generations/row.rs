//! The figures of one device.

use serde::Serialize;
use warmpath_core::engine::physics::Precision;

/// Chips of each fleet. A worker has one or more of them.
pub const CHIPS: u32 = 8;

/// One device. A range goes from the lowest to the full realization; both are equal for a measured
/// device.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub device: String,
    pub precision: Precision,
    pub tp: u32,
    pub validated: bool,
    pub because: String,
    pub usd_per_chip_hour: Option<f64>,
    /// Tokens served within the SLO, per chip and second. 0: no load meets the SLO.
    pub tokens_per_s_per_chip: [f64; 2],
    /// Per million tokens served. The first value belongs to the first of the tokens above.
    pub usd_per_m_served: [Option<f64>; 2],
    pub kwh_per_m_served: [Option<f64>; 2],
    /// The price of a chip and hour at which this device serves at the cost of the first device.
    pub break_even_usd_per_hour: [Option<f64>; 2],
}
