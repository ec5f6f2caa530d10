//! Choices and costs, computed by hand.

use super::super::facts::{ClassOnDevices, Cluster, Devices, SameModel, Split};
use super::*;
use crate::setup::StaysSetup;
use warmpath_core::engine::physics::Validation;
use warmpath_core::report::Slo;

fn facts() -> Facts {
    let cluster = |reused_share, rate| Cluster {
        sharing: String::new(),
        reused_share: Some(reused_share),
        requests_per_s_per_worker: Some(Band::exactly(rate)),
        seeds_without: 0,
        kwh_per_request: None,
        short: false,
        least: None,
    };
    Facts {
        slo: Slo { ttft_s: 2.0, tpot_s: 0.1 },
        seeds: 1,
        prompt_tokens: 900.0,
        output_tokens: 100.0,
        requests_per_s: 1.0,
        clusters: vec![cluster(0.0, 1.0), cluster(0.5, 2.0)],
        same_model: None,
        no_same_model: None,
        devices: Devices {
            profile: String::new(),
            within_slo: Band::exactly(0.95),
            too_large: 0,
            requests: 100,
            reused_share: Some(0.0),
            ttft_p90_s: Some(1.0),
            tpot_mean_s: Some(0.01),
            busy_s_per_request: Band::exactly(3.6),
            longest_in_time: 1_000,
            classes: Vec::new(),
        },
        splits: vec![Split {
            choice: Choice::SplitByLength,
            stays: StaysSetup::up_to(1_000),
            share_on_devices: 0.5,
            requests_per_s_per_worker: Some(Band::exactly(4.0)),
            busy_s_per_request: Band::exactly(1.8),
            short: false,
        }],
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

/// Ten requests per second in the mean, twenty at the peak.
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
fn the_cost_of_each_option_computed_by_hand() {
    let decision = decide(&facts(), &RATES, &inputs(), &api());
    let [cluster, devices, split] = decision.options.as_slice() else { panic!("three") };
    assert_eq!((cluster.workers, cluster.chips, split.workers), (10, 40, 5));
    near(cluster.usd_per_month.unwrap().mean, 10.0 * 10.0 * MONTH_HOURS);
    // 3.6 s of a device are a thousandth of an hour, and 0.00001 USD.
    near(devices.usd_per_request.unwrap(), 1e-5);
    near(split.usd_per_month.unwrap().mean, 50.0 * MONTH_HOURS + 5e-6 * 10.0 * MONTH_S);
    near(cluster.usd_per_m_served.unwrap(), 100.0 / 36_000.0 * 1e3);
    assert_eq!(decision.choice, Choice::Devices);
    // 450 computed, 450 reused and 100 answered tokens.
    near(decision.api[0].usd_per_request, (450.0 + 225.0 + 400.0) / 1e6);
    assert_eq!(decision.api[0].passed_at_requests, None, "a worker serves a million USD less");
}

#[test]
fn an_option_that_misses_the_slo_is_not_chosen_and_a_split_must_save_something() {
    let mut facts = facts();
    facts.devices.within_slo = Band::exactly(0.8);
    assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::SplitByLength);
    let mut by_class = self::facts();
    let class = |within| ClassOnDevices { name: String::new(), within_slo: Band::exactly(within) };
    by_class.devices.classes = vec![class(0.99), class(0.89)];
    assert_ne!(decide(&by_class, &RATES, &inputs(), &api()).choice, Choice::Devices);
    facts.splits[0].requests_per_s_per_worker = Some(Band::exactly(2.0));
    assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::Cluster);
    facts.clusters[1].requests_per_s_per_worker = None;
    facts.splits.clear();
    assert_eq!(decide(&facts, &RATES, &inputs(), &api()).choice, Choice::Nothing);
    let bought = Inputs { charged_share: 1.0, ..inputs() };
    let choice = decide(&self::facts(), &RATES, &bought, &api()).choice;
    assert_eq!(choice, Choice::Cluster, "a thousand devices cost what ten workers do, and power");
}

