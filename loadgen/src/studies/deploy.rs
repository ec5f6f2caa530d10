//! A model on a device, where a scenario names another deployment than the one that is wanted.

use crate::files::bad;
use std::path::Path;
use warmpath_core::engine::physics::{Deployment, Device, Model};
use warmpath_core::engine::profile::Profile;
use warmpath_worker_sim::profiles;

/// Room for KV that a worker must have, in tokens, or it is made of more chips.
const LEAST_TOKENS: u64 = 200_000;

/// The model on as few chips of the device as leave room for KV, in HBM alone. What is not said
/// otherwise is as in `of`.
pub fn on_fewest_chips(
    device: &Device,
    model: &Model,
    of: &Deployment,
) -> Result<(Deployment, Profile), String> {
    let mut why = String::new();
    for tp in [1, 2, 4, 8] {
        let deployment = Deployment {
            name: format!("{}-{}-{tp}x{}", model.name, of.precision, device.name),
            device: device.name.clone(),
            model: model.name.clone(),
            tp,
            hbm_tokens: None,
            tiers: Vec::new(),
            pool: None,
            peers: None,
            ..of.clone()
        };
        match Profile::build(device, model, &deployment) {
            Ok(profile) if profile.hbm_tokens.is_none_or(|room| room >= LEAST_TOKENS) => {
                return Ok((deployment, profile));
            }
            Ok(_) => why = format!("less than {LEAST_TOKENS} tokens of room for KV on {tp}"),
            Err(error) => why = error.to_string(),
        }
    }
    Err(format!("{} for {}: {why}", device.name, model.name))
}

/// The device, model and deployment that a profile was made from, where it was made from such.
pub fn made_from(profile: &Profile) -> Result<(Device, Model, &Deployment), String> {
    let Some(calibrated) = profile.step.calibrated() else {
        return Err(format!("profile {}: made up, expected one of a device", profile.name));
    };
    let deployment = calibrated.deployment();
    let device = profiles::device(&deployment.device, Path::new(""))?;
    let model = profiles::model(calibrated.model(), Path::new(""))?;
    Ok((device, model, deployment))
}

/// The profile of a device that is so many times as fast, in computing and in reading.
pub fn with_speed(profile: &Profile, times: f64) -> anyhow::Result<Profile> {
    let (device, model, deployment) = made_from(profile).map_err(bad)?;
    let device = Device { realization: device.realization * times, ..device };
    let mut faster =
        Profile::build(&device, &model, deployment).map_err(|error| bad(error.to_string()))?;
    faster.name.clone_from(&profile.name);
    Ok(faster)
}
