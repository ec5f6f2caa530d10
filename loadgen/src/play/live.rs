//! The live run of a comparison: one policy on a fleet in this process.

use super::client::Address;
use super::drive::{self, Driven, Options};
use super::local_fleet::LocalFleet;
use super::options::{Cell, RunOptions};
use super::simulate::profiles;
use super::validity::too_few;
use crate::figures::{Mode, Profiles, RunId, RunReport, Sketch, Stages, record_name};
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
            &[Address::Grpc(fleet.target.clone())],
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
        let Self { setup, prepared, options, policy, speedup, .. } = *self;
        let leg = Leg { setup, prepared, options, speedup, policy: Some(policy) };
        Ok(report(&leg, driven, wall_s))
    }
}

/// What a live run played.
pub struct Leg<'a> {
    pub setup: &'a Setup,
    pub prepared: &'a Prepared<'a>,
    pub options: &'a RunOptions,
    pub speedup: f64,
    /// None: a router that runs elsewhere, before a fleet that is not ours.
    pub policy: Option<&'a NamedPolicy>,
}

/// The report of a live run.
pub fn report(leg: &Leg<'_>, mut driven: Driven, wall_s: f64) -> RunReport {
    let Leg { setup, prepared, options, speedup, policy } = *leg;
    let fleet = &setup.fleet;
    let block_size = fleet.profile().block_size;
    let rows = driven.recorder.take_rows();
    let workers = fleet.comparable_workers();
    let mut stages = None;
    if let Some(plan) = prepared.stages(setup.rates[0]) {
        let recorder = &driven.recorder;
        let (all, counted) = Stages::of(plan, recorder, block_size, workers, &setup.slo);
        (stages, driven.recorder) = (Some(all), counted);
    }
    let figures = driven.recorder.figures(block_size, workers, &setup.slo);
    // Whether it agrees with its simulation is judged when that has been played.
    let invalid_because = too_few(&figures);
    let id = RunId {
        policy: policy.cloned(),
        variant: options.variant.clone(),
        mode: Mode::Live,
        workload: prepared.name(),
        seed: setup.seed,
        rate_scale: setup.rates[0],
    };
    // The profiles of engines elsewhere are theirs.
    let mut profiles = policy.map_or_else(Profiles::default, |_| profiles(fleet, None));
    profiles.tiers.clone_from(&driven.live.tier_names);
    let sketch =
        options.sketch.then(|| Sketch::of_run(&rows, stages.as_ref(), workers, &HashMap::new()));
    let rows = if options.rows { rows } else { Vec::new() };
    let run = RunReport { stages, sketch, ..RunReport::new(id, profiles, figures, wall_s) };
    run.with_live(driven.live, speedup, rows, invalid_because)
}
