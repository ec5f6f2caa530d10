//! Searches where a shared pool makes a fleet five times as fast. Each session asks one question
//! about one of many texts, which are equally popular. Without the pool the texts are in the workers'
//! HBM, with it in the pool too. One axis at a time is varied around a base point.

use crate::figures::{Estimate, RunReport};
use crate::play::Progress;
use crate::play::capacity::{Bounds, search};
use crate::play::parallel;
use crate::play::{Cell, RunOptions, scope, simulate};
use crate::setup::Fleet;
use crate::setup::Setup;
use crate::setup::Source;
use crate::studies::measure::BOUNDS;
use anyhow::Result;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_core::sharing::SharingRule;
use warmpath_core::workload::sessions::{Amount, Arrivals, SessionsSpec, ThinkFrom, WorkloadSpec};
use warmpath_core::workload::spec::{SharedTexts, TextsOf};

/// Questions per text. In the first half each text is met and computed; that half is played and not
/// counted.
const VISITS: u64 = 24;
const WARM_UP: f64 = 0.5;
const ANSWER_TOKENS: f64 = 128.0;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct At {
    /// Share of the prompt that is the text.
    pub reused_share: f64,
    pub prompt_tokens: f64,
    /// From the pool to each worker.
    pub gb_s: f64,
    pub workers: u32,
    /// Size of all texts, divided by the HBM of all workers.
    pub working_set: f64,
}

const BASE: At =
    At { reused_share: 0.95, prompt_tokens: 32_000.0, gb_s: 100.0, workers: 4, working_set: 4.0 };

#[derive(Debug, Serialize)]
pub struct Point {
    pub axis: &'static str,
    pub at: At,
    pub hit_rate_without: Option<f64>,
    pub hit_rate_with: Option<f64>,
    /// Requests per second within the SLO.
    pub without: f64,
    pub with: f64,
    /// None: without the pool nothing is served within the SLO, with a seed.
    pub times: Option<f64>,
    /// Half of the 95 % interval, seed by seed. None: one seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_half_width_95: Option<f64>,
}

fn points() -> Vec<(&'static str, At)> {
    let mut points = vec![("base", BASE)];
    for reused_share in [0.5, 0.8, 0.9, 0.98, 0.99] {
        points.push(("reused share", At { reused_share, ..BASE }));
    }
    for prompt_tokens in [8_000.0, 16_000.0, 64_000.0, 128_000.0] {
        points.push(("prompt tokens", At { prompt_tokens, ..BASE }));
    }
    for gb_s in [2.0, 5.0, 10.0, 25.0, 50.0] {
        points.push(("pool GB/s", At { gb_s, ..BASE }));
    }
    for workers in [1, 2, 8, 16] {
        points.push(("workers", At { workers, ..BASE }));
    }
    for working_set in [0.5, 1.0, 2.0, 8.0] {
        points.push(("texts / HBM", At { working_set, ..BASE }));
    }
    points
}

/// Each point with every seed of the set-up: means, and the interval of the ratio.
pub fn play(setup: &Setup, progress: &Progress) -> Result<Vec<Point>> {
    let points = points();
    let mut sides: Vec<(At, bool, u64)> = Vec::new();
    for &(_, at) in &points {
        for seed in setup.seed..setup.seed + setup.seeds {
            sides.extend([(at, false, seed), (at, true, seed)]);
        }
    }
    let bar = progress.start(sides.len() as u64, "sweep", "searches");
    let ended = AtomicU64::new(0);
    let found = parallel::map(&sides, |&(at, with, seed)| {
        let found = highest(&Setup { seed, ..setup.clone() }, at, with);
        bar.set(ended.fetch_add(1, Ordering::Relaxed) + 1);
        found
    });
    let found = found.into_iter().collect::<Result<Vec<_>>>()?;
    let of_point = found.chunks(2 * setup.seeds as usize);
    Ok(points.iter().zip(of_point).map(|(&(axis, at), found)| Point::of(axis, at, found)).collect())
}

impl Point {
    /// Whether the pool makes it so many times as fast, over all seeds.
    pub fn reaches(&self, claim: f64) -> bool {
        self.times.is_some_and(|times| times - self.times_half_width_95.unwrap_or(0.0) >= claim)
    }

