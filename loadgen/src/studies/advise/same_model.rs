//! The devices' model on the cluster's chips. It shows how much of a cost difference comes from the
//! model, and how much from the location.

use crate::setup::Fleet;
use crate::setup::Setup;
use crate::studies::deploy::{made_from, on_fewest_chips};
use warmpath_core::engine::physics::Deployment;
use warmpath_core::engine::profile::Profile;

/// The scenario with workers that run the devices' model, in the cluster's number format, on the
/// fewest chips that leave room for its KV. Each chip keeps its share of the memory behind HBM and of
/// the links. An error says why there is no such fleet.
pub fn on_cluster(setup: &Setup) -> Result<Setup, String> {
    let whole = setup.fleet.profile();
    let device = &setup.devices.as_ref().expect("checked: the scenario has devices").profile;
    let (chip, of, deployment) = made_from(whole)?;
    let (_, model, _) = made_from(device)?;
    if model.name == of.name {
        return Err(format!("the cluster runs it: both serve \"{}\"", model.name));
    }
    // The block of a hybrid model has hundreds of tokens. Its deployment says so.
    let deployment = Deployment { block_size: whole.block_size, ..deployment.clone() };
    let (_, mut profile) = on_fewest_chips(&chip, &model, &deployment)?;
    let chips = chips(&profile) / chips(whole);
    let tokens = chips * whole.kv_bytes_per_token as f64 / profile.kv_bytes_per_token as f64;
    take_over(&mut profile, whole, chips, tokens);
    profile.check().map_err(|error| format!("{}: {error}", profile.name))?;
    let mut same = Setup { devices: None, ..setup.clone() };
    same.fleet = Fleet::alike(setup.fleet.workers(), profile);
    if let Some(pool) = &mut same.pool {
        pool.tokens = (pool.tokens as f64 * tokens) as u64;
        pool.gb_s *= chips;
        pool.store_gb_s *= chips;
    }
    Ok(same)
}

fn chips(profile: &Profile) -> f64 {
    f64::from(crate::studies::measure::chips_each(profile))
}

/// Copies the tiers and links behind HBM, scaled by the number of chips and by the tokens that fit.
fn take_over(profile: &mut Profile, whole: &Profile, chips: f64, tokens: f64) {
    profile.tiers.clone_from(&whole.tiers);
    for tier in &mut profile.tiers {
        tier.tokens = (tier.tokens as f64 * tokens) as u64;
        tier.load_gb_s *= chips;
        tier.store_gb_s *= chips;
    }
    profile.pool = whole.pool;
    profile.peers = whole.peers;
    if let Some(pool) = &mut profile.pool {
        pool.gb_s *= chips;
    }
    if let Some(peers) = &mut profile.peers {
        peers.gb_s *= chips;
    }
}
