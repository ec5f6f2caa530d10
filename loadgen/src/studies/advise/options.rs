//! What each option costs per month, and which one to choose.

use super::band::Band;
use super::choice::Choice;
use super::facts::{Cluster, Facts, Rates};
use crate::economics::Api;
use serde::Serialize;

/// The largest fleet on which the advised option is played. A larger fleet is played in proportion.
pub const MOST_WORKERS: u32 = 32;
/// Seconds and hours of a mean month.
pub const MONTH_S: f64 = 365.25 / 12.0 * 86_400.0;
const MONTH_HOURS: f64 = MONTH_S / 3_600.0;
/// A split means running two systems: it must save this share of the cost of the better one alone.
pub const SPLIT_SAVES: f64 = 0.10;

/// The inputs that are not measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Inputs {
    pub monthly_requests: f64,
    /// Rate at the busiest time, divided by the mean rate of the month.
    pub peak: f64,
    /// Number of users. Each has a device.
    pub users: f64,
    /// Share of a device's price and idle power that is charged.
    pub charged_share: f64,
    /// Factors for the prices of the sheet.
    pub gpu_price: f64,
    pub power_price: f64,
    pub device_price: f64,
    /// Factor for the measured throughput of a worker.
    pub gpu_speed: f64,
}

/// An option at the given volume.
#[derive(Clone, Debug, Serialize)]
pub struct Alternative {
    pub choice: Choice,
    /// Whether 90 % of the requests of each class are within the SLO.
    pub keeps_slo: bool,
    pub share_on_devices: f64,
    pub workers: u32,
    pub chips: u32,
    /// Share of the workers' capacity within the SLO that the busiest time takes.
    pub full_at_peak: Option<f64>,
    /// The band is that of whole workers. None: no number of chips keeps the SLO.
    pub usd_per_month: Option<Band>,
    /// Cost of a request on a worker that is full at the peak, and on devices. The number of workers
    /// is not rounded up.
    pub usd_per_request_full: Option<Band>,
    pub usd_per_request: Option<f64>,
    pub usd_per_m_served: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub choice: Choice,
    pub options: Vec<Alternative>,
    pub api: Vec<ApiCost>,
}

/// The cost of the same requests at an API service whose cache finds what the cluster's finds.
#[derive(Clone, Debug, Serialize)]
pub struct ApiCost {
    pub name: String,
    pub usd_per_month: f64,
    pub usd_per_request: f64,
    /// Requests per month from which on the cluster is cheaper, without rounding up workers. None: it
    /// never is.
    pub passed_at_requests: Option<f64>,
    pub passed_at_usd_per_month: Option<f64>,
}

pub fn decide(facts: &Facts, rates: &Rates, inputs: &Inputs, api: &[Api]) -> Decision {
    let cost_of = |choice, needs: &Needs| alternative(choice, needs, facts, rates, inputs);
    let devices = &facts.devices;
    let cluster = Needs::workers(per_worker(facts), rates.chips_per_worker);
    let mut options = vec![cost_of(Choice::Cluster, &cluster)];
    options.extend(facts.same_model.as_ref().map(|same| {
        let rate = same.cluster.requests_per_s_per_worker;
        cost_of(Choice::ClusterSameModel, &Needs::workers(rate, same.chips_per_worker))
    }));
    let alone = Needs {
        keeps_slo: devices.keep_slo(),
        share_on_devices: 1.0,
        workers: None,
        busy_s: Some(devices.busy_s_per_request),
    };
    options.push(cost_of(Choice::Devices, &alone));
    options.extend(facts.splits.iter().map(|split| {
        let rate = split.requests_per_s_per_worker;
        let both = Needs {
            share_on_devices: split.share_on_devices,
            busy_s: Some(split.busy_s_per_request),
            ..Needs::workers(rate, rates.chips_per_worker)
        };
        cost_of(split.choice, &both)
    }));
    let choice = choose(&options);
    let api = api.iter().map(|api| api_cost(api, facts, rates, inputs)).collect();
    Decision { choice, options, api }
}

/// What an option needs.
struct Needs {
    keeps_slo: bool,
    share_on_devices: f64,
    /// Requests per second of a worker, and its chips. None: no workers.
    workers: Option<(Band, u32)>,
    /// Device seconds per request. None: no devices.
    busy_s: Option<Band>,
}

impl Needs {
    fn workers(rate: Option<Band>, chips: u32) -> Self {
        let workers = Some((rate.unwrap_or(Band::exactly(f64::NAN)), chips));
        Self { keeps_slo: rate.is_some(), share_on_devices: 0.0, workers, busy_s: None }
    }
}

fn alternative(
    choice: Choice,
    needs: &Needs,
    facts: &Facts,
    rates: &Rates,
    inputs: &Inputs,
) -> Alternative {
    let on_devices = device_usd(needs, rates, inputs);
    let peak = inputs.monthly_requests / MONTH_S * inputs.peak;
    // Workers that serve more requests each are fewer.
    let of_workers = |count: &dyn Fn(f64) -> f64| match needs.workers {
        None => Some(on_devices),
        Some((rate, _)) if rate.mean.is_nan() => None,
        Some((rate, chips)) => {
            let month = chips_usd(rates, inputs, chips) * MONTH_HOURS;
            let usd =
                |rate: f64, devices: f64| count(peak / (rate * inputs.gpu_speed)) * month + devices;
            Some(Band {
                mean: usd(rate.mean, on_devices.mean),
                low: usd(rate.high, on_devices.low),
                high: usd(rate.low, on_devices.high),
            })
        }
    };
    let usd = of_workers(&|workers| workers.ceil().max(1.0));
    let n = inputs.monthly_requests;
    let each = usd.map(|usd| usd.mean / n);
    let needed = needs.workers.map(|(rate, _)| peak / (rate.mean * inputs.gpu_speed));
    let needed = needed.filter(|needed| needed.is_finite());
    let workers = needed.map_or(0, |needed| needed.ceil().max(1.0) as u32);
    Alternative {
        choice,
        keeps_slo: needs.keeps_slo,
        share_on_devices: needs.share_on_devices,
        workers,
        chips: workers * needs.workers.map_or(0, |(_, chips)| chips),
        full_at_peak: needed.map(|needed| needed / f64::from(workers)),
        usd_per_month: usd,
        usd_per_request_full: of_workers(&|workers| workers).map(|usd| usd.times(1.0 / n)),
        usd_per_request: each,
        usd_per_m_served: each.map(|usd| usd * 1e6 / (facts.prompt_tokens + facts.output_tokens)),
    }
}