/// A quarter of the chips, and twice the requests.
fn same_model(rate: Option<f64>) -> SameModel {
    let cluster = Cluster {
        requests_per_s_per_worker: rate.map(Band::exactly),
        ..facts().clusters[1].clone()
    };
    SameModel {
        profile: String::new(),
        model: String::new(),
        precision: String::new(),
        chips_per_worker: 1,
        standing: Validation { validated: false, band_percent: None, because: String::new() },
        cluster,
    }
}

#[test]
fn the_devices_model_on_the_cluster_is_chosen_only_if_devices_keep_the_slo() {
    let facts = |rate| Facts { same_model: Some(same_model(rate)), ..facts() };
    let decision = decide(&facts(Some(4.0)), &RATES, &inputs(), &api());
    let same = &decision.options[1];
    assert_eq!((same.choice, same.workers, same.chips), (Choice::ClusterSameModel, 5, 5));
    // 2.50 USD per hour for four requests per second.
    near(same.usd_per_month.unwrap().mean, 5.0 * 2.5 * MONTH_HOURS);
    assert_eq!(decision.choice, Choice::Devices);
    // Power at 1000 times the price: both models cost less on the cluster than the devices do. At 100
    // times: the devices cost less than the cluster's own model, and more than their model there.
    for (power_price, else_best) in [(1e3, Choice::Cluster), (1e2, Choice::Devices)] {
        let dear = Inputs { power_price, ..inputs() };
        let choice = |rate| decide(&facts(rate), &RATES, &dear, &api()).choice;
        assert_eq!(choice(Some(4.0)), Choice::ClusterSameModel);
        assert_eq!(choice(None), else_best, "no load of it is within the SLO");
    }
    let mut slow = facts(Some(4.0));
    slow.devices.within_slo = Band::exactly(0.8);
    slow.splits.clear();
    let choice = decide(&slow, &RATES, &inputs(), &api()).choice;
    assert_eq!(choice, Choice::Cluster, "devices miss the SLO, so their model is no answer");
}

#[test]
fn a_band_of_rates_gives_a_band_of_whole_workers_and_of_their_cost() {
    let mut facts = facts();
    let rate = Band { mean: 2.0, low: 1.9, high: 2.3 };
    facts.clusters[1].requests_per_s_per_worker = Some(rate);
    let option = &decide(&facts, &RATES, &inputs(), &api()).options[0];
    let month = 10.0 * MONTH_HOURS;
    let usd = option.usd_per_month.unwrap();
    for (usd, workers) in [(usd.low, 9.0), (usd.mean, 10.0), (usd.high, 11.0)] {
        near(usd, workers * month);
    }
    let full = option.usd_per_request_full.unwrap();
    near(full.high, 20.0 / 1.9 * month / inputs().monthly_requests);
    near(option.full_at_peak.unwrap(), 1.0);
}

#[test]
fn a_break_even_lies_between_simulated_shares() {
    let (facts, inputs) = (facts(), inputs());
    // A request costs 20 / 3600 USD without reuse, and half of it with half of the tokens reused.
    let usd = |part: f64| part * 20.0 / 3600.0;
    let share = |facts: &Facts, part| break_even_share(facts, &RATES, &inputs, usd(part));
    let BreakEven::From(between) = share(&facts, 0.75) else { panic!("it lies between the two") };
    near(between, 0.25);
    assert_eq!(share(&facts, 1.1), BreakEven::Always);
    assert_eq!(share(&facts, 0.4), BreakEven::Never);
    let mut slow = facts.clone();
    slow.clusters.iter_mut().for_each(|cluster| cluster.requests_per_s_per_worker = None);
    assert_eq!(share(&slow, 0.75), BreakEven::Unknown);
}

#[test]
fn a_price_is_passed_when_it_pays_for_one_worker() {
    let dear = vec![Api { name: "a".into(), input: 10.0, cached: 10.0, output: 10.0 }];
    let decision = decide(&facts(), &RATES, &inputs(), &dear);
    let cost = &decision.api[0];
    // 0.01 USD per request. A worker costs 10 USD per hour.
    near(cost.passed_at_requests.unwrap(), 1_000.0 * MONTH_HOURS);
    near(cost.passed_at_usd_per_month.unwrap(), 10.0 * MONTH_HOURS);
}
