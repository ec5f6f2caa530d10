//! The simulations behind an advice, over several seeds.

use super::band::Band;
use super::choice::Choice;
use super::facts::{ClassOnDevices, Cluster, Devices, Facts, Least, SameModel, Split, mean};
use super::same_model;
use crate::figures::ClassFigures;
use crate::figures::ENOUGH;
use crate::figures::{Found, RunReport};
use crate::play::capacity::Bounds;
use crate::play::{kv_room, parallel};
use crate::setup::Fleet;
use crate::setup::Setup;
use crate::setup::{DevicesSetup, StaysSetup};
use crate::studies::deploy;
use crate::studies::measure::{AtSlo, BOUNDS, at_slo, chips_each, run_at};
use anyhow::Result;
use warmpath_core::engine::profile::Profile;
use warmpath_core::sharing::{SharingRule, SharingScope};

/// A side with a smaller share of the requests makes no split.
const SPLIT_SHARE: (f64, f64) = (0.01, 0.99);

/// Everything at the SLO of `setup`, with `seeds` seeds from its own on.
pub fn measure(setup: &Setup, seeds: u64) -> Result<Facts> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let within = |scope| SharingRule { scope, public_prefixes: false, groups: None };
    let shared = [within(SharingScope::None), within(SharingScope::Session), whole(setup)];
    let sides = Sides::new(setup, devices);
    let (devices, splits) = sides.alone(seeds)?;
    let mut plan = Plan { jobs: Vec::new(), seed: setup.seed, seeds };
    let own = plan.add(Job::Own, &Setup { devices: None, ..setup.clone() });
    let clusters =
        shared.map(|sharing| plan.add(Job::Cluster(BOUNDS), &cluster_of(setup, sharing)));
    let same = same_model::on_cluster(setup);
    let sharing = whole(setup);
    let same_job = same
        .as_ref()
        .ok()
        .map(|same| plan.add(Job::Cluster(BOUNDS), &Setup { sharing, ..same.clone() }));
    let jobs = splits.add_to(&mut plan, BOUNDS);
    let mut done = plan.run()?;
    let own: Vec<Own> = done.take(own, Done::own);
    let clusters = clusters.map(|job| Cluster::over(&done.take(job, Done::cluster))).to_vec();
    let prompt_tokens = mean(&own, |own| own.prompt_tokens);
    let reused =
        clusters.last().and_then(|cluster| cluster.reused_share).unwrap_or(0.0) * prompt_tokens;
    let same_cluster = same_job.map(|job| Cluster::over(&done.take(job, Done::cluster)));
    let splits = splits.take(&mut done, &jobs);
    Ok(Facts {
        slo: setup.slo,
        seeds,
        prompt_tokens,
        output_tokens: mean(&own, |own| own.output_tokens),
        requests_per_s: mean(&own, |own| own.requests_per_s),
        break_even_gb_s: break_even_gb_s(
            setup.fleet.profile(),
            prompt_tokens as u32,
            reused as u32,
        ),
        clusters,
        same_model: same.as_ref().ok().zip(same_cluster).map(|(same, of)| same_model(same, of)),
        no_same_model: same.err(),
        devices,
        splits,
    })
}

fn same_model(setup: &Setup, cluster: Cluster) -> SameModel {
    let profile = setup.fleet.profile();
    let made = profile.step.calibrated().expect("made from a device and a model");
    SameModel {
        profile: profile.name.clone(),
        model: made.model().to_owned(),
        precision: made.deployment().precision.to_string(),
        chips_per_worker: chips_each(profile),
        standing: profile.standing(),
        cluster,
    }
}

/// The same at another SLO, with one seed. Of the clusters, only the advised ones are simulated.
pub fn at_other_slo(facts: &Facts, setup: &Setup) -> Result<Facts> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let (devices, splits) = Sides::new(setup, devices).alone(1)?;
    let again = again(facts, setup, same_model::on_cluster(setup).ok(), &splits)?;
    Ok(Facts { slo: setup.slo, devices, ..again })
}

