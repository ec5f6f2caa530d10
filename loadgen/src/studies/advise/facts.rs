//! The basis of an advice: simulations of the cluster, the devices and the splits between them, and
//! the hourly prices from the price sheet.

use super::band::Band;
use super::choice::Choice;
use crate::economics::Sheet;
use crate::figures::ENOUGH;
use crate::setup::Setup;
use crate::setup::StaysSetup;
use crate::studies::measure::chips_each;
use serde::Serialize;
use warmpath_core::engine::physics::Validation;
use warmpath_core::report::Slo;

#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    pub slo: Slo,
    /// Number of seeds that the bands cover.
    pub seeds: u64,
    /// Mean tokens of a request.
    pub prompt_tokens: f64,
    pub output_tokens: f64,
    /// Rate of the workload as its file says.
    pub requests_per_s: f64,
    /// Clusters that share more and more, by ascending reuse. The last has everything that the
    /// scenario has; the advice is about it.
    pub clusters: Vec<Cluster>,
    /// The devices' model on the cluster's chips, with everything shared.
    pub same_model: Option<SameModel>,
    /// Why it was not simulated.
    pub no_same_model: Option<String>,
    pub devices: Devices,
    /// Splits by prompt length, and by class if the workload has classes.
    pub splits: Vec<Split>,
    /// The break-even bandwidth from a tier to one worker. Above it, a worker loads the reused part
    /// of the mean prompt faster than it computes it.
    pub break_even_gb_s: Option<f64>,
}

/// A cluster at its highest load within the SLO.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    pub sharing: String,
    /// Share of prompt tokens. If no load is within the SLO: at the workload's own load.
    pub reused_share: Option<f64>,
    /// None: with at least one seed, no load is within the SLO.
    pub requests_per_s_per_worker: Option<Band>,
    /// Number of seeds with which no load is within the SLO.
    pub seeds_without: u64,
    pub kwh_per_request: Option<f64>,
    /// Whether the workload is too short to show that the fleet can sustain the load.
    pub short: bool,
    /// A run at the lowest load that was tried, if no load is within the SLO.
    pub least: Option<Least>,
}

/// A run at the lowest load, which misses the SLO too.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Least {
    pub within_slo: f64,
    pub ttft_p90_s: Option<f64>,
    pub tpot_mean_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SameModel {
    pub profile: String,
    pub model: String,
    pub precision: String,
    pub chips_per_worker: u32,
    pub standing: Validation,
    pub cluster: Cluster,
}

#[derive(Clone, Debug, Serialize)]
pub struct Devices {
    pub profile: String,
    /// Share of all requests. Those that do not fit on a device count as missed.
    pub within_slo: Band,
    pub too_large: u64,
    pub requests: u64,
    pub reused_share: Option<f64>,
    pub ttft_p90_s: Option<f64>,
    pub tpot_mean_s: Option<f64>,
    pub busy_s_per_request: Band,
    /// The longest uncached prompt that a device begins to answer within the TTFT.
    pub longest_in_time: u32,
    /// Per class, if the workload has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassOnDevices>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClassOnDevices {
    pub name: String,
    /// Share of its requests. Those that do not fit on a device count as missed.
    pub within_slo: Band,
}

/// Some requests go to devices, the others to the cluster, at the highest load within the SLO.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    pub choice: Choice,
    /// Which requests go to devices.
    #[serde(flatten)]
    pub stays: StaysSetup,
    /// Share of requests.
    pub share_on_devices: f64,
    /// Of both sides together, per worker. None: no load is within the SLO.
    pub requests_per_s_per_worker: Option<Band>,
    /// Seconds that devices compute, per request of the whole workload.
    pub busy_s_per_request: Band,
    pub short: bool,
}

impl Facts {
    /// The cluster that the advice is about.
    pub fn whole(&self) -> Option<&Cluster> {
        self.clusters.last()
    }
}

