//! One run in virtual time.

use super::bounds::Asked;
use super::economics::economics;
use super::engines::{
    kv_life_s, kv_transfer_figures, peer_figures, places, pool_figures, tier_figures,
};
use super::log::Log;
use super::options::Cell;
use super::validity::too_few;
use crate::figures::{
    CourseFigures, DeviceReport, ENOUGH, EngineFigures, GroupFigures, Mode, Occupancy, Part,
    Profiles, RunId, RunReport, Sampler, Sketch, Stages, Work as Worked, class_figures, signs,
};
use crate::files::bad;
use crate::setup::{DevicesSetup, Fleet, Prepared, Setup};
use anyhow::Result;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::EngineStats;
use warmpath_core::id::RequestId;
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
use warmpath_core::routing::record::Entry;
use warmpath_core::sharing::Scopes;
use warmpath_core::time::Instant;
use warmpath_sim::{DeviceOutcome, Memories, Observers, RunError};

/// Who shares KV cache. All runs of a set-up have the same.
pub fn scope(setup: &Setup) -> Scopes {
    let operator = ScopePlan::new("", "sim", "", setup.fleet.profile().block_size);
    Scopes::new(&operator, setup.sharing, setup.source.tenants())
}

pub fn simulate(
    setup: &Setup,
    prepared: &Prepared<'_>,
    cell: Cell<'_>,
    record: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<RunReport> {
    let started = std::time::Instant::now();
    let Cell { policy, rate_scale, seed, limit, options } = cell;
    let workload = prepared.workload(cell.pace(setup));
    let variant = options.variant.as_deref();
    let limits = (setup.queue_limits(), setup.reliability().limits(), setup.admission_limits());
    let siblings = setup.routers.siblings();
    let log = record.map(|folder| Log::create(folder, policy, variant, seed, limits, siblings));
    let mut log = log.transpose()?;
    let mut write = |entry: &Entry| {
        if let Some(log) = &mut log {
            log.push(entry);
        }
    };
    let mut hopeless = hopeless(setup, workload.total());
    let asked = RefCell::new(Asked::default());
    let mut sent = |at: Instant, work: &Work| asked.borrow_mut().sent(at, work);
    let mut admissions = HashMap::new();
    let mut admitted = |at: Instant, id: RequestId| {
        if options.bounds {
            asked.borrow_mut().admitted(id);
        }
        if options.sketch {
            admissions.entry(id).or_insert(at);
        }
    };
    let places = places(setup);
    let mut sampler = Sampler::default();
    let mut look = |at: Instant, memories: &Memories| sampler.take(at, memories);
    let looks = options.sketch && places.has_several();
    let observers = Observers {
        record: record.is_some().then_some(&mut write),
        progress: Some(progress),
        give_up: if options.give_up { Some(&mut hopeless) } else { None },
        sent: if options.bounds { Some(&mut sent) } else { None },
        admitted: if options.bounds || options.sketch { Some(&mut admitted) } else { None },
        memories: if looks { Some(&mut look) } else { None },
        rows: options.rows || options.sketch,
        explained: None,
        assigned: None,
    };
    let scenario = setup.scenario(policy.policy, seed);
    let outcome = warmpath_sim::run(&scenario, workload, observers);
    let mut outcome = outcome.map_err(|error| match error {
        RunError::GivenUp => GivenUp.into(),
        error => bad(error.to_string()),
    })?;
    if let Some(log) = log {
        log.finish()?;
    }
    // Of all requests that the workers got, before any are left out or added.
    let turn_gap_s = outcome.recorder.turn_gap_s();
    let fleet = &setup.fleet;
    let profile = fleet.profile();
    let block_size = profile.block_size;
    let economics = economics(setup, &outcome);
    let asked = Some(asked.into_inner()).filter(|_| options.bounds && outcome.devices.is_none());
    let bounds = asked.and_then(|asked| asked.bounds(setup, rate_scale, &outcome.recorder));
    let own = outcome.devices.as_ref().map(|devices| &devices.recorder);
    let classes = class_figures(setup.source.classes(), &setup.slo, &outcome.recorder, own);
    let devices = setup.devices.as_ref().zip(outcome.devices.take());
    let devices = devices.map(|(devices, did)| sides(devices, setup, &mut outcome.recorder, did));
    let sum = |of: fn(&EngineStats) -> u64| outcome.engines.iter().map(of).sum();
    let workers = if setup.is_device_only() { 0 } else { fleet.workers() };
    let by_course = CourseFigures::of(
        prepared.course(),
        options.interval,
        &outcome.recorder,
        block_size,
        &setup.slo,
    );
    outcome.recorder.forget_first(options.warm_up);
    // If devices serve a part of the requests, the balance of the workers says nothing about the
    // router.
    let balanced = fleet.comparable_workers().filter(|_| devices.is_none()).map(|_| workers);
    // Engines worked in every stage, counted or not.
    let worked_s = outcome.recorder.span().as_secs_f64();
    let mut rows = outcome.recorder.take_rows();
    let mut stages = None;
    if let Some(plan) = prepared.stages(cell.load(setup)) {
        let recorder = &outcome.recorder;
        let (all, counted) = Stages::of(plan, recorder, block_size, balanced, &setup.slo);
        (stages, outcome.recorder) = (Some(all), counted);
    }
    let figures = outcome.recorder.figures(block_size, balanced, &setup.slo);
    let sketch = options.sketch.then(|| Sketch {
        occupancy: looks.then(|| Occupancy::of(&sampler, &places)),
        ..Sketch::of_run(&rows, stages.as_ref(), balanced, &admissions)
    });
    if !options.rows {
        rows = Vec::new();
    }
    let busy: f64 = outcome.engines.iter().map(|stats| stats.busy.as_secs_f64()).sum();
    let offered_s = worked_s * f64::from(workers);
    let evicted_blocks = sum(|stats| stats.evicted_blocks);
    let kv_life_s = kv_life_s(fleet, evicted_blocks, worked_s);
    let engine = EngineFigures {
        utilisation: if offered_s > 0.0 { busy / offered_s } else { 0.0 },
        steps: sum(|stats| stats.steps),
        preemptions: sum(|stats| stats.preemptions),
        recomputed_tokens: sum(|stats| stats.recomputed_tokens),
        load_wait_s: outcome.engines.iter().map(|stats| stats.load_wait.as_secs_f64()).sum(),
        // In a fleet with fetches, a block has the same bytes everywhere.
        fetched_bytes: sum(|stats| stats.fetched_blocks) as f64 * profile.block_bytes(),
        failed_fetches: sum(|stats| stats.failed_fetches),
        failed_fetches_by: outcome.failed_fetches,
        kv_transfer: kv_transfer_figures(setup, &outcome.kv_transfers, worked_s),
        resident_blocks: outcome.resident.0,
        resident_copies: outcome.resident.1,
        pool: outcome.pool.map(|pool| pool_figures(profile, &pool, worked_s)),
        peers: peer_figures(fleet, &outcome.peer_sends, offered_s),
        tiers: tier_figures(fleet, &outcome.engines, offered_s),
        overlap_blocks: outcome.overlap_blocks,
        evicted_blocks,
        evictions_per_request: (figures.requests > 0)
            .then(|| evicted_blocks as f64 / figures.requests as f64),
        kv_life_s,
        working_set_over_memory: turn_gap_s.zip(kv_life_s).map(|(gap, life)| gap / life),
        loses_evicted: setup.pool.is_none() && fleet.profiles().iter().all(|p| p.tiers.is_empty()),
    };
    let signs = signs(&engine, &figures, balanced);
    let alone = setup.devices.as_ref().filter(|_| setup.is_device_only());
    let alone = alone.map(|devices| Fleet::alike(0, devices.profile.clone()));
    let served = alone.as_ref().unwrap_or(fleet);
    let work = Worked {
        engines: &outcome.engines,
        kv_transfers: &outcome.kv_transfers,
        seconds: worked_s,
    };
    let id = RunId {
        policy: Some(policy.clone()),
        variant: options.variant.clone(),
        mode: if limit.is_some() { Mode::SimSlice } else { Mode::Sim },
        workload: prepared.name(),
        seed,
        rate_scale,
    };
    let profiles = profiles(served, Some(work));
    let invalid_because = too_few(&figures);
    Ok(RunReport {
        valid: invalid_because.is_none(),
        invalid_because,
        engine: Some(engine),
        bounds,
        signs,
        devices,
        routers: (!setup.routers.is_one()).then_some(setup.routers),
        classes,
        stages,
        course: by_course,
        economics,
        parts: Part::of(outcome.recorder.answered(), &setup.slo),
        steady_requests_per_s: outcome.recorder.steady_requests_per_s(),
        rows,
        sketch,
        ..RunReport::new(id, profiles, figures, started.elapsed().as_secs_f64())
    })
}

/// The profiles of a fleet. `work`: what its groups did, if that is known.
pub fn profiles(fleet: &Fleet, work: Option<Worked<'_>>) -> Profiles {
    let groups = match fleet {
        Fleet::Alike { .. } => Vec::new(),
        Fleet::Mixed { groups, .. } => GroupFigures::of(groups, work),
    };
    Profiles {
        names: Some(fleet.profile_names()),
        validated: fleet.validated(),
        tiers: fleet.tier_names(),
        standing: fleet.standing(),
        hbm_tokens_computed: fleet.hbm_tokens_computed(),
        groups,
        fleet: fleet.groups(),
    }
}

/// The run was ended early: too few of its requests can meet the SLO.
#[derive(Debug, thiserror::Error)]
#[error("too few requests can be within the SLO")]
pub struct GivenUp;

/// Tells when more requests have missed the SLO than may miss it.
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

/// The figures of each side. After that, `workers` holds the requests of both.
fn sides(
    users: &DevicesSetup,
    setup: &Setup,
    workers: &mut Recorder,
    did: DeviceOutcome,
) -> DeviceReport {
    let (size, slo) = (users.profile.block_size, &setup.slo);
    let count = users.count(did.engines.len());
    let cluster = setup.fleet.workers();
    let cluster = (!users.stays.all()).then(|| workers.figures(size, cluster, slo));
    let devices = did.recorder.figures(size, count, slo);
    let busy: f64 = did.engines.iter().map(|stats| stats.busy.as_secs_f64()).sum();
    workers.absorb(did.recorder);
    let offered_s = workers.span().as_secs_f64() * f64::from(count);
    DeviceReport {
        profile: users.profile.name.clone(),
        profile_standing: users.profile.standing(),
        count,
        used: did.engines.len() as u32,
        utilisation: if offered_s > 0.0 { busy / offered_s } else { 0.0 },
        devices,
        cluster,
    }
}
