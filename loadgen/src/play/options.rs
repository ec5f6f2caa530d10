//! The choices of a run that are not part of its set-up.

use crate::setup::Setup;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_core::workload::trace::Pace;

/// Choices that are the same for all runs of one command.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The variant of the scenario, if it has several.
    pub variant: Option<String>,
    /// Whether to keep one row per request.
    pub rows: bool,
    /// Whether the report has the shape of each run, for plots.
    pub sketch: bool,
    /// Share of the requests, from the first one, that are played and not counted.
    pub warm_up: f64,
    /// Whether the report has a row for each interval of this length, in seconds.
    pub interval: Option<f64>,
    /// Whether the report says what no rule could beat.
    pub bounds: bool,
    /// Whether a run ends as soon as too few of its requests can meet the SLO.
    pub give_up: bool,
}

/// One run in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    pub policy: &'a NamedPolicy,
    pub rate_scale: f64,
    pub seed: u64,
    /// Number of requests, to match a live run. None: the whole workload.
    pub limit: Option<u64>,
    pub options: &'a RunOptions,
}

impl<'a> Cell<'a> {
    /// The first rate and the first seed of a set-up. The live run has the same.
    pub fn first(
        setup: &Setup,
        policy: &'a NamedPolicy,
        limit: Option<u64>,
        options: &'a RunOptions,
    ) -> Self {
        Self { policy, rate_scale: setup.rates[0], seed: setup.seed, limit, options }
    }

    /// The factor for the workload's arrivals.
    pub fn load(&self, setup: &Setup) -> f64 {
        self.rate_scale * setup.load
    }

    pub fn pace(&self, setup: &Setup) -> Pace {
        Pace {
            rate_scale: self.load(setup),
            tick_jitter: setup.tick_jitter,
            seed: self.seed,
            limit: self.limit,
        }
    }
}
