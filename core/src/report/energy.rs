//! The energy and money that a run took, in all and for each request. The rules are in
//! `docs/economics.md`.
//!
//! A worker is busy (a step runs) or idle. Each state has a power and a price. Busy time is divided
//! among the requests that the worker answered, by the work of each. Idle time belongs to no request.
//! So the requests and the idle time add up to the total at any rates.

use super::answered::Answered;
use crate::event::PrefillCost;
use crate::id::{RequestId, WorkerId};
use crate::time::Duration;
use serde::Serialize;
use std::collections::BTreeMap;

/// Power and price of a worker in one state.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Rate {
    /// Power of all its chips and their share of the host, before the site's overhead.
    pub watts: f64,
    /// Price of an hour in this state, power included.
    pub usd_per_hour: f64,
}

/// Power and price of a worker in both states.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Rates {
    /// While a step runs.
    pub busy: Rate,
    /// While no step runs.
    pub idle: Rate,
    /// Power drawn from the grid divided by the power of the machines (PUE), at least 1.
    pub overhead: f64,
}

/// Time, energy and money.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Cost {
    /// Worker seconds. A worker with four chips counts once.
    pub worker_s: f64,
    /// Energy from the grid, in kilowatt-hours.
    pub kwh: f64,
    /// Money, in US dollars.
    pub usd: f64,
}

impl Cost {
    fn of(seconds: f64, rate: Rate, overhead: f64) -> Self {
        let hours = seconds / 3600.0;
        let kwh = hours * rate.watts / 1e3 * overhead;
        Self { worker_s: seconds, kwh, usd: hours * rate.usd_per_hour }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            worker_s: self.worker_s + other.worker_s,
            kwh: self.kwh + other.kwh,
            usd: self.usd + other.usd,
        }
    }
}

/// Time, energy and money of a run, divided among its requests.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Account {
    /// The share of each answered request, in the order of the answers.
    pub by_request: Vec<(RequestId, Cost)>,
    /// The busy time of workers with answers. It is the sum of `by_request`.
    pub busy: Cost,
    /// The idle time, and the busy time of workers without an answer.
    pub idle: Cost,
}

impl Account {
    /// The account of workers with the same rates. `workers` has the busy time of each, idle ones
    /// included; `span` is the length of the run; `prefill` is the time to compute a prompt. Answers
    /// of workers that are not in `workers` are left out.
    pub fn of(
        answered: &[Answered],
        workers: &BTreeMap<WorkerId, Duration>,
        span: Duration,
        prefill: &PrefillCost,
        rates: &Rates,
    ) -> Self {
        let mut work: BTreeMap<WorkerId, WorkerLoad> = BTreeMap::new();
        let counts = |request: &&Answered| workers.contains_key(&request.worker);
        for request in answered.iter().filter(counts) {
            work.entry(request.worker).or_default().add(request, prefill);
        }
        let mut account = Self::default();
        for (worker, busy) in workers {
            // The last step may end after the last answer by a rounding error.
            let busy = busy.as_secs_f64().min(span.as_secs_f64());
            let served = if work.contains_key(worker) { busy } else { 0.0 };
            let idle = Cost::of(span.as_secs_f64() - busy, rates.idle, rates.overhead);
            let unserved = Cost::of(busy - served, rates.busy, rates.overhead);
            account.busy = account.busy.plus(Cost::of(served, rates.busy, rates.overhead));
            account.idle = account.idle.plus(idle).plus(unserved);
            if let Some(work) = work.get_mut(worker) {
                work.share(busy);
            }
        }
        let spent = |request: &Answered| {
            let seconds = work[&request.worker].seconds_of(request, prefill);
            (request.id, Cost::of(seconds, rates.busy, rates.overhead))
        };
        account.by_request = answered.iter().filter(counts).map(spent).collect();
        account
    }

    /// Busy and idle together.
    pub fn total(&self) -> Cost {
        self.busy.plus(self.idle)
    }
}

/// The work of one worker, and the busy time charged for each part of it.
#[derive(Clone, Copy, Default, Debug)]
struct WorkerLoad {
    /// The time that the prompts would take if each was computed alone.
    prefill_s: f64,
    output_tokens: f64,
    /// The part of `prefill_s` that is charged, 0 to 1.
    prefill_share: f64,
    s_per_output_token: f64,
}

impl WorkerLoad {
    fn add(&mut self, request: &Answered, prefill: &PrefillCost) {
        self.prefill_s += prefill_s(request, prefill);
        self.output_tokens += f64::from(request.output_tokens);
    }

    /// Charges each prompt the time that it would take alone, and divides the rest of the busy time
    /// among answers by tokens. If the prompts alone would take longer than the worker was busy
    /// (prompts share steps), they are charged all of it in proportion, and answers nothing.
    fn share(&mut self, busy_s: f64) {
        let rest = (busy_s - self.prefill_s).max(0.0);
        self.prefill_share = if self.prefill_s > busy_s { busy_s / self.prefill_s } else { 1.0 };
        self.s_per_output_token = rest / self.output_tokens;
    }

    fn seconds_of(&self, request: &Answered, prefill: &PrefillCost) -> f64 {
        self.prefill_share * prefill_s(request, prefill)
            + self.s_per_output_token * f64::from(request.output_tokens)
    }
}

fn prefill_s(request: &Answered, prefill: &PrefillCost) -> f64 {
    let computed = request.prompt_tokens - request.cached_tokens;
    prefill.estimate(computed, request.cached_tokens).as_secs_f64()
}
