//! What is measured (simulated) for an advice: the cluster, the devices, and the split between them.

use crate::capacity::Bounds;
use crate::config::Setup;
use crate::devices::DevicesSetup;
use crate::economics::Sheet;
use crate::groups::Fleet;
use crate::measure::{BOUNDS, at_slo, chips_each, run_at};
use crate::parallel;
use anyhow::Result;
use serde::Serialize;
use warmpath_core::engine::profile::Profile;
use warmpath_core::report::Slo;
use warmpath_core::sharing::{Sharing, SharingScope};

/// Requests of the side that is hardly there make no split.
const SPLIT_SHARE: (f64, f64) = (0.01, 0.99);

#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    pub slo: Slo,
    /// What a request is made of, in tokens.
    pub prompt_tokens: f64,
    pub output_tokens: f64,
    /// While the workload plays at its own pace.
    pub requests_per_s: f64,
    /// A cluster with everything the scenario has, and what it would be if less were reused; by
    /// ascending reuse, the last is the one that is advised.
    pub clusters: Vec<Cluster>,
    pub devices: Devices,
    pub split: Option<Split>,
    /// From a tier to one worker, above which loading the mean prompt's reused part is faster than
    /// computing it.
    pub break_even_gb_s: Option<f64>,
}

/// At the highest load within the SLO.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    pub sharing: String,
    /// Of prompt tokens; where no load is within the SLO, at the workload's own.
    pub reused_share: f64,
    /// None: no load is within the SLO.
    pub requests_per_s_per_worker: Option<f64>,
    pub kwh_per_request: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Devices {
    pub profile: String,
    /// Of all requests; those that a device has no room for are not.
    pub within_slo: f64,
    pub too_large: u64,
    pub requests: u64,
    pub reused_share: f64,
    pub ttft_p90_s: f64,
    pub tpot_mean_s: f64,
    pub busy_s_per_request: f64,
    /// The longest prompt of which nothing is cached that a device begins to answer in time.
    pub longest_in_time: u32,
}

/// Short prompts to the devices, the others to the cluster, at the highest load within the SLO.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    pub up_to_tokens: u32,
    /// Of requests.
    pub share_on_devices: f64,
    /// Of both sides together, by worker.
    pub requests_per_s_per_worker: Option<f64>,
    /// Of all requests.
    pub busy_s_per_request: f64,
}

/// Everything at the SLO of `setup`.
pub fn measure(setup: &Setup) -> Result<Facts> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let within = |scope| Sharing { scope, public_prefixes: false, groups: None };
    let fleets = [within(SharingScope::None), within(SharingScope::Session), whole(setup)];
    let mut jobs: Vec<Job<'_>> =
        fleets.iter().map(|&sharing| Job::Cluster(sharing, BOUNDS)).collect();
    jobs.push(Job::Own);
    let sides = Sides::new(setup, devices, BOUNDS);
    jobs.extend(sides.jobs());
    let mut done = run(setup, &jobs)?;
    let (split, devices) = sides.take(&mut done);
    let Some(Done::Own(own)) = done.pop() else { unreachable!("jobs are done in their order") };
    let clusters: Vec<Cluster> = done.into_iter().filter_map(Done::cluster).collect();
    let Own { prompt_tokens, output_tokens, requests_per_s } = own;
    let reused = clusters.last().map_or(0.0, |cluster| cluster.reused_share) * prompt_tokens;
    let profile = setup.fleet.profile();
    Ok(Facts {
        slo: setup.slo,
        prompt_tokens,
        output_tokens,
        requests_per_s,
        break_even_gb_s: break_even_gb_s(profile, prompt_tokens as u32, reused as u32),
        clusters,
        devices,
        split,
    })
}

/// As measured before, but at another SLO: of clusters the one that is advised alone.
pub fn at_other_slo(facts: &Facts, setup: &Setup) -> Result<Facts> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let bounds = near(facts, setup);
    let sides = Sides::new(setup, devices, bounds);
    let mut jobs = vec![Job::Cluster(whole(setup), bounds)];
    jobs.extend(sides.jobs());
    let mut done = run(setup, &jobs)?;
    let (split, devices) = sides.take(&mut done);
    let clusters = done.into_iter().filter_map(Done::cluster).collect();
    Ok(Facts { slo: setup.slo, clusters, devices, split, ..facts.clone() })
}

/// As measured before, but with devices so many times as fast.
pub fn with_device_speed(facts: &Facts, setup: &Setup, times: f64) -> Result<Facts> {
    let sides = Sides::new(setup, faster(setup, times)?, near(facts, setup));
    let mut done = run(setup, &sides.jobs())?;
    let (split, devices) = sides.take(&mut done);
    Ok(Facts { devices, split, ..facts.clone() })
}

/// A search begins where the one before it ended.
fn near(facts: &Facts, setup: &Setup) -> Bounds {
    let rate = facts.clusters.last().and_then(|cluster| cluster.requests_per_s_per_worker);
    let workers = f64::from(setup.fleet.workers());
    let load = rate.map_or(1.0, |rate| rate * workers / facts.requests_per_s.max(1e-9));
    Bounds { start: load.clamp(BOUNDS.least, BOUNDS.most), ..BOUNDS }
}

