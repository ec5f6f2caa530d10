//! `compare`: each policy live, then the same requests in virtual time, then the whole workload.

use crate::cli;
use crate::config::Setup;
use crate::drive::{self, Driven, Options};
use crate::files::bad;
use crate::fleet::Fleet;
use crate::progress::Progress;
use crate::results::{Mode, Results, RunReport, record_name};
use crate::rows;
use crate::simulate::{Cell, scope, simulate};
use crate::source::Prepared;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};
use warmpath_core::report::Figures;
use warmpath_core::routing::policy::PolicyConfig;

/// What a live leg may be late by, as a share of its mean TTFT.
const LATENESS_LIMIT: f64 = 0.05;
/// Wall seconds of a trace that the live leg plays unless told otherwise.
const LIVE_SECONDS: f64 = 8.0;
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

pub fn compare(args: &cli::Compare, setup: &Setup, progress: &Progress) -> Result<Results> {
    let prepared = setup.source.prepare(&scope(setup));
    let beyond_sockets = only_virtual(setup);
    if let Some(why) = beyond_sockets
        && args.live_requests.is_some_and(|live| live > 0)
    {
        return Err(bad(format!("--live-requests: {why}")));
    }
    let only_virtual = setup.is_grid() || beyond_sockets.is_some();
    let no_live = args.live_requests == Some(0) || only_virtual && args.live_requests.is_none();
    for (flag, given) in
        [("--record", args.record.is_some()), ("--speedup", args.speedup.is_some())]
    {
        if given && no_live {
            return Err(bad(format!("{flag}: there is no live leg for it; see --live-requests")));
        }
    }
    let pace = Cell::first(setup, setup.baseline, None).pace(setup);
    let total = prepared.workload(pace).total();
    if setup.is_grid() && args.live_requests.is_none() {
        rows::check_room(setup, total, 0)?;
        return Results::of_grid(setup, &prepared, progress);
    }
    let speedup = args.speedup.unwrap_or(setup.live.speedup);
    let live = args
        .live_requests
        .or(setup.live.requests)
        .or_else(|| prepared.arrivals_within(LIVE_SECONDS * speedup, pace).map(|n| n.max(1)));
    let live = if no_live { 0 } else { live.unwrap_or(total).min(total) };
    rows::check_room(setup, total, live)?;
    if let Some(folder) = &args.record {
        std::fs::create_dir_all(folder)
            .map_err(|error| bad(format!("{}: {error}", folder.display())))?;
    }
    let mut runs = Vec::new();
    if live > 0 {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for &policy in &setup.policies {
            let leg = LiveLeg { setup, prepared: &prepared, policy, speedup, requests: live };
            let bar = progress.start(live, &format!("{policy} live"), "requests");
            let record = args.record.as_deref();
            let run = runtime.block_on(leg.run(record, move |ended| bar.set(ended)));
            runs.push(run.with_context(|| format!("{policy}, live"))?);
        }
    }
    if live > 0 {
        for &policy in &setup.policies {
            let cell = Cell::first(setup, policy, Some(live));
            let bar = progress.start(live, &format!("{policy} sim-slice"), "requests");
            runs.push(simulate(setup, &prepared, cell, None, &mut |n| bar.set(n))?);
        }
    }
    if setup.is_grid() {
        let grid = Results::of_grid(setup, &prepared, progress)?;
        return Ok(grid.with_live(runs));
    }
    for &policy in &setup.policies {
        let cell = Cell::first(setup, policy, None);
        let bar = progress.start(total, &format!("{policy} sim"), "requests");
        runs.push(simulate(setup, &prepared, cell, None, &mut |n| bar.set(n))?);
    }
    Results::of_runs(runs, setup, &prepared, progress)
}

/// Why a set-up has no live leg, where it has none.
fn only_virtual(setup: &Setup) -> Option<&'static str> {
    let reasons = [
        (setup.devices.is_some(), "devices run in virtual time only"),
        (!setup.faults.is_empty(), "faults happen in virtual time only"),
    ];
    reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
}

pub struct LiveLeg<'a> {
    pub setup: &'a Setup,
    pub prepared: &'a Prepared<'a>,
    pub policy: PolicyConfig,
    pub speedup: f64,
    pub requests: u64,
}

impl LiveLeg<'_> {
    pub async fn run(
        &self,
        record: Option<&Path>,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<RunReport> {
        let variant = self.setup.variant.as_deref();
        let log = record.map(|folder| folder.join(record_name(self.policy, variant)));
        let fleet = Fleet::start(self.setup, self.policy, self.speedup, log.as_deref()).await?;
        let started = Instant::now();
        let cell = Cell::first(self.setup, self.policy, Some(self.requests));
        let workload = self.prepared.workload(cell.pace(self.setup));
        let options = Options {
            speedup: self.speedup,
            check_tokens: true,
            timeout: REQUEST_LIMIT,
            nonce: None,
            rows: self.setup.rows,
        };
        let never = std::future::pending();
        let identities = fleet.identities.clone();
        let driven =
            drive::drive(&fleet.target, workload, options, identities, never, progress).await;
        let wall_s = started.elapsed().as_secs_f64();
        fleet.stop().await?;
        Ok(self.report(driven?, wall_s))
    }

    fn report(&self, mut driven: Driven, wall_s: f64) -> RunReport {
        let setup = self.setup;
        let fleet = &setup.fleet;
        let block_size = fleet.profile().block_size;
        let figures = driven.recorder.figures(block_size, fleet.comparable_workers(), &setup.slo);
        let lateness = driven.live.send_lateness_s.mean * self.speedup;
        let invalid_because = too_late(lateness, figures.ttft_s.mean).or_else(|| too_few(&figures));
        RunReport {
            policy: Some(self.policy),
            variant: setup.variant.clone(),
            mode: Mode::Live,
            workload: self.prepared.name(),
            profile: Some(fleet.profile_names()),
            profile_validated: fleet.validated(),
            tiers: driven.live.tier_names.clone(),
            profile_standing: fleet.standing(),
            profile_hbm_tokens_computed: fleet.hbm_tokens_computed(),
            groups: fleet.figures(None),
            figures,
            router_overhead_s: driven.live.router_overhead_s,
            speedup: Some(self.speedup),
            engine: None,
            devices: None,
            classes: Vec::new(),
            steady_requests_per_s: 0.0,
            economics: None,
            valid: invalid_because.is_none(),
            invalid_because,
            live: Some(driven.live),
            wall_s,
            seed: setup.seed,
            nonce: None,
            rate_scale: setup.rates[0],
            rows: driven.recorder.take_rows(),
        }
    }
}

/// Whether so many requests failed that the figures speak of the others only.
pub fn too_few(figures: &Figures) -> Option<String> {
    (figures.errors * 100 > figures.offered).then(|| {
        format!(
            "{} of {} requests failed, so the figures cover {}",
            figures.errors, figures.offered, figures.requests
        )
    })
}

/// Whether a live run's own lateness, in model seconds, spoils its TTFT.
pub fn too_late(lateness_s: f64, mean_ttft_s: f64) -> Option<String> {
    (lateness_s > LATENESS_LIMIT * mean_ttft_s).then(|| {
        format!(
            "requests were sent {:.1} ms late in model time, more than {} % of the mean TTFT of \
             {:.1} ms: lower --speedup, or give the machine more room",
            lateness_s * 1e3,
            LATENESS_LIMIT * 100.0,
            mean_ttft_s * 1e3
        )
    })
}