/// The same with a multiple of the workers' room for KV, with one seed. Devices keep their own room. None: no
/// worker's room is limited.
pub fn with_kv_room(facts: &Facts, setup: &Setup, times: f64) -> Result<Option<Facts>> {
    let Some(varied) = kv_room::with(setup, times) else { return Ok(None) };
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let sides = Sides::new(&varied, devices);
    let splits = Splits(facts.splits.iter().map(|was| sides.split(was.stays.clone())).collect());
    let same = same_model::on_cluster(setup).ok();
    let same = same.and_then(|same| kv_room::with(&same, times));
    again(facts, &varied, same, &splits).map(Some)
}

/// The advised clusters and these splits, with one seed.
fn again(facts: &Facts, setup: &Setup, same: Option<Setup>, splits: &Splits) -> Result<Facts> {
    let mut plan = Plan { jobs: Vec::new(), seed: setup.seed, seeds: 1 };
    let sharing = whole(setup);
    let near_one = |cluster: Option<&Cluster>| near(facts, setup, cluster);
    let bounds = near_one(facts.whole());
    let job = plan.add(Job::Cluster(bounds), &cluster_of(setup, sharing));
    let same = facts.same_model.as_ref().zip(same);
    let same = same.map(|(was, same)| {
        let bounds = near_one(Some(&was.cluster));
        (was, plan.add(Job::Cluster(bounds), &Setup { sharing, ..same }))
    });
    let jobs = splits.add_to(&mut plan, bounds);
    let mut done = plan.run()?;
    let clusters = done.take(job, Done::cluster);
    let same_model = same.map(|(was, job)| SameModel {
        cluster: Cluster::over(&done.take(job, Done::cluster)),
        ..was.clone()
    });
    let splits = splits.take(&mut done, &jobs);
    Ok(Facts { seeds: 1, clusters, same_model, splits, ..facts.clone() })
}

/// The same with devices that are `times` as fast, with one seed.
pub fn with_device_speed(facts: &Facts, setup: &Setup, times: f64) -> Result<Facts> {
    let (devices, splits) = Sides::new(setup, faster(setup, times)?).alone(1)?;
    let mut plan = Plan { jobs: Vec::new(), seed: setup.seed, seeds: 1 };
    let jobs = splits.add_to(&mut plan, near(facts, setup, facts.whole()));
    let splits = splits.take(&mut plan.run()?, &jobs);
    Ok(Facts { devices, splits, ..facts.clone() })
}

/// A search starts where the previous one ended.
fn near(facts: &Facts, setup: &Setup, cluster: Option<&Cluster>) -> Bounds {
    let rate = cluster.and_then(|cluster| cluster.requests_per_s_per_worker);
    let workers = f64::from(setup.fleet.workers());
    let load = rate.map_or(1.0, |rate| rate.mean * workers / facts.requests_per_s.max(1e-9));
    BOUNDS.near(load)
}

/// Everything that the scenario has is shared.
fn whole(setup: &Setup) -> SharingRule {
    let public_prefixes = setup.source.operators_tokens() > 0;
    SharingRule { scope: SharingScope::Tenant, public_prefixes, groups: None }
}

fn cluster_of(setup: &Setup, sharing: SharingRule) -> Setup {
    let mut setup = Setup { devices: None, sharing, ..setup.clone() };
    if sharing.scope == SharingScope::None {
        // Without reuse, no memory behind HBM is needed.
        let mut profile = setup.fleet.profile().clone();
        profile.tiers.clear();
        (profile.pool, profile.peers) = (None, None);
        setup.fleet = Fleet::alike(setup.fleet.workers(), profile);
        setup.pool = None;
    }
    setup
}

/// Devices alone, and beside a cluster.
struct Sides<'a> {
    setup: &'a Setup,
    devices: DevicesSetup,
    longest_in_time: u32,
}

impl<'a> Sides<'a> {
    fn new(setup: &'a Setup, devices: DevicesSetup) -> Self {
        let longest_in_time = longest_in_time(&devices.profile, setup.slo.ttft_s);
        Self { setup, devices, longest_in_time }
    }

    fn staying(&self, stays: StaysSetup) -> Option<DevicesSetup> {
        Some(DevicesSetup { stays, ..self.devices.clone() })
    }

