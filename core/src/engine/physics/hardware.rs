//! What the chips of a worker draw and cost, as their row says.

use super::Device;
use serde::{Deserialize, Serialize};

/// A device that is bought. Its price is spread evenly over the hours of its life.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purchase {
    pub usd: f64,
    /// How long it is in use, all hours counted.
    pub years: f64,
}

impl Purchase {
    const HOURS_A_YEAR: f64 = 8_766.0;

    pub fn usd_per_hour(&self) -> f64 {
        self.usd / (self.years * Self::HOURS_A_YEAR)
    }
}

/// What lasting load does: a chip that can't shed its heat lowers its clocks. It warms up by a second
/// for each second it computes, to at most `after_s`, and cools down by a second for each it does not;
/// where it begins to compute at `after_s`, its rates are `factor` of what they are when it is cool.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    pub after_s: f64,
    pub factor: f64,
}

/// The chips of one worker.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Hardware {
    pub device: String,
    pub chips: u32,
    /// Of each chip, and so the next three.
    pub watts: Option<f64>,
    pub idle_watts: Option<f64>,
    pub usd_per_hour: Option<f64>,
    pub purchase: Option<Purchase>,
    pub sustained: Option<Sustained>,
}

impl Hardware {
    pub(super) fn new(device: &Device, chips: u32) -> Self {
        Self {
            device: device.name.clone(),
            chips,
            watts: device.watts,
            idle_watts: device.idle_watts,
            usd_per_hour: device.usd_per_hour,
            purchase: device.purchase,
            sustained: device.sustained,
        }
    }
}
