//! From what was measured and what things cost to what each option costs a month, and which to take.

use super::facts::{Facts, Rates};
use crate::capacity::ENOUGH;
use crate::economics::Api;
use serde::Serialize;

/// Seconds and hours of a mean month.
pub const MONTH_S: f64 = 365.25 / 12.0 * 86_400.0;
const MONTH_HOURS: f64 = MONTH_S / 3_600.0;
/// A split is two systems to run: it must save so much of what the better of them costs alone.
pub const SPLIT_SAVES: f64 = 0.10;

/// What is not measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Inputs {
    pub monthly_requests: f64,
    /// The busiest time's rate over the month's mean.
    pub peak: f64,
    /// Who each have a device.
    pub users: f64,
    /// Of a device's price and idle power.
    pub charged_share: f64,
    /// Times the prices of the sheet.
    pub gpu_price: f64,
    pub power_price: f64,
    pub device_price: f64,
    /// Times the throughput that was measured of a worker.
    pub gpu_speed: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    Cluster,
    Devices,
    Split,
    /// Nothing that was looked at keeps the SLO.
    Nothing,
}

impl Choice {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Devices => "devices",
            Self::Split => "split",
            Self::Nothing => "nothing",
        }
    }
}

/// A way to serve the workload, at the volume that is asked about.
#[derive(Clone, Debug, Serialize)]
pub struct Alternative {
    pub choice: Choice,
    /// Whether 90 % of the requests are within the SLO.
    pub keeps_slo: bool,
    pub share_on_devices: f64,
    pub workers: u32,
    pub chips: u32,
    /// None: no number of chips keeps the SLO.
    pub usd_per_month: Option<f64>,
    pub usd_per_request: Option<f64>,
    pub usd_per_m_served: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub choice: Choice,
    pub options: Vec<Alternative>,
    pub api: Vec<ApiCost>,
}

/// What the same requests cost elsewhere, if its cache finds what the cluster's does.
#[derive(Clone, Debug, Serialize)]
pub struct ApiCost {
    pub name: String,
    pub usd_per_month: f64,
    pub usd_per_request: f64,
    /// Requests a month from which on the cluster is cheaper, but for the steps of whole workers. None:
    /// it never is.
    pub passed_at_requests: Option<f64>,
    pub passed_at_usd_per_month: Option<f64>,
}

pub fn decide(facts: &Facts, rates: &Rates, inputs: &Inputs, api: &[Api]) -> Decision {
    let workers = |per_worker: Option<f64>| {
        let peak = inputs.monthly_requests / MONTH_S * inputs.peak;
        per_worker.map(|rate| (peak / (rate * inputs.gpu_speed)).ceil().max(1.0) as u32)
    };
    let tokens = facts.prompt_tokens + facts.output_tokens;
    let option =
        |choice, keeps_slo, share: f64, workers: Option<u32>, busy_s: f64, devices: bool| {
            let power = inputs.monthly_requests * busy_s / 3600.0 * rates.device_busy_usd_per_hour;
            let owned = inputs.charged_share * inputs.users * rates.device_owned_usd_per_hour;
            let device = power * inputs.power_price + owned * inputs.device_price * MONTH_HOURS;
            let device = if devices { device } else { 0.0 };
            let usd =
                workers.map(|n| f64::from(n) * worker_usd(rates, inputs) * MONTH_HOURS + device);
            let each = usd.map(|usd| usd / inputs.monthly_requests);
            Alternative {
                choice,
                keeps_slo: keeps_slo && usd.is_some(),
                share_on_devices: share,
                workers: workers.unwrap_or(0),
                chips: workers.unwrap_or(0) * rates.chips_per_worker,
                usd_per_month: usd,
                usd_per_request: each,
                usd_per_m_served: each.map(|usd| usd * 1e6 / tokens),
            }
        };
    let rate = per_worker(facts);
    let devices = &facts.devices;
    let mut options = vec![
        option(Choice::Cluster, true, 0.0, workers(rate), 0.0, false),
        option(
            Choice::Devices,
            devices.within_slo >= ENOUGH,
            1.0,
            Some(0),
            devices.busy_s_per_request,
            true,
        ),
    ];
    options.extend(facts.split.as_ref().map(|split| {
        let workers = workers(split.requests_per_s_per_worker);
        let (share, busy_s) = (split.share_on_devices, split.busy_s_per_request);
        option(Choice::Split, true, share, workers, busy_s, true)
    }));
    let choice = choose(&options);
    let api = api.iter().map(|api| api_cost(api, facts, rates, inputs)).collect();
    Decision { choice, options, api }
}

