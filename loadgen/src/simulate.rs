//! The legs in virtual time.

use crate::capacity::ENOUGH;
use crate::classes;
use crate::cli;
use crate::config::Setup;
use crate::economics::{Economics, Side};
use crate::files::{PendingFile, bad};
use crate::groups::{Did, Fleet};
use crate::progress::Progress;
use crate::results::{
    EngineFigures, HandoverFigures, Mode, PeerFigures, PoolFigures, Results, RunReport,
    TierFigures, record_name,
};
use crate::rows;
use crate::source::Prepared;
use anyhow::Result;
use std::path::Path;
use std::time::Instant;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::handover::HandoverStats;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::store::Traffic;
use warmpath_core::engine::{EngineStats, LoanStats};
use warmpath_core::event::Role;
use warmpath_core::pool::PoolStats;
use warmpath_core::report::Recorder;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{End, Entry, Header};
use warmpath_core::sharing::Scopes;
use warmpath_core::time::Duration;
use warmpath_core::workload::trace::Pace;
use warmpath_sim::{Observers, Outcome, RunError};

/// One run in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub policy: PolicyConfig,
    pub rate_scale: f64,
    pub seed: u64,
    /// Only so many requests, for parity with a live leg.
    pub limit: Option<u64>,
    /// Whether a row a request is kept.
    pub rows: bool,
}

