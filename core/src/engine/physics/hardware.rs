//! What the chips of a worker draw and cost, as their row says.

use super::device::{Device, Purchase, Sustained};
use serde::Serialize;

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