    /// What devices do alone, and the splits that follow from it.
    fn alone(&self, seeds: u64) -> Result<(Devices, Splits)> {
        let devices = self.staying(StaysSetup::default());
        let alone = Setup { devices, pool: None, ..self.setup.clone() };
        let mut plan = Plan { jobs: Vec::new(), seed: self.setup.seed, seeds };
        let job = plan.add(Job::Devices, &alone);
        let devices = Devices::over(&plan.run()?.take(job, Done::devices));
        let devices = Devices { longest_in_time: self.longest_in_time, ..devices };
        let mut splits = vec![self.split(StaysSetup::up_to(self.longest_in_time.max(1)))];
        let in_time = devices.classes.iter().filter(|class| class.within_slo.mean >= ENOUGH);
        let in_time: Vec<String> = in_time.map(|class| class.name.clone()).collect();
        if !in_time.is_empty() && in_time.len() < devices.classes.len() {
            splits.push(self.split(StaysSetup::of_classes(in_time)));
        }
        Ok((devices, Splits(splits)))
    }

    fn split(&self, stays: StaysSetup) -> Setup {
        let sharing = whole(self.setup);
        Setup { devices: self.staying(stays), sharing, ..self.setup.clone() }
    }
}

struct Splits(Vec<Setup>);

impl Splits {
    fn add_to(&self, plan: &mut Plan, bounds: Bounds) -> Vec<usize> {
        self.0.iter().map(|split| plan.add(Job::Split(bounds), split)).collect()
    }

    /// The splits in which both sides serve requests.
    fn take(&self, done: &mut AllDone, jobs: &[usize]) -> Vec<Split> {
        jobs.iter().filter_map(|&job| Split::over(done.take(job, Done::split))).collect()
    }
}

/// What to simulate, each with every seed.
struct Plan {
    jobs: Vec<(Job, Setup)>,
    seed: u64,
    seeds: u64,
}

#[derive(Clone, Copy)]
enum Job {
    Cluster(Bounds),
    Split(Bounds),
    Devices,
    Own,
}

enum Done {
    Cluster(Cluster),
    Split(Option<Split>),
    Devices(Devices),
    Own(Own),
}

/// Results by job, then by seed.
struct AllDone(Vec<Vec<Done>>);

impl Plan {
    /// Adds a job. Its results are taken by the returned number.
    fn add(&mut self, job: Job, setup: &Setup) -> usize {
        self.jobs.push((job, setup.clone()));
        self.jobs.len() - 1
    }

    /// The first seed of each job, then the others, whose searches start where that of the first one ended.
    fn run(&self) -> Result<AllDone> {
        let play = |each: &[(Job, Setup)]| -> Result<Vec<(Done, Option<f64>)>> {
            parallel::map(each, |(job, setup)| job.run(setup)).into_iter().collect()
        };
        let of_seed = |job: Job, setup: &Setup, seed: u64| (job, Setup { seed, ..setup.clone() });
        let first: Vec<_> =
            self.jobs.iter().map(|(job, setup)| of_seed(*job, setup, self.seed)).collect();
        let first = play(&first)?;
        let others: Vec<_> = self
            .jobs
            .iter()
            .zip(&first)
            .flat_map(|((job, setup), (_, load))| {
                let seeds = self.seed + 1..self.seed + self.seeds;
                seeds.map(move |seed| of_seed(job.near(*load), setup, seed))
            })
            .collect();
        let mut others = play(&others)?.into_iter().map(|(done, _)| done);
        let of_job = |(first, _)| {
            let others = others.by_ref().take(self.seeds as usize - 1);
            std::iter::once(first).chain(others).collect()
        };
        Ok(AllDone(first.into_iter().map(of_job).collect()))
    }
}

impl AllDone {
    fn take<T>(&mut self, job: usize, of: fn(Done) -> Option<T>) -> Vec<T> {
        let done = std::mem::take(&mut self.0[job]);
        done.into_iter().map(|done| of(done).expect("what a job is done as")).collect()
    }
}

