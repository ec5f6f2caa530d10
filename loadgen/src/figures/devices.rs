//! Figures of users' own devices beside the workers.

use serde::Serialize;
use warmpath_core::engine::physics::Validation;
use warmpath_core::report::Figures;

/// The two sides of a run in which users' own devices serve.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    pub profile: String,
    pub profile_standing: Validation,
    pub count: u32,
    /// Devices whose users sent at least one request.
    pub used: u32,
    /// Share of the time in which a device computed, mean over all devices.
    pub utilisation: f64,
    pub devices: Figures,
    /// None: no request goes to the workers.
    pub cluster: Option<Figures>,
}
