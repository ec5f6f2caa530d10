//! The live leg of a comparison of routers that run elsewhere: one of them, before a fleet that it shares with the
//! others.

use super::behind::{Behind, Counts, lateness_s};
use super::client::{Address, Connection};
use super::drive::{self, Options};
use super::identities::Identities;
use super::live::{Leg, report};
use super::options::{Cell, RunOptions};
use super::validity::{Late, REMEDY, too_late};
use crate::args::{Router, Speaks};
use crate::figures::{RunReport, TargetFigures};
use crate::setup::{Prepared, Setup};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

const REQUEST_LIMIT: Duration = Duration::from_secs(300);

/// How requests get to a router. `model`: what it serves.
fn address_of(router: &Router, model: &str) -> Address {
    let url = router.url.clone();
    match router.speaks {
        Speaks::Grpc => Address::Grpc(url),
        Speaks::OpenAi => Address::OpenAi { url, model: model.to_owned() },
        Speaks::Sglang => Address::Sglang { url, model: model.to_owned() },
    }
}

/// Fails if a router cannot be reached.
pub async fn reach(router: &Router, behind: &Behind) -> Result<()> {
    let opened = Connection::open(&address_of(router, &behind.facts.model)).await;
    opened.map(drop).with_context(|| router.name.clone())
}

/// One of several routers, at the first requests of a workload.
pub struct TargetLeg<'a> {
    pub setup: &'a Setup,
    pub prepared: &'a Prepared<'a>,
    pub options: &'a RunOptions,
    pub behind: &'a Behind,
    pub router: &'a Router,
    pub requests: u64,
    /// The same for all routers, so that they get the same bytes.
    pub nonce: u32,
}

impl TargetLeg<'_> {
    /// Empties the workers' caches, sends the requests, and reads what the workers counted.
    pub async fn run(&self, progress: impl Fn(u64) + Send + 'static) -> Result<RunReport> {
        let Self { setup, prepared, options, behind, router, .. } = *self;
        behind.reset().await?;
        let before = behind.counts().await?;
        let speedup = behind.facts.speedup;
        let cell = Cell::first(setup, &setup.baseline, Some(self.requests), options);
        let sent = Options {
            speedup,
            check_tokens: false,
            timeout: REQUEST_LIMIT,
            nonce: Some(self.nonce),
            rows: options.rows || options.sketch,
        };
        let started = Instant::now();
        let address = [address_of(router, &behind.facts.model)];
        let workload = prepared.workload(cell.pace(setup));
        let never = std::future::pending();
        let driven = drive::drive(&address, workload, sent, Identities::default(), never, progress);
        let mut driven = driven.await.with_context(|| router.name.clone())?;
        let wall_s = started.elapsed().as_secs_f64();
        let counted = behind.since(&before).await?;
        let sum = |of: fn(&Counts) -> u64| counted.iter().map(of).sum::<u64>();
        let (prompt, cached) = (sum(|count| count.prompt_tokens), sum(|count| count.cached_tokens));
        let target = TargetFigures {
            name: router.name.clone(),
            address: router.url.clone(),
            worker_requests: sum(|count| count.requests),
            worker_prompt_tokens: prompt,
            worker_cached_tokens: cached,
            worker_hit_rate: (prompt > 0).then(|| cached as f64 / prompt as f64),
            computed_by_worker: counted.iter().map(|count| count.computed_tokens()).collect(),
        };
        driven.live.worker_lateness_s = lateness_s(&counted);
        driven.live.workers = target.workers();
        let late = Late::of(&driven.live, speedup);
        let leg = Leg { setup, prepared, options, speedup, policy: None };
        let run = report(&leg, driven, wall_s);
        Ok(of_target(RunReport { nonce: Some(self.nonce), ..run }, target, &late))
    }
}

/// The run with what its workers counted, which must agree with it.
fn of_target(mut run: RunReport, target: TargetFigures, late: &Late) -> RunReport {
    run.figures.balance_max_over_mean = target.balance();
    // What is late is in the TTFT, so that the TTFT without it is the measure.
    let prompt_s = run.figures.ttft_s.map_or(0.0, |ttft| ttft.mean - late.total());
    let late = || {
        let why = too_late(late, prompt_s, "the mean TTFT without that")?;
        Some(format!("{why}: {REMEDY}"))
    };
    let reason = target.apart(run.figures.hit_rate).or_else(late);
    run.invalid_because = run.invalid_because.or(reason);
    run.valid = run.invalid_because.is_none();
    RunReport { target: Some(target), ..run }
}
