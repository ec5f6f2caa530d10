//! How the figures of a run move with the workers' room for KV. The room is seldom known to a few
//! percent, and near the edge of a working set a few percent decide.

use crate::figures::{AtRoom, RunReport};
use crate::setup::Setup;
use anyhow::Result;

/// The tried rooms, as multiples of the workers' own.
const LESS: f64 = 0.9;
const MORE: f64 = 1.1;

/// Figures with 10 % less room, with the room as it is, and with 10 % more. `run` is the run as it
/// is; `play` plays the same load on another set-up. Empty if no worker's room is limited.
pub fn around(
    setup: &Setup,
    run: &RunReport,
    play: impl Fn(&Setup) -> Result<RunReport>,
) -> Result<Vec<AtRoom>> {
    let Some([less, more]) = with(setup, LESS).zip(with(setup, MORE)).map(<[Setup; 2]>::from)
    else {
        return Ok(Vec::new());
    };
    let (less, more) = (play(&less)?, play(&more)?);
    Ok(vec![AtRoom::of(LESS, &less), AtRoom::of(1.0, run), AtRoom::of(MORE, &more)])
}

/// The set-up with a multiple of the room of each worker. None: no worker's room is limited.
pub fn with(setup: &Setup, times: f64) -> Option<Setup> {
    let mut setup = setup.clone();
    let mut limited = false;
    for profile in setup.fleet.profiles_mut() {
        if let Some(tokens) = &mut profile.hbm_tokens {
            *tokens = ((*tokens as f64 * times) as u64).max(u64::from(profile.block_size));
            limited = true;
        }
    }
    limited.then_some(setup)
}