    /// `found`: without and with the pool, for each seed.
    fn of(axis: &'static str, at: At, found: &[Highest]) -> Self {
        let side = |place: usize| found.iter().skip(place).step_by(2);
        let served = |place| -> Vec<f64> { side(place).map(|found| found.0).collect() };
        let hits = |place| -> Option<f64> {
            let hits: Option<Vec<f64>> = side(place).map(|found| found.1).collect();
            hits.map(|hits| Estimate::of(&hits).mean)
        };
        let (without, with) = (served(0), served(1));
        let pairs = with.iter().zip(&without);
        let times: Option<Vec<f64>> =
            pairs.map(|(with, without)| (*without > 0.0).then(|| with / without)).collect();
        let times = times.map(|times| Estimate::of(&times));
        Self {
            axis,
            at,
            hit_rate_without: hits(0),
            hit_rate_with: hits(1),
            without: Estimate::of(&without).mean,
            with: Estimate::of(&with).mean,
            times: times.map(|times| times.mean),
            times_half_width_95: times.and_then(|times| times.half_width_95),
        }
    }
}

/// Requests per second within the SLO, and the hit rate at this rate. Without such a rate there is no
/// hit rate.
type Highest = (f64, Option<f64>);

fn highest(setup: &Setup, at: At, with: bool) -> Result<Highest> {
    let setup = fleet(setup, at, with);
    let prepared = setup.source.prepare(&scope(&setup));
    let options = RunOptions { warm_up: WARM_UP, ..RunOptions::default() };
    let run_at = |rate_scale: f64, _| -> Result<Option<RunReport>> {
        let cell = Cell {
            policy: &setup.policies[0],
            rate_scale,
            seed: setup.seed,
            limit: None,
            options: &options,
        };
        simulate(&setup, &prepared, cell, None, &mut |_| ()).map(Some)
    };
    let bounds = Bounds { most: 64.0, ..BOUNDS };
    let (_, run) = search(bounds, run_at)?;
    Ok(run.map_or((0.0, None), |run| (run.steady_requests_per_s, run.figures.hit_rate)))
}

fn fleet(whole: &Setup, at: At, with: bool) -> Setup {
    let mut setup = whole.clone();
    let mut profile = whole.fleet.profile().clone();
    profile.tiers.clear();
    profile.peers = None;
    profile.pool = profile.pool.filter(|_| with);
    if let Some(link) = &mut profile.pool {
        link.gb_s = at.gb_s;
    }
    let hbm = profile.hbm_tokens.unwrap_or(1 << 40) as f64 * f64::from(at.workers);
    let text = (at.reused_share * at.prompt_tokens).round();
    let count = (at.working_set * hbm / text).round().max(1.0);
    // The pool holds all texts. Its own link is no bottleneck; the links of the workers are.
    let gb_s = at.gb_s * f64::from(at.workers);
    setup.pool = with.then_some(PoolSpec {
        tokens: (2.0 * count * at.prompt_tokens) as u64,
        gb_s,
        store_gb_s: gb_s,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    });
    // The rate without any reuse, to start the search.
    let alone = profile.prefill_cost().estimate(at.prompt_tokens as u32, 0).as_secs_f64();
    let sessions_per_s = f64::from(at.workers) / alone;
    setup.fleet = Fleet::alike(at.workers, profile);
    setup.devices = None;
    setup.sharing = SharingRule::default();
    setup.prices = None;
    setup.source = Source::Workload(Box::new(workload(at, text, count, sessions_per_s)));
    setup
}

fn workload(at: At, text: f64, count: f64, sessions_per_s: f64) -> WorkloadSpec {
    let always = |mean| Amount { mean, cv: 0.0 };
    let sessions = SessionsSpec {
        name: "sweep".into(),
        requests: VISITS * count as u64,
        arrivals: Arrivals::Poisson { sessions_per_s },
        system_prompts: 1,
        system_tokens: 0,
        turns: always(1.0),
        branching: None,
        user_tokens: always((at.prompt_tokens - text).max(1.0)),
        output_tokens: always(ANSWER_TOKENS),
        think_s: always(0.0),
        think_from: ThinkFrom::Answer,
        // A shared text may take half of it.
        max_context_tokens: (4.0 * at.prompt_tokens) as u32,
    };
    let documents = SharedTexts {
        count: count as u32,
        tokens: always(text),
        zipf: 0.0,
        of: TextsOf::AllTenants,
    };
    WorkloadSpec {
        sessions,
        team_prefixes: None,
        documents: Some(documents),
        tenants: 1,
        tenant_zipf: 0.0,
        stages: Vec::new(),
        prompts: None,
    }
}