impl Done {
    fn cluster(self) -> Option<Cluster> {
        if let Self::Cluster(cluster) = self { Some(cluster) } else { None }
    }

    fn split(self) -> Option<Option<Split>> {
        if let Self::Split(split) = self { Some(split) } else { None }
    }

    fn devices(self) -> Option<Devices> {
        if let Self::Devices(devices) = self { Some(devices) } else { None }
    }

    fn own(self) -> Option<Own> {
        if let Self::Own(own) = self { Some(own) } else { None }
    }
}

impl Job {
    /// What it finds, and the load that a search ended at.
    fn run(self, setup: &Setup) -> Result<(Done, Option<f64>)> {
        Ok(match self {
            Self::Cluster(bounds) => {
                let (cluster, load) = cluster(setup, bounds)?;
                (Done::Cluster(cluster), load)
            }
            Self::Split(bounds) => {
                let (split, load) = split(setup, bounds)?.unzip();
                (Done::Split(split), load.flatten())
            }
            Self::Devices => (Done::Devices(devices(setup)?), None),
            Self::Own => (Done::Own(own(setup)?), None),
        })
    }

    /// The same with a search that starts near a load.
    fn near(self, load: Option<f64>) -> Self {
        let near = |bounds: Bounds| load.map_or(bounds, |load| bounds.near(load));
        match self {
            Self::Cluster(bounds) => Self::Cluster(near(bounds)),
            Self::Split(bounds) => Self::Split(near(bounds)),
            Self::Devices | Self::Own => self,
        }
    }
}

struct Own {
    prompt_tokens: f64,
    output_tokens: f64,
    requests_per_s: f64,
}

fn own(setup: &Setup) -> Result<Own> {
    let run = run_at(setup, 1.0)?;
    let figures = &run.figures;
    let each = |tokens: f64| tokens / figures.requests.max(1) as f64;
    let prompt = (figures.prefill_tokens_cached + figures.prefill_tokens_computed) as f64;
    Ok(Own {
        prompt_tokens: each(prompt),
        output_tokens: each(figures.throughput.output_tokens_per_s * figures.duration_s),
        requests_per_s: run.steady_requests_per_s,
    })
}

fn cluster(setup: &Setup, bounds: Bounds) -> Result<(Cluster, Option<f64>)> {
    let found = at_slo(setup, bounds)?;
    let figures = found.run.as_ref().map(|run| &run.figures);
    let (reused_share, least) = match figures {
        Some(figures) => (figures.hit_rate, None),
        None => (run_at(setup, 1.0)?.figures.hit_rate, least(setup, &found)?),
    };
    let kwh = found.economics().map(|economics| economics.total.kwh);
    let requests = figures.map(|figures| figures.requests.max(1) as f64);
    let cluster = Cluster {
        sharing: setup.sharing.to_string(),
        reused_share,
        requests_per_s_per_worker: by_worker(setup, &found, bounds),
        seeds_without: u64::from(found.run.is_none()),
        kwh_per_request: kwh.zip(requests).map(|(kwh, n)| kwh / n).filter(|kwh| kwh.is_finite()),
        short: short(&found),
        least,
    };
    Ok((cluster, found.load()))
}

fn by_worker(setup: &Setup, found: &AtSlo, bounds: Bounds) -> Option<Band> {
    let run = found.run.as_ref()?;
    Some(Band::found(run.steady_requests_per_s / f64::from(setup.fleet.workers()), bounds))
}

const fn short(found: &AtSlo) -> bool {
    matches!(found.found, Found::At { short: true, .. })
}

/// A run at the lowest load that a search tried, if that missed the SLO.
fn least(setup: &Setup, found: &AtSlo) -> Result<Option<Least>> {
    let Found::Nowhere { rate_scale, .. } = found.found else { return Ok(None) };
    let figures = run_at(setup, rate_scale)?.figures;
    Ok(Some(Least {
        within_slo: figures.within_slo,
        ttft_p90_s: figures.ttft_s.map(|ttft| ttft.p90),
        tpot_mean_s: figures.tpot_s.map(|tpot| tpot.mean),
    }))
}

