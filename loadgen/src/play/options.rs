//! What a run chooses for itself, beside its set-up.

use crate::setup::Setup;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_core::workload::trace::Pace;

/// Choices that all runs of one command share.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The variant of the scenario that is played, where it has several.
    pub variant: Option<String>,
    /// Whether a row a request is kept for a file.
    pub rows: bool,
    /// Share of the requests, the first ones, that are played without being counted.
    pub warm_up: f64,
    /// Whether a run stops as soon as too few of its requests can be within the SLO.
    pub give_up: bool,
}

/// One run in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    pub policy: &'a NamedPolicy,
    pub rate_scale: f64,
    pub seed: u64,
    /// Only so many requests, for parity with a live leg.
    pub limit: Option<u64>,
    pub options: &'a RunOptions,
}

impl<'a> Cell<'a> {
    /// The first rate and seed of a set-up, which its live leg has too.
    pub fn first(
        setup: &Setup,
        policy: &'a NamedPolicy,
        limit: Option<u64>,
        options: &'a RunOptions,
    ) -> Self {
        Self { policy, rate_scale: setup.rates[0], seed: setup.seed, limit, options }
    }

    pub fn pace(&self, setup: &Setup) -> Pace {
        Pace {
            rate_scale: self.rate_scale,
            tick_jitter: setup.tick_jitter,
            seed: self.seed,
            limit: self.limit,
        }
    }
}
