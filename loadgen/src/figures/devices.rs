//! Users' own devices beside the workers: what each side did.

use serde::Serialize;
use warmpath_core::engine::physics::Standing;
use warmpath_core::report::Figures;

/// The sides of a run in which users' own devices served.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    pub profile: String,
    pub profile_standing: Standing,
    pub count: u32,
    /// Devices whose users asked for anything.
    pub used: u32,
    /// Share of the time in which a device computed, mean over all.
    pub utilisation: f64,
    pub devices: Figures,
    /// None where nothing goes to the workers.
    pub cluster: Option<Figures>,
}