/// All that the scenario has is shared.
fn whole(setup: &Setup) -> Sharing {
    let public_prefixes = setup.source.operators_tokens() > 0;
    Sharing { scope: SharingScope::Tenant, public_prefixes, groups: None }
}

fn run(setup: &Setup, jobs: &[Job<'_>]) -> Result<Vec<Done>> {
    parallel::map(jobs, |job| job.run(setup)).into_iter().collect()
}

/// Devices alone, and beside a cluster.
struct Sides {
    alone: Setup,
    split: Setup,
    longest_in_time: u32,
    bounds: Bounds,
}

impl Sides {
    fn new(setup: &Setup, devices: DevicesSetup, bounds: Bounds) -> Self {
        let longest_in_time = longest_in_time(&devices.profile, setup.slo.ttft_s);
        let of = |up_to_tokens| Some(DevicesSetup { up_to_tokens, ..devices.clone() });
        let alone = Setup { devices: of(None), pool: None, ..setup.clone() };
        let devices = of(Some(longest_in_time.max(1)));
        let split = Setup { devices, sharing: whole(setup), ..setup.clone() };
        Self { alone, split, longest_in_time, bounds }
    }

    fn jobs(&self) -> [Job<'_>; 2] {
        [Job::Devices(&self.alone), Job::Split(&self.split, self.bounds)]
    }

    /// What the last two jobs came to.
    fn take(&self, done: &mut Vec<Done>) -> (Option<Split>, Devices) {
        let (Some(Done::Split(split)), Some(Done::Devices(devices))) = (done.pop(), done.pop())
        else {
            unreachable!("jobs are done in their order")
        };
        (split, Devices { longest_in_time: self.longest_in_time, ..devices })
    }
}

enum Job<'a> {
    Cluster(Sharing, Bounds),
    Split(&'a Setup, Bounds),
    Devices(&'a Setup),
    Own,
}

enum Done {
    Cluster(Cluster),
    Split(Option<Split>),
    Devices(Devices),
    Own(Own),
}

impl Done {
    fn cluster(self) -> Option<Cluster> {
        match self {
            Self::Cluster(cluster) => Some(cluster),
            _ => None,
        }
    }
}

struct Own {
    prompt_tokens: f64,
    output_tokens: f64,
    requests_per_s: f64,
}

impl Job<'_> {
    fn run(&self, setup: &Setup) -> Result<Done> {
        Ok(match self {
            Self::Cluster(sharing, bounds) => Done::Cluster(cluster(setup, *sharing, *bounds)?),
            Self::Split(split, bounds) => Done::Split(of_split(split, *bounds)?),
            Self::Devices(alone) => Done::Devices(of_devices(alone)?),
            Self::Own => Done::Own(own(setup)?),
        })
    }
}

fn own(setup: &Setup) -> Result<Own> {
    let run = run_at(&Setup { devices: None, ..setup.clone() }, 1.0)?;
    let figures = &run.figures;
    let each = |tokens: f64| tokens / figures.requests.max(1) as f64;
    let prompt = (figures.prefill_tokens_cached + figures.prefill_tokens_computed) as f64;
    Ok(Own {
        prompt_tokens: each(prompt),
        output_tokens: each(figures.throughput.output_tokens_per_s * figures.duration_s),
        requests_per_s: run.steady_requests_per_s,
    })
}

fn cluster(setup: &Setup, sharing: Sharing, bounds: Bounds) -> Result<Cluster> {
    let mut setup = Setup { devices: None, sharing, ..setup.clone() };
    if sharing.scope == SharingScope::None {
        // What nobody finds again needs no room.
        let mut profile = setup.fleet.profile().clone();
        profile.tiers.clear();
        (profile.pool, profile.peers) = (None, None);
        setup.fleet = Fleet::alike(setup.fleet.workers(), profile);
        setup.pool = None;
    }
    let found = at_slo(&setup, bounds)?;
    let workers = f64::from(setup.fleet.workers());
    let figures = found.run.as_ref().map(|run| &run.figures);
    let reused_share = match figures {
        Some(figures) => figures.hit_rate,
        None => run_at(&setup, 1.0)?.figures.hit_rate,
    };
    let kwh = found.economics().map(|economics| economics.total.kwh);
    let requests = figures.map(|figures| figures.requests.max(1) as f64);
    Ok(Cluster {
        sharing: sharing.to_string(),
        reused_share,
        requests_per_s_per_worker: found
            .run
            .as_ref()
            .map(|run| run.steady_requests_per_s / workers),
        kwh_per_request: kwh.zip(requests).map(|(kwh, n)| kwh / n).filter(|kwh| kwh.is_finite()),
    })
}

fn of_devices(setup: &Setup) -> Result<Devices> {
    let run = run_at(setup, 1.0)?;
    let report = run.devices.as_ref().expect("devices served it");
    let figures = &report.devices;
    Ok(Devices {
        profile: report.profile.clone(),
        within_slo: figures.within_slo,
        too_large: figures.errors,
        requests: figures.offered,
        reused_share: figures.hit_rate,
        ttft_p90_s: figures.ttft_s.p90,
        tpot_mean_s: figures.tpot_s.mean,
        busy_s_per_request: busy_s(&run) / figures.requests.max(1) as f64,
        longest_in_time: 0,
    })
}

/// Of the devices of a run, all together.
fn busy_s(run: &crate::results::RunReport) -> f64 {
    let parts = run.economics.iter().flat_map(|economics| &economics.parts);
    parts.filter(|part| part.name == "devices").map(|part| part.busy.worker_s).sum()
}

/// None where one side serves hardly anything, or no load is within the SLO.
fn of_split(setup: &Setup, bounds: Bounds) -> Result<Option<Split>> {
    let own = run_at(setup, 1.0)?;
    let served = &own.devices.as_ref().expect("a split has devices").devices;
    let (low, high) = SPLIT_SHARE;
    if !(low..high).contains(&(served.offered as f64 / own.figures.offered.max(1) as f64)) {
        return Ok(None);
    }
    let found = at_slo(setup, bounds)?;
    let devices = setup.devices.as_ref().expect("a split has devices");
    let up_to_tokens = devices.up_to_tokens.unwrap_or(0);
    let Some(run) = &found.run else { return Ok(None) };
    let report = run.devices.as_ref().expect("a split has devices");
    let requests = run.figures.offered.max(1) as f64;
    let workers = f64::from(setup.fleet.workers());
    Ok(Some(Split {
        up_to_tokens,
        share_on_devices: report.devices.offered as f64 / requests,
        requests_per_s_per_worker: Some(run.steady_requests_per_s / workers),
        busy_s_per_request: busy_s(run) / requests,
    }))
}

/// The scenario's devices, so many times as fast.
fn faster(setup: &Setup, times: f64) -> Result<DevicesSetup> {
    let devices = setup.devices.clone().expect("checked: the scenario has devices");
    let profile = super::with_speed(&devices.profile, times)?;
    DevicesSetup::new(profile, devices.profile.block_size, devices.users, devices.up_to_tokens)
}

/// The longest prompt that a device, cool and idle, has computed within so many seconds.
fn longest_in_time(profile: &Profile, seconds: f64) -> u32 {
    let cost = profile.prefill_cost();
    let takes = |tokens: u32| {
        (cost.estimate(tokens, 0) + profile.step.front_end(tokens, 0.0)).as_secs_f64()
    };
    let most = profile.hbm_tokens.map_or(1 << 24, |room| room.min(1 << 24) as u32);
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if takes(middle) <= seconds { low = middle } else { high = middle - 1 }
    }
    low
}

