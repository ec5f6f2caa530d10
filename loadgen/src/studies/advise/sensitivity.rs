//! How an advice depends on its inputs: each input is doubled and halved, and the advice is made
//! again. The room for KV is known better than that, and is varied by 10 %.

use super::choice::Choice;
use super::facts::{Facts, Rates};
use super::options::{Decision, Inputs, decide, per_worker};
use super::simulated;
use crate::economics::Api;
use crate::play::Progress;
use crate::setup::Setup;
use crate::studies::deploy;
use anyhow::Result;
use serde::Serialize;

/// The factor by which each input is varied.
pub const FACTOR: f64 = 2.0;
/// The same for the workers' room for KV.
const ROOMS: [f64; 2] = [0.9, 1.1];
/// What that input is called.
pub const KV_ROOM: &str = "room for KV";

#[derive(Clone, Debug, Serialize)]
pub struct Sensitivity {
    pub input: &'static str,
    pub cases: [Case; 2],
    /// The largest factor between the monthly cost of the choice with the varied input and the cost
    /// now.
    pub effect: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The varied input.
    pub what: String,
    pub choice: Choice,
    pub usd_per_month: Option<f64>,
    /// What a worker of the cluster serves within the SLO. Some only where it was simulated again, None there: no
    /// load is within the SLO.
    pub requests_per_s_per_worker: Option<f64>,
}

impl Sensitivity {
    pub fn flips(&self, now: Choice) -> bool {
        self.cases.iter().any(|case| case.choice != now)
    }
}

/// The most sensitive input first: those that change the choice, then by their effect on the cost.
pub fn of(
    setup: &Setup,
    base: (&Facts, &Rates, &Inputs, &[Api]),
    now: &Decision,
    progress: &Progress,
) -> Result<Vec<Sensitivity>> {
    let (facts, rates, inputs, api) = base;
    let case = |what: String, decision: &Decision| Case {
        what,
        choice: decision.choice,
        usd_per_month: usd(decision),
        requests_per_s_per_worker: None,
    };
    let mut all = Vec::new();
    type Vary = fn(&mut Inputs, f64);
    let plain: [(&'static str, Vary); 6] = [
        ("price of GPUs", |inputs, factor| inputs.gpu_price *= factor),
        ("throughput of a worker", |inputs, factor| inputs.gpu_speed *= factor),
        ("requests a month", |inputs, factor| inputs.monthly_requests *= factor),
        ("peak over mean", |inputs, factor| inputs.peak = (inputs.peak * factor).max(1.0)),
        ("price of users' power", |inputs, factor| inputs.power_price *= factor),
        ("users", |inputs, factor| inputs.users = (inputs.users * factor).max(1.0)),
    ];
    let again = |vary: &dyn Fn(&mut Inputs)| {
        let mut inputs = *inputs;
        vary(&mut inputs);
        decide(facts, rates, &inputs, api)
    };
    for (input, vary) in plain {
        let cases = [1.0 / FACTOR, FACTOR]
            .map(|factor| case(times(factor), &again(&|inputs: &mut Inputs| vary(inputs, factor))));
        all.push((input, cases));
    }
    // A share cannot be doubled, so its two ends are tried.
    let shares = [0.0, 1.0].map(|share| {
        case(share.to_string(), &again(&|inputs: &mut Inputs| inputs.charged_share = share))
    });
    all.push(("charged share of devices", shares));
    let bar = progress.start(6, "sensitivity", "simulations");
    let mut done = 0;
    let mut decided = |facts: &Facts, factor: f64| {
        done += 1;
        bar.set(done);
        Case {
            requests_per_s_per_worker: per_worker(facts).map(|rate| rate.mean),
            ..case(times(factor), &decide(facts, rates, inputs, api))
        }
    };
    let mut with_slo = |factor: f64| -> Result<Case> {
        let mut setup = setup.clone();
        setup.slo.ttft_s *= factor;
        Ok(decided(&simulated::at_other_slo(facts, &setup)?, factor))
    };
    all.push(("TTFT of the SLO", [with_slo(1.0 / FACTOR)?, with_slo(FACTOR)?]));
    // The speed of a device can be varied only if it is built in.
    let devices = &setup.devices.as_ref().expect("a scenario with devices").profile;
    if deploy::with_speed(devices, 1.0).is_ok() {
        let mut with_speed = |factor: f64| -> Result<Case> {
            Ok(decided(&simulated::with_device_speed(facts, setup, factor)?, factor))
        };
        all.push(("speed of devices", [with_speed(1.0 / FACTOR)?, with_speed(FACTOR)?]));
    }
    let mut with_room = |factor: f64| -> Result<Option<Case>> {
        let facts = simulated::with_kv_room(facts, setup, factor)?;
        Ok(facts.map(|facts| decided(&facts, factor)))
    };
    let [less, more] = ROOMS;
    if let Some(cases) = with_room(less)?.zip(with_room(more)?) {
        all.push((KV_ROOM, cases.into()));
    }
    drop(bar);
    let mut all: Vec<Sensitivity> = all
        .into_iter()
        .map(|(input, cases)| {
            let effect = cases.iter().map(|case| effect(case, now)).fold(1.0, f64::max);
            Sensitivity { input, cases, effect }
        })
        .collect();
    let rank = |one: &Sensitivity| (one.flips(now.choice), one.effect);
    all.sort_by(|a, b| {
        let ((a_flips, a), (b_flips, b)) = (rank(a), rank(b));
        b_flips.cmp(&a_flips).then(b.total_cmp(&a))
    });
    Ok(all)
}

fn times(factor: f64) -> String {
    format!("times {factor}")
}

fn usd(decision: &Decision) -> Option<f64> {
    let chosen = decision.options.iter().find(|option| option.choice == decision.choice)?;
    chosen.usd_per_month.map(|usd| usd.mean)
}

fn effect(case: &Case, now: &Decision) -> f64 {
    match (case.usd_per_month, usd(now)) {
        (Some(then), Some(now)) if then > 0.0 && now > 0.0 => (then / now).max(now / then),
        _ => 1.0,
    }
}