fn worker_usd(rates: &Rates, inputs: &Inputs) -> f64 {
    rates.worker_usd_per_hour * inputs.gpu_price + rates.pool_usd_per_hour
}

/// Of the cluster that is advised.
pub fn per_worker(facts: &Facts) -> Option<f64> {
    facts.clusters.last()?.requests_per_s_per_worker
}

/// The cheapest that keeps the SLO; a split must be worth its trouble.
fn choose(options: &[Alternative]) -> Choice {
    let cost = |option: &Alternative| {
        let weight = if option.choice == Choice::Split { 1.0 / (1.0 - SPLIT_SAVES) } else { 1.0 };
        option.usd_per_month.filter(|_| option.keeps_slo).map(|usd| usd * weight)
    };
    let able = options.iter().filter_map(|option| Some((cost(option)?, option.choice)));
    able.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(Choice::Nothing, |(_, choice)| choice)
}

fn api_cost(api: &Api, facts: &Facts, rates: &Rates, inputs: &Inputs) -> ApiCost {
    let reused = facts.clusters.last().map_or(0.0, |cluster| cluster.reused_share);
    let (prompt, output) = (facts.prompt_tokens, facts.output_tokens);
    let each = api.usd(prompt * (1.0 - reused), prompt * reused, output);
    // One worker's month, against the requests that it serves in it.
    let one = worker_usd(rates, inputs) * MONTH_HOURS;
    let serves = per_worker(facts).map(|rate| rate * inputs.gpu_speed / inputs.peak * MONTH_S);
    let passed = Some(one / each).filter(|&from| serves.is_some_and(|serves| from <= serves));
    ApiCost {
        name: api.name.clone(),
        usd_per_month: each * inputs.monthly_requests,
        usd_per_request: each,
        passed_at_requests: passed,
        passed_at_usd_per_month: passed.map(|_| one),
    }
}