/// Cost of the devices in a month.
fn device_usd(needs: &Needs, rates: &Rates, inputs: &Inputs) -> Band {
    let Some(busy_s) = needs.busy_s else { return Band::exactly(0.0) };
    let hour = rates.device_busy_usd_per_hour * inputs.power_price;
    let power = busy_s.times(inputs.monthly_requests / 3600.0 * hour);
    let owned = inputs.charged_share * inputs.users * rates.device_owned_usd_per_hour;
    power.plus(owned * inputs.device_price * MONTH_HOURS)
}

/// Cost of a worker of `chips` chips in an hour, with its part of what the fleet shares.
fn chips_usd(rates: &Rates, inputs: &Inputs, chips: u32) -> f64 {
    worker_usd(rates, inputs) * f64::from(chips) / f64::from(rates.chips_per_worker)
}

fn worker_usd(rates: &Rates, inputs: &Inputs) -> f64 {
    rates.worker_usd_per_hour * inputs.gpu_price + rates.pool_usd_per_hour
}

/// Rate of the advised cluster.
pub fn per_worker(facts: &Facts) -> Option<Band> {
    facts.whole()?.requests_per_s_per_worker
}

/// The cheapest option that keeps the SLO. A split must save enough. The devices' model on the
/// cluster may be chosen only if devices keep the SLO: it is cheaper than the cluster's own model
/// because it is smaller, and the quality of its answers is not known.
fn choose(options: &[Alternative]) -> Choice {
    let devices = options.iter().any(|of| of.choice == Choice::Devices && of.keeps_slo);
    let able = options.iter().filter(|of| of.keeps_slo);
    let able = able.filter(|of| of.choice != Choice::ClusterSameModel || devices);
    let cost = |option: &Alternative| {
        let weight = if option.choice.is_split() { 1.0 / (1.0 - SPLIT_SAVES) } else { 1.0 };
        Some((option.usd_per_month?.mean * weight, option.choice))
    };
    let cheapest = able.filter_map(cost).min_by(|a, b| a.0.total_cmp(&b.0));
    cheapest.map_or(Choice::Nothing, |(_, choice)| choice)
}

fn api_cost(api: &Api, facts: &Facts, rates: &Rates, inputs: &Inputs) -> ApiCost {
    let reused = facts.whole().and_then(|cluster| cluster.reused_share).unwrap_or(0.0);
    let (prompt, output) = (facts.prompt_tokens, facts.output_tokens);
    let each = api.usd(prompt * (1.0 - reused), prompt * reused, output);
    // The cost of one worker in a month, and the requests that it serves in this time.
    let one = worker_usd(rates, inputs) * MONTH_HOURS;
    let serves = per_worker(facts).map(|rate| rate.mean * inputs.gpu_speed / inputs.peak * MONTH_S);
    let passed = Some(one / each).filter(|&from| serves.is_some_and(|serves| from <= serves));
    ApiCost {
        name: api.name.clone(),
        usd_per_month: each * inputs.monthly_requests,
        usd_per_request: each,
        passed_at_requests: passed,
        passed_at_usd_per_month: passed.map(|_| one),
    }
}

/// From where a request on the cluster costs less than with another option, without rounding up
/// workers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum BreakEven {
    /// From this share of reused prompt tokens on, interpolated between two simulated shares.
    From(f64),
    /// At every simulated share.
    Always,
    Never,
    /// No load is within the SLO at any simulated share.
    Unknown,
}

/// What a request costs on clusters that share more and more, by the share of prompt tokens that they reuse.
pub fn cluster_costs(facts: &Facts, rates: &Rates, inputs: &Inputs) -> Vec<(f64, f64)> {
    let cost =
        |rate: f64| worker_usd(rates, inputs) * inputs.peak / (rate * inputs.gpu_speed * 3600.0);
    let point = |cluster: &Cluster| {
        Some((cluster.reused_share?, cost(cluster.requests_per_s_per_worker?.mean)))
    };
    facts.clusters.iter().filter_map(point).collect()
}

pub fn break_even_share(facts: &Facts, rates: &Rates, inputs: &Inputs, usd: f64) -> BreakEven {
    let points = cluster_costs(facts, rates, inputs);
    for pair in points.windows(2) {
        let [(low, dear), (high, cheap)] = [pair[0], pair[1]];
        if (cheap..=dear).contains(&usd) && dear > cheap {
            return BreakEven::From(low + (high - low) * (dear - usd) / (dear - cheap));
        }
    }
    match points.as_slice() {
        [] => BreakEven::Unknown,
        points if points.iter().all(|&(_, cost)| cost < usd) => BreakEven::Always,
        _ => BreakEven::Never,
    }
}

#[cfg(test)]
mod tests;
