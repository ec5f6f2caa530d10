//! What a run drew and cost, and which request it was for. The rules stand in `docs/economics.md`.
//!
//! A worker's time is busy (a step runs) or idle, and each has a rate of power and of money. Busy time is
//! shared among the requests that the worker answered by the work they made; idle time is nobody's. So
//! the total is the sum over the requests and the idle time, whatever the rates.

use super::Answered;
use crate::event::PrefillCost;
use crate::id::{RequestId, WorkerId};
use crate::time::Duration;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a worker takes in one state.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Rate {
    /// All its chips and their share of the host, before the site's overhead.
    pub watts: f64,
    /// All that is paid for an hour in this state, power included.
    pub usd_per_hour: f64,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Rates {
    pub busy: Rate,
    pub idle: Rate,
    /// Power drawn from the grid over power drawn by the machines (PUE).
    pub overhead: f64,
}

/// Time, energy and money.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Spent {
    /// Of one worker; a worker of four chips counts once.
    pub worker_s: f64,
    pub kwh: f64,
    pub usd: f64,
}

impl Spent {
    fn of(seconds: f64, rate: Rate, overhead: f64) -> Self {
        let hours = seconds / 3600.0;
        let kwh = hours * rate.watts / 1e3 * overhead;
        Self { worker_s: seconds, kwh, usd: hours * rate.usd_per_hour }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            worker_s: self.worker_s + other.worker_s,
            kwh: self.kwh + other.kwh,
            usd: self.usd + other.usd,
        }
    }
}

/// Where energy and money of a run went.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Account {
    pub by_request: Vec<(RequestId, Spent)>,
    /// Time in which steps ran.
    pub busy: Spent,
    /// The rest of the time, and steps of workers that answered nothing.
    pub idle: Spent,
}

impl Account {
    /// Of workers that are alike. `workers`: how long each had a step running, also those that served
    /// nothing; `span`: how long each was there; `prefill`: what it takes one of them to compute a
    /// prompt. Requests that others answered are left out.
    pub fn of(
        answered: &[Answered],
        workers: &BTreeMap<WorkerId, Duration>,
        span: Duration,
        prefill: &PrefillCost,
        rates: &Rates,
    ) -> Self {
        let mut work: BTreeMap<WorkerId, Work> = BTreeMap::new();
        let theirs = |request: &&Answered| workers.contains_key(&request.worker);
        for request in answered.iter().filter(theirs) {
            work.entry(request.worker).or_default().add(request, prefill);
        }
        let mut account = Self::default();
        for (worker, busy) in workers {
            // What is under way when the last answer ends may outlast it by a rounding.
            let busy = busy.as_secs_f64().min(span.as_secs_f64());
            let served = if work.contains_key(worker) { busy } else { 0.0 };
            let idle = Spent::of(span.as_secs_f64() - busy, rates.idle, rates.overhead);
            let unserved = Spent::of(busy - served, rates.busy, rates.overhead);
            account.busy = account.busy.plus(Spent::of(served, rates.busy, rates.overhead));
            account.idle = account.idle.plus(idle).plus(unserved);
            if let Some(work) = work.get_mut(worker) {
                work.share(busy);
            }
        }
        let spent = |request: &Answered| {
            let seconds = work[&request.worker].seconds_of(request, prefill);
            (request.id, Spent::of(seconds, rates.busy, rates.overhead))
        };
        account.by_request = answered.iter().filter(theirs).map(spent).collect();
        account
    }

    pub fn total(&self) -> Spent {
        self.busy.plus(self.idle)
    }
}

/// What one worker computed, and what its busy time comes to for each part of it.
#[derive(Clone, Copy, Default, Debug)]
struct Work {
    prefill_s: f64,
    output_tokens: f64,
    /// Of what the prompts would take alone.
    prefill_share: f64,
    s_per_output_token: f64,
}

impl Work {
    fn add(&mut self, request: &Answered, prefill: &PrefillCost) {
        self.prefill_s += prefill_s(request, prefill);
        self.output_tokens += f64::from(request.output_tokens);
    }

    /// Prompts take what they would take alone, answers share the rest by tokens. Where prompts alone
    /// would have taken longer than the worker was busy, because they shared steps, they share all of
    /// it and answers were for nothing.
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