fn devices(setup: &Setup) -> Result<Devices> {
    let run = run_at(setup, 1.0)?;
    let report = run.devices.as_ref().expect("devices served it");
    let figures = &report.devices;
    Ok(Devices {
        profile: report.profile.clone(),
        within_slo: Band::exactly(figures.within_slo),
        too_large: figures.errors,
        requests: figures.offered,
        reused_share: figures.hit_rate,
        ttft_p90_s: figures.ttft_s.map(|ttft| ttft.p90),
        tpot_mean_s: figures.tpot_s.map(|tpot| tpot.mean),
        busy_s_per_request: Band::exactly(busy_s(&run) / figures.requests.max(1) as f64),
        longest_in_time: 0,
        classes: classes(setup, &run),
    })
}

/// The share within the SLO of each class, out of all its requests.
fn classes(setup: &Setup, run: &RunReport) -> Vec<ClassOnDevices> {
    let of = |(class, &asked): (&ClassFigures, &u64)| {
        let within = class.within_slo.unwrap_or(0.0) * class.requests as f64 / asked.max(1) as f64;
        ClassOnDevices { name: class.name.clone(), within_slo: Band::exactly(within) }
    };
    run.classes.iter().zip(&setup.source.class_requests()).map(of).collect()
}

/// Seconds that all devices of a run computed.
fn busy_s(run: &RunReport) -> f64 {
    let parts = run.economics.iter().flat_map(|economics| &economics.parts);
    parts.filter(|part| part.name == "devices").map(|part| part.busy.worker_s).sum()
}

/// None: one side serves almost nothing.
fn split(setup: &Setup, bounds: Bounds) -> Result<Option<(Split, Option<f64>)>> {
    let own = run_at(setup, 1.0)?;
    let on_devices = |run: &RunReport| {
        let served = &run.devices.as_ref().expect("a split has devices").devices;
        served.offered as f64 / run.figures.offered.max(1) as f64
    };
    let (low, high) = SPLIT_SHARE;
    if !(low..high).contains(&on_devices(&own)) {
        return Ok(None);
    }
    let found = at_slo(setup, bounds)?;
    let at = found.run.as_ref().unwrap_or(&own);
    let devices = setup.devices.as_ref().expect("a split has devices");
    let by_class = devices.stays.classes.is_some();
    let split = Split {
        choice: if by_class { Choice::SplitByClass } else { Choice::SplitByLength },
        stays: devices.stays.clone(),
        share_on_devices: on_devices(at),
        requests_per_s_per_worker: by_worker(setup, &found, bounds),
        busy_s_per_request: Band::exactly(busy_s(at) / at.figures.offered.max(1) as f64),
        short: short(&found),
    };
    Ok(Some((split, found.load())))
}

/// The scenario's devices, `times` as fast.
fn faster(setup: &Setup, times: f64) -> Result<DevicesSetup> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let profile = deploy::with_speed(&devices.profile, times)?;
    DevicesSetup::new(profile, devices.profile.block_size, devices.users, devices.stays)
}

/// The longest prompt that a cool and idle device computes within `seconds`.
fn longest_in_time(profile: &Profile, seconds: f64) -> u32 {
    let cost = profile.prefill_cost();
    let takes =
        |tokens: u32| (cost.estimate(tokens, 0) + profile.step.front_end(tokens)).as_secs_f64();
    let most = profile.hbm_tokens.map_or(1 << 24, |room| room.min(1 << 24) as u32);
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if takes(middle) <= seconds { low = middle } else { high = middle - 1 }
    }
    low
}

/// None: nothing is reused.
fn break_even_gb_s(profile: &Profile, prompt: u32, reused: u32) -> Option<f64> {
    let reused = reused.min(prompt.saturating_sub(1));
    let cost = profile.prefill_cost();
    let cold = cost.estimate(prompt, 0).as_secs_f64();
    let warm = cost.estimate(prompt - reused, reused).as_secs_f64();
    let bytes = f64::from(reused) * profile.kv_bytes_per_token as f64;
    (reused > 0 && cold > warm).then(|| bytes / (cold - warm) / 1e9)
}