/// None where nothing is reused.
fn break_even_gb_s(profile: &Profile, prompt: u32, reused: u32) -> Option<f64> {
    let reused = reused.min(prompt.saturating_sub(1));
    let cost = profile.prefill_cost();
    let cold = cost.estimate(prompt, 0).as_secs_f64();
    let warm = cost.estimate(prompt - reused, reused).as_secs_f64();
    let bytes = f64::from(reused) * profile.kv_bytes_per_token as f64;
    (reused > 0 && cold > warm).then(|| bytes / (cold - warm) / 1e9)
}

/// What the price sheet makes of chips, power and devices.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// Of a worker's chips.
    pub worker_usd_per_hour: f64,
    pub chips_per_worker: u32,
    /// Of what the fleet shares, by worker.
    pub pool_usd_per_hour: f64,
    /// Of a device while it computes, power alone.
    pub device_busy_usd_per_hour: f64,
    /// Of a device that is charged whole: its price and its idle power, in every hour.
    pub device_owned_usd_per_hour: f64,
}

impl Rates {
    pub fn of(setup: &Setup, sheet: &Sheet) -> Option<Self> {
        let profile = setup.fleet.profile();
        let worker = sheet.cluster(profile.hardware()?).busy.usd_per_hour;
        let device = setup.devices.as_ref()?.profile.hardware()?;
        let charged = |share| {
            let mut sheet = sheet.clone();
            sheet.user.charged_share = share;
            sheet.device(device)
        };
        let uses_pool = profile.pool.is_some();
        let pool = setup.pool.as_ref().filter(|_| uses_pool).map_or(0.0, |pool| {
            let tb = pool.tokens as f64 * profile.kv_bytes_per_token as f64 / 1e12;
            tb * sheet.site.pool_usd_per_tb_hour
        });
        let rates = Self {
            worker_usd_per_hour: worker,
            chips_per_worker: chips_each(profile),
            pool_usd_per_hour: pool / f64::from(setup.fleet.workers()),
            device_busy_usd_per_hour: charged(0.0).busy.usd_per_hour,
            device_owned_usd_per_hour: charged(1.0).idle.usd_per_hour,
        };
        let known = rates.worker_usd_per_hour + rates.device_owned_usd_per_hour;
        (known + rates.device_busy_usd_per_hour).is_finite().then_some(rates)
    }
}
