//! The live run of a comparison: one policy on a fleet in this process.

use super::drive::{self, Driven, Options};
use super::local_fleet::LocalFleet;
use super::options::{Cell, RunOptions};
use super::simulate::profiles;
use super::validity::too_few;
use crate::figures::{Mode, RunId, RunReport, Sketch, Stages, record_name};
use crate::setup::{Prepared, Setup};
use anyhow::Result;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};
use warmpath_core::routing::policy::NamedPolicy;

const REQUEST_LIMIT: Duration = Duration::from_secs(120);

pub struct LiveLeg<'a> {
    pub setup: &'a Setup,
    pub prepared: &'a Prepared<'a>,
    pub options: &'a RunOptions,
    pub policy: &'a NamedPolicy,
    pub speedup: f64,
    pub requests: u64,
}

impl LiveLeg<'_> {
    pub async fn run(
        &self,
        record: Option<&Path>,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<RunReport> {
        let variant = self.options.variant.as_deref();
        let log = record.map(|folder| folder.join(record_name(self.policy, variant)));
        let fleet =
            LocalFleet::start(self.setup, self.policy.policy, self.speedup, log.as_deref()).await?;
        let started = Instant::now();
        let cell = Cell::first(self.setup, self.policy, Some(self.requests), self.options);
        let workload = self.prepared.workload(cell.pace(self.setup));
        let options = Options {
            speedup: self.speedup,
            check_tokens: true,
            timeout: REQUEST_LIMIT,
            nonce: None,
            rows: self.options.rows || self.options.sketch,
        };
        let never = std::future::pending();
        let identities = fleet.identities.clone();
        let driven = drive::drive(
            std::slice::from_ref(&fleet.target),
            workload,
            options,
            identities,
            never,
            progress,
        )
        .await;
        let wall_s = started.elapsed().as_secs_f64();
        let (workers, pool) = fleet.lateness();
        fleet.stop().await?;
        let mut driven = driven?;
        driven.live.worker_lateness_s = workers.map(|late| late.as_secs_f64());
        driven.live.pool_lateness_s = pool.map(|late| late.as_secs_f64());
        Ok(self.report(driven, wall_s))
    }

    fn report(&self, mut driven: Driven, wall_s: f64) -> RunReport {
        let setup = self.setup;
        let fleet = &setup.fleet;
        let block_size = fleet.profile().block_size;
        let rows = driven.recorder.take_rows();
        let workers = fleet.comparable_workers();
        let mut stages = None;
        if let Some(plan) = self.prepared.stages(setup.rates[0]) {
            let recorder = &driven.recorder;
            let (all, counted) = Stages::of(plan, recorder, block_size, workers, &setup.slo);
            (stages, driven.recorder) = (Some(all), counted);
        }
        let figures = driven.recorder.figures(block_size, workers, &setup.slo);
        // Whether it agrees with its simulation is judged when that has been played.
        let invalid_because = too_few(&figures);
        let id = RunId {
            policy: Some(self.policy.clone()),
            variant: self.options.variant.clone(),
            mode: Mode::Live,
            workload: self.prepared.name(),
            seed: setup.seed,
            rate_scale: setup.rates[0],
        };
        let mut profiles = profiles(fleet, None);
        profiles.tiers.clone_from(&driven.live.tier_names);
        let sketch = self
            .options
            .sketch
            .then(|| Sketch::of_run(&rows, stages.as_ref(), workers, &HashMap::new()));
        let rows = if self.options.rows { rows } else { Vec::new() };
        let run = RunReport { stages, sketch, ..RunReport::new(id, profiles, figures, wall_s) };
        run.with_live(driven.live, self.speedup, rows, invalid_because)
    }
}
