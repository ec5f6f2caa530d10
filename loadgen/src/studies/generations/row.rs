//! What a device is worth.

use serde::Serialize;
use warmpath_core::engine::physics::Precision;

/// Chips of each fleet, however many make a worker.
pub const CHIPS: u32 = 8;

/// A device. Its ranges go from the lowest to the highest assumed efficiency. Both ends are
/// equal if the device was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub device: String,
    pub precision: Precision,
    pub tp: u32,
    pub validated: bool,
    pub because: String,
    pub usd_per_chip_hour: Option<f64>,
    /// Served within the SLO by a chip in a second. None: no load meets the SLO.
    pub tokens_per_s_per_chip: [Option<f64>; 2],
    /// Of a million tokens served. The first belongs to the first of the tokens above.
    pub usd_per_m_served: [Option<f64>; 2],
    pub kwh_per_m_served: [Option<f64>; 2],
    /// The price of a chip's hour at which it serves for what the first device does.
    pub break_even_usd_per_hour: [Option<f64>; 2],
}
