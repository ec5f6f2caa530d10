//! Power and price of a worker's chips.

use super::device::{Device, Purchase, Sustained};
use serde::Serialize;

/// The chips of one worker, from their device file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Hardware {
    /// Name of the device.
    pub device: String,
    /// Number of devices.
    pub chips: u32,
    /// Power of each chip under load, in watts.
    pub watts: Option<f64>,
    /// Power of each chip with a model loaded and no work, in watts.
    pub idle_watts: Option<f64>,
    /// Rent of each chip, in US dollars an hour.
    pub usd_per_hour: Option<f64>,
    /// Purchase of each chip, if it is not rented.
    pub purchase: Option<Purchase>,
    /// Thermal throttling of each chip; None: none.
    pub sustained: Option<Sustained>,
}

impl Hardware {
    pub(in crate::engine) fn new(device: &Device, chips: u32) -> Self {
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