/// The share of reused prompt tokens at which a request on the cluster costs `usd`, whole workers left
/// out: between two shares that were simulated, in a straight line. `Err`: it costs less (true) or more
/// at any of them.
pub fn break_even_share(
    facts: &Facts,
    rates: &Rates,
    inputs: &Inputs,
    usd: f64,
) -> Result<f64, bool> {
    let cost =
        |rate: f64| worker_usd(rates, inputs) * inputs.peak / (rate * inputs.gpu_speed * 3600.0);
    let points: Vec<(f64, f64)> = facts
        .clusters
        .iter()
        .filter_map(|cluster| {
            Some((cluster.reused_share, cost(cluster.requests_per_s_per_worker?)))
        })
        .collect();
    for pair in points.windows(2) {
        let [(low, dear), (high, cheap)] = [pair[0], pair[1]];
        if (cheap..=dear).contains(&usd) && dear > cheap {
            return Ok(low + (high - low) * (dear - usd) / (dear - cheap));
        }
    }
    Err(points.iter().all(|&(_, cost)| cost < usd))
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Cluster, Devices, Split};
    use super::*;
    use warmpath_core::report::Slo;

    fn facts() -> Facts {
        let cluster = |reused_share, rate| Cluster {
            sharing: String::new(),
            reused_share,
            requests_per_s_per_worker: Some(rate),
            kwh_per_request: None,
        };
        Facts {
            slo: Slo { ttft_s: 2.0, tpot_s: 0.1 },
            prompt_tokens: 900.0,
            output_tokens: 100.0,
            requests_per_s: 1.0,
            clusters: vec![cluster(0.0, 1.0), cluster(0.5, 2.0)],
            devices: Devices {
                profile: String::new(),
                within_slo: 0.95,
                too_large: 0,
                requests: 100,
                reused_share: 0.0,
                ttft_p90_s: 1.0,
                tpot_mean_s: 0.01,
                busy_s_per_request: 3.6,
                longest_in_time: 1_000,
            },
            split: Some(Split {
                up_to_tokens: 1_000,
                share_on_devices: 0.5,
                requests_per_s_per_worker: Some(4.0),
                busy_s_per_request: 1.8,
            }),
            break_even_gb_s: None,
        }
    }

    const RATES: Rates = Rates {
        worker_usd_per_hour: 10.0,
        chips_per_worker: 4,
        pool_usd_per_hour: 0.0,
        device_busy_usd_per_hour: 0.01,
        device_owned_usd_per_hour: 0.1,
    };

    /// Ten requests a second in the mean, twenty at the peak.
    fn inputs() -> Inputs {
        Inputs {
            monthly_requests: 10.0 * MONTH_S,
            peak: 2.0,
            users: 1_000.0,
            charged_share: 0.0,
            gpu_price: 1.0,
            power_price: 1.0,
            device_price: 1.0,
            gpu_speed: 1.0,
        }
    }

    fn api() -> Vec<Api> {
        vec![Api { name: "a".into(), input: 1.0, cached: 0.5, output: 4.0 }]
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs(), "{a} against {b}");
    }

    #[test]
    fn what_each_option_costs_worked_by_hand() {
        let decision = decide(&facts(), &RATES, &inputs(), &api());
        let [cluster, devices, split] = decision.options.as_slice() else { panic!("three") };
        assert_eq!((cluster.workers, cluster.chips, split.workers), (10, 40, 5));
        near(cluster.usd_per_month.unwrap(), 10.0 * 10.0 * MONTH_HOURS);
        // 3.6 s of a device are a thousandth of an hour, and 0.00001 USD.
        near(devices.usd_per_request.unwrap(), 1e-5);
        near(split.usd_per_month.unwrap(), 50.0 * MONTH_HOURS + 5e-6 * 10.0 * MONTH_S);
        near(cluster.usd_per_m_served.unwrap(), 100.0 / 36_000.0 * 1e3);
        assert_eq!(decision.choice, Choice::Devices);
        // 450 computed, 450 reused and 100 answered tokens.
        near(decision.api[0].usd_per_request, (450.0 + 225.0 + 400.0) / 1e6);
        assert_eq!(decision.api[0].passed_at_requests, None, "a worker serves a million USD less");
    }

    #[test]
    fn an_option_that_misses_the_slo_is_not_taken_and_a_split_must_save_something() {
        let mut facts = facts();
        facts.devices.within_slo = 0.8;
        assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::Split);
        facts.split.as_mut().unwrap().requests_per_s_per_worker = Some(2.0);
        assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::Cluster);
        facts.clusters[1].requests_per_s_per_worker = None;
        facts.split = None;
        assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::Nothing);
        let bought = Inputs { charged_share: 1.0, ..inputs() };
        let choice = decide(&self::facts(), &RATES, &bought, &api()).choice;
        assert_eq!(
            choice,
            Choice::Cluster,
            "a thousand devices cost what ten workers do, and power"
        );
    }

    #[test]
    fn a_break_even_lies_between_what_was_simulated() {
        let (facts, inputs) = (facts(), inputs());
        // A request costs 20 / 3600 USD with nothing reused and half of it with half reused.
        let usd = |part: f64| part * 20.0 / 3600.0;
        near(break_even_share(&facts, &RATES, &inputs, usd(0.75)).unwrap(), 0.25);
        assert_eq!(break_even_share(&facts, &RATES, &inputs, usd(1.1)), Err(true));
        assert_eq!(break_even_share(&facts, &RATES, &inputs, usd(0.4)), Err(false));
    }

    #[test]
    fn a_price_is_passed_where_one_worker_is_paid_for() {
        let dear = vec![Api { name: "a".into(), input: 10.0, cached: 10.0, output: 10.0 }];
        let decision = decide(&facts(), &RATES, &inputs(), &dear);
        let cost = &decision.api[0];
        // 0.01 USD a request; a worker's month is 10 USD an hour.
        near(cost.passed_at_requests.unwrap(), 1_000.0 * MONTH_HOURS);
        near(cost.passed_at_usd_per_month.unwrap(), 10.0 * MONTH_HOURS);
    }
}