impl Cluster {
    /// The same over one or more seeds.
    pub fn over(seeds: &[Self]) -> Self {
        let first = &seeds[0];
        let kwh: Vec<f64> = seeds.iter().filter_map(|seed| seed.kwh_per_request).collect();
        Self {
            sharing: first.sharing.clone(),
            reused_share: known_mean(seeds, |seed| seed.reused_share),
            requests_per_s_per_worker: Band::over_all(
                seeds.iter().map(|seed| seed.requests_per_s_per_worker),
            ),
            seeds_without: seeds.iter().map(|seed| seed.seeds_without).sum(),
            kwh_per_request: (!kwh.is_empty()).then(|| mean(&kwh, |&kwh| kwh)),
            short: seeds.iter().any(|seed| seed.short),
            least: seeds.iter().find_map(|seed| seed.least),
        }
    }
}

impl Devices {
    /// Whether devices keep the SLO in each class, in the mean over the seeds.
    pub fn keep_slo(&self) -> bool {
        self.within().all(|(_, within)| within.mean >= ENOUGH)
    }

    /// The share within the SLO: of all requests (no name), and of each class.
    pub fn within(&self) -> impl Iterator<Item = (Option<&str>, Band)> {
        let classes =
            self.classes.iter().map(|class| (Some(class.name.as_str()), class.within_slo));
        std::iter::once((None, self.within_slo)).chain(classes)
    }

    pub fn over(seeds: &[Self]) -> Self {
        Self {
            within_slo: Band::over(seeds.iter().map(|seed| seed.within_slo)),
            too_large: seeds.iter().map(|seed| seed.too_large).sum(),
            requests: seeds.iter().map(|seed| seed.requests).sum(),
            reused_share: known_mean(seeds, |seed| seed.reused_share),
            ttft_p90_s: known_mean(seeds, |seed| seed.ttft_p90_s),
            tpot_mean_s: known_mean(seeds, |seed| seed.tpot_mean_s),
            busy_s_per_request: Band::over(seeds.iter().map(|seed| seed.busy_s_per_request)),
            classes: ClassOnDevices::over(seeds),
            ..seeds[0].clone()
        }
    }
}

impl ClassOnDevices {
    fn over(seeds: &[Devices]) -> Vec<Self> {
        let of = |(i, class): (usize, &Self)| Self {
            name: class.name.clone(),
            within_slo: Band::over(seeds.iter().map(|seed| seed.classes[i].within_slo)),
        };
        seeds[0].classes.iter().enumerate().map(of).collect()
    }
}

impl Split {
    /// None: with one of the seeds, one side serves almost nothing.
    pub fn over(seeds: Vec<Option<Self>>) -> Option<Self> {
        let seeds = seeds.into_iter().collect::<Option<Vec<Self>>>()?;
        Some(Self {
            choice: seeds[0].choice,
            stays: seeds[0].stays.clone(),
            share_on_devices: mean(&seeds, |seed| seed.share_on_devices),
            requests_per_s_per_worker: Band::over_all(
                seeds.iter().map(|seed| seed.requests_per_s_per_worker),
            ),
            busy_s_per_request: Band::over(seeds.iter().map(|seed| seed.busy_s_per_request)),
            short: seeds.iter().any(|seed| seed.short),
        })
    }
}

pub fn mean<T>(seeds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    seeds.iter().map(of).sum::<f64>() / seeds.len().max(1) as f64
}

/// Hourly prices of chips, power and devices, from the price sheet.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rates {
    /// All chips of a worker.
    pub worker_usd_per_hour: f64,
    pub chips_per_worker: u32,
    /// What the workers share, divided by the number of workers.
    pub pool_usd_per_hour: f64,
    /// A device while it computes: its power.
    pub device_busy_usd_per_hour: f64,
    /// A device that is charged in full: its price and its idle power, in every hour.
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

/// The mean of a figure that each seed has. None: a seed has no such figure.
fn known_mean<T>(seeds: &[T], of: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = seeds.iter().map(of).collect();
    values.map(|values| mean(&values, |&value| value))
}
