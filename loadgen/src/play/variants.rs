//! The variants of a set-up.

use super::options::RunOptions;
use crate::figures::Results;
use crate::setup::{Fleet, Setup};
use anyhow::Result;
use warmpath_router::config::ReliabilityConfig;

/// Plays each variant of a set-up in turn, or the set-up itself if it has none.
pub fn each(
    setup: &Setup,
    options: &RunOptions,
    play: impl Fn(&Setup, &RunOptions) -> Result<Results>,
) -> Result<Results> {
    if setup.variants.is_empty() {
        return play(setup, options);
    }
    let mut all = Results::default();
    for variant in &setup.variants {
        let pool = setup.pool.as_ref();
        let profile = variant.of(setup.fleet.profile(), pool.is_some());
        let profile = profile.expect("variants are checked when they are read");
        let part = Setup {
            fleet: Fleet::alike(setup.fleet.workers(), profile),
            reliability: if variant.reliability {
                setup.reliability
            } else {
                Some(ReliabilityConfig::OFF)
            },
            admission: setup.admission.clone().filter(|_| variant.admission),
            faults: if variant.faults { setup.faults.clone() } else { Vec::new() },
            pool: variant.pool(pool),
            ..setup.clone()
        };
        let options = RunOptions { variant: Some(variant.name.clone()), ..options.clone() };
        all.extend(play(&part, &options)?);
    }
    Ok(all)
}