impl Cell {
    /// The first rate and seed of a set-up, which its live leg has too.
    pub fn first(setup: &Setup, policy: PolicyConfig, limit: Option<u64>) -> Self {
        Self { policy, rate_scale: setup.rates[0], seed: setup.seed, limit, rows: setup.rows }
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

/// `loadgen sim`: the whole workload under each policy, or a grid of them.
pub fn all(args: &cli::Sim, setup: &Setup, progress: &Progress) -> Result<Results> {
    let prepared = setup.source.prepare(&scope(setup));
    if setup.is_grid() && args.record.is_some() {
        return Err(bad("--record: writes one log a policy, expected one seed and one rate"));
    }
    let pace = Cell::first(setup, setup.baseline, None).pace(setup);
    let total = prepared.workload(pace).total();
    rows::check_room(setup, total, 0)?;
    if setup.is_grid() {
        return Results::of_grid(setup, &prepared, progress);
    }
    let mut runs = Vec::new();
    for &policy in &setup.policies {
        let cell = Cell::first(setup, policy, None);
        let bar = progress.start(total, &format!("{policy} sim"), "requests");
        let record = args.record.as_deref();
        runs.push(simulate(setup, &prepared, cell, record, &mut |n| bar.set(n))?);
    }
    Results::of_runs(runs, setup, &prepared, progress)
}

/// Who shares with whom, which is the same in all runs of a set-up.
pub fn scope(setup: &Setup) -> Scopes {
    let operator = ScopePlan::new("", "sim", "", setup.fleet.profile().block_size);
    Scopes::new(&operator, setup.sharing, setup.source.tenants())
}

pub fn simulate(
    setup: &Setup,
    prepared: &Prepared<'_>,
    cell: Cell,
    record: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<RunReport> {
    let started = Instant::now();
    let Cell { policy, rate_scale, seed, limit, rows } = cell;
    let workload = prepared.workload(cell.pace(setup));
    let mut log = record
        .map(|folder| Log::create(folder, policy, setup.variant.as_deref(), seed))
        .transpose()?;
    let mut write = |entry: &Entry| {
        if let Some(log) = &mut log {
            log.push(entry);
        }
    };
    let mut hopeless = hopeless(setup, workload.total());
    let observers = Observers {
        record: record.is_some().then_some(&mut write),
        progress: Some(progress),
        give_up: if setup.give_up { Some(&mut hopeless) } else { None },
        rows,
    };
    let scenario = setup.scenario(policy, seed);
    let outcome = warmpath_sim::run(&scenario, workload, observers);
    let mut outcome = outcome.map_err(|error| match error {
        RunError::GivenUp => GivenUp.into(),
        error => bad(error.to_string()),
    })?;
    if let Some(log) = log {
        log.finish()?;
    }
    let fleet = &setup.fleet;
    let profile = fleet.profile();
    let block_size = profile.block_size;
    let economics = economics(setup, &outcome);
    let own = outcome.devices.as_ref().map(|devices| &devices.recorder);
    let classes = classes::figures(setup, &outcome.recorder, own);
    let devices = setup.devices.as_ref().zip(outcome.devices.take());
    let devices = devices.map(|(devices, did)| devices.report(setup, &mut outcome.recorder, did));
    let sum = |of: fn(&EngineStats) -> u64| outcome.engines.iter().map(of).sum();
    let workers = if setup.is_device_only() { 0 } else { fleet.workers() };
    outcome.recorder.forget_first(setup.warm_up);
    // How evenly the router spread its work says nothing of a fleet that is not all the router's.
    let balanced = fleet.comparable_workers().filter(|_| devices.is_none()).map(|_| workers);
    let figures = outcome.recorder.figures(block_size, balanced, &setup.slo);
    let busy: f64 = outcome.engines.iter().map(|stats| stats.busy.as_secs_f64()).sum();
    let offered_s = figures.duration_s * f64::from(workers);
    let engine = EngineFigures {
        utilisation: if offered_s > 0.0 { busy / offered_s } else { 0.0 },
        steps: sum(|stats| stats.steps),
        preemptions: sum(|stats| stats.preemptions),
        recomputed_tokens: sum(|stats| stats.recomputed_tokens),
        load_wait_s: outcome.engines.iter().map(|stats| stats.load_wait.as_secs_f64()).sum(),
        // Where anything is fetched, blocks have the same bytes throughout the fleet.
        fetched_bytes: sum(|stats| stats.fetched_blocks) as f64 * profile.block_bytes(),
        failed_fetches: sum(|stats| stats.failed_fetches),
        failed_fetches_by: outcome.failed_fetches,
        handover: handover_figures(setup, &outcome.handovers, figures.duration_s),
        resident_blocks: outcome.resident.0,
        resident_copies: outcome.resident.1,
        pool: outcome.pool.map(|pool| pool_figures(profile, &pool, figures.duration_s)),
        peers: peer_figures(fleet, &outcome.loans, offered_s),
        tiers: tier_figures(fleet, &outcome.engines, offered_s),
        overlap_blocks: outcome.overlap_blocks,
    };
    let alone = setup.devices.as_ref().filter(|_| setup.is_device_only());
    let alone = alone.map(|devices| Fleet::alike(0, devices.profile.clone()));
    let served = alone.as_ref().unwrap_or(fleet);
    Ok(RunReport {
        policy: Some(policy),
        variant: setup.variant.clone(),
        mode: if limit.is_some() { Mode::SimSlice } else { Mode::Sim },
        workload: prepared.name(),
        profile: Some(served.profile_names()),
        profile_validated: served.validated(),
        tiers: served.tier_names(),
        profile_standing: served.standing(),
        profile_hbm_tokens_computed: served.hbm_tokens_computed(),
        groups: if workers > 0 {
            fleet.figures(Some(Did {
                engines: &outcome.engines,
                handovers: &outcome.handovers,
                seconds: figures.duration_s,
            }))
        } else {
            Vec::new()
        },
        figures,
        router_overhead_s: None,
        speedup: None,
        engine: Some(engine),
        devices,
        classes,
        economics,
        steady_requests_per_s: outcome.recorder.steady_requests_per_s(),
        valid: true,
        invalid_because: None,
        live: None,
        wall_s: started.elapsed().as_secs_f64(),
        seed,
        nonce: None,
        rate_scale,
        rows: outcome.recorder.take_rows(),
    })
}

/// A run that was broken off: too few of its requests could be within the SLO.
#[derive(Debug, thiserror::Error)]
#[error("too few requests can be within the SLO")]
pub struct GivenUp;

/// Whether more requests have missed the SLO than may.
fn hopeless(setup: &Setup, total: u64) -> impl FnMut(&Recorder) -> bool {
    let slo = setup.slo;
    let (mut seen, mut missed) = (0, 0);
    move |recorder| {
        let answered = recorder.answered();
        missed += answered[seen..].iter().filter(|request| !request.meets(&slo)).count() as u64;
        seen = answered.len();
        missed as f64 > total as f64 * (1.0 - ENOUGH)
    }
}

/// None where no prices are given, or no chips are known that could have one.
fn economics(setup: &Setup, outcome: &Outcome) -> Option<Economics> {
    let sheet = setup.prices.as_ref()?;
    let mut sides = Vec::new();
    let groups = if setup.is_device_only() { Vec::new() } else { setup.fleet.groups() };
    let mut first = 0;
    for group in &groups {
        let engines = &outcome.engines[first as usize..(first + group.workers) as usize];
        sides.push(Side {
            name: &group.name,
            profile: &group.profile,
            rates: sheet.cluster(group.profile.hardware()?),
            first,
            count: group.workers,
            engines,
            recorder: &outcome.recorder,
        });
        first += group.workers;
    }
    if let Some((devices, did)) = setup.devices.as_ref().zip(outcome.devices.as_ref()) {
        sides.push(Side {
            name: "devices",
            profile: &devices.profile,
            rates: sheet.device(devices.profile.hardware()?),
            first: 0,
            count: devices.count(did.engines.len()),
            engines: &did.engines,
            recorder: &did.recorder,
        });
    }
    let uses_pool = groups.iter().any(|group| group.profile.pool.is_some());
    let room = setup.pool.as_ref().filter(|_| uses_pool).map(|pool| pool.tokens);
    let tb = |tokens: u64| tokens as f64 * setup.fleet.profile().kv_bytes_per_token as f64 / 1e12;
    let span = outcome
        .devices
        .iter()
        .fold(outcome.recorder.span(), |span, devices| span.max(devices.recorder.span()));
    Some(Economics::of(&sides, room.map(tb), span, sheet))
}

/// A record in the making, kept in memory until it is whole.
struct Log {
    file: PendingFile,
    text: Vec<u8>,
    entries: u64,
}

impl Log {
    fn create(
        folder: &Path,
        policy: PolicyConfig,
        variant: Option<&str>,
        seed: u64,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| bad(format!("{}: {error}", folder.display())))?;
        let file = PendingFile::create(&folder.join(record_name(policy, variant)))?;
        let mut text = serde_json::to_vec(&Header::new(policy, seed))?;
        text.push(b'\n');
        Ok(Self { file, text, entries: 0 })
    }

    fn push(&mut self, entry: &Entry) {
        serde_json::to_writer(&mut self.text, entry).expect("an entry has a JSON form");
        self.text.push(b'\n');
        self.entries += 1;
    }

    fn finish(mut self) -> Result<()> {
        serde_json::to_writer(&mut self.text, &End { end: self.entries })?;
        self.text.push(b'\n');
        self.file.finish(&self.text)
    }
}

/// What went from workers that compute prompts to those that answer.
fn handover_figures(
    setup: &Setup,
    workers: &[HandoverStats],
    duration_s: f64,
) -> Option<HandoverFigures> {
    setup.handover?;
    let sum = |of: fn(&HandoverStats) -> u64| workers.iter().map(of).sum();
    let seconds = |of: fn(&HandoverStats) -> Duration| -> f64 {
        workers.iter().map(|stats| of(stats).as_secs_f64()).sum()
    };
    let groups = setup.fleet.groups();
    let senders = groups.iter().filter(|group| group.role == Role::Prefill);
    let offered_s = duration_s * f64::from(senders.map(|group| group.workers).sum::<u32>());
    Some(HandoverFigures {
        tokens: sum(|stats| stats.tokens),
        bytes: sum(|stats| stats.bytes),
        link_utilisation: if offered_s > 0.0 {
            seconds(|stats| stats.sending) / offered_s
        } else {
            0.0
        },
        wait_s: seconds(|stats| stats.wait),
        failed: sum(|stats| stats.failed),
        expired: sum(|stats| stats.expired),
    })
}

fn pool_figures(profile: &Profile, pool: &PoolStats, duration_s: f64) -> PoolFigures {
    let bytes = |blocks: u64| blocks as f64 * profile.block_bytes();
    PoolFigures {
        sent_bytes: bytes(pool.sent_blocks),
        stored_bytes: bytes(pool.stored_blocks),
        known_bytes: bytes(pool.known_blocks),
        refused_bytes: bytes(pool.refused_blocks),
        link_utilisation: if duration_s > 0.0 {
            pool.sending.as_secs_f64() / duration_s
        } else {
            0.0
        },
    }
}

/// None where nobody lends.
fn peer_figures(fleet: &Fleet, loans: &[LoanStats], offered_s: f64) -> Option<PeerFigures> {
    let lends = fleet.profiles().into_iter().any(|profile| profile.peers.is_some());
    if !lends || offered_s <= 0.0 {
        return None;
    }
    // Where anything is lent, blocks have the same bytes throughout the fleet.
    let blocks: u64 = loans.iter().map(|loan| loan.blocks).sum();
    let sending: f64 = loans.iter().map(|loan| loan.sending.as_secs_f64()).sum();
    Some(PeerFigures {
        sent_bytes: blocks as f64 * fleet.profile().block_bytes(),
        link_utilisation: sending / offered_s,
    })
}

fn tier_figures(fleet: &Fleet, engines: &[EngineStats], offered_s: f64) -> Vec<TierFigures> {
    let profiles: Vec<&Profile> = fleet.each_worker();
    let of = |(i, name): (usize, String)| {
        let sum = |of: fn(&Traffic) -> u64| -> f64 {
            let bytes = |(profile, engine): (&&Profile, &EngineStats)| {
                engine.traffic.get(i).map_or(0.0, |tier| of(tier) as f64 * profile.block_bytes())
            };
            profiles.iter().zip(engines).map(bytes).sum()
        };
        let traffic = engines.iter().filter_map(|engine| engine.traffic.get(i));
        let loading: f64 = traffic.map(|tier| tier.loading.as_secs_f64()).sum();
        TierFigures {
            name,
            loaded_bytes: sum(|tier| tier.loaded_blocks),
            stored_bytes: sum(|tier| tier.stored_blocks),
            shed_bytes: sum(|tier| tier.shed_blocks),
            load_link_utilisation: if offered_s > 0.0 { loading / offered_s } else { 0.0 },
        }
    };
    fleet.tier_names().into_iter().skip(1).enumerate().map(of).collect()
}
