//! A model on a device, for studies that need another deployment than the scenario's.

use crate::files::{bad, bad_lines};
use std::path::Path;
use warmpath_core::engine::physics::{Deployment, Device, Model, ModelRef};
use warmpath_core::engine::profile::Profile;
use warmpath_launch::profiles;

/// Tokens of KV that a worker must have room for. A worker with less gets more chips.
const LEAST_TOKENS: u64 = 200_000;

/// The model on the fewest chips of the device that leave room for KV, with HBM alone. Everything
/// else is as in `of`.
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
            model: reference(model),
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

/// The device, model and deployment of a profile. An error: the profile was not made from these.
pub fn made_from(profile: &Profile) -> Result<(Device, Model, &Deployment), String> {
    let Some(calibrated) = profile.step.calibrated() else {
        return Err(format!(
            "profile {}: a made-up profile, expected a profile with a device and a model",
            profile.name
        ));
    };
    let deployment = calibrated.deployment();
    let device = profiles::device(&deployment.device, Path::new(""))?;
    let model = match &deployment.model {
        ModelRef::Own(model) => (**model).clone(),
        ModelRef::Named(_) => profiles::model(calibrated.model(), Path::new(""))?,
    };
    Ok((device, model, deployment))
}

/// How a deployment names the model. One that is not built in stands in the deployment itself.
fn reference(model: &Model) -> ModelRef {
    match profiles::model(&model.name, Path::new("")) {
        Ok(known) if known == *model => ModelRef::Named(model.name.clone()),
        _ => ModelRef::Own(Box::new(model.clone())),
    }
}

/// The profile of a device that computes and reads `times` as fast.
pub fn with_speed(profile: &Profile, times: f64) -> anyhow::Result<Profile> {
    let (device, model, deployment) = made_from(profile).map_err(bad_lines)?;
    let device = Device { realization: device.realization * times, ..device };
    let mut faster =
        Profile::build(&device, &model, deployment).map_err(|error| bad(error.to_string()))?;
    faster.name.clone_from(&profile.name);
    Ok(faster)
}
