//! Whether a request whose attempt failed is tried again.
//!
//! What the worker never took may be tried again until a limit. What a worker took and then failed may
//! be the request's own fault: a request that kills its worker must not kill the next one too. So
//! it is tried once more, and the second failure is not held against the second worker. An answer that
//! broke off has come a part of the way; it is resumed at most twice. All tries together have a budget,
//! so that a failing fleet is not loaded further by them.

use super::attempt::Failure;
use crate::hash::Map;
use crate::id::{RequestId, WorkerId};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// How often requests are tried again.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryLimits {
    /// A request that no worker took is sent again at most so often.
    pub not_taken: u32,
    /// A request that failed on its worker before the first token is sent again at most so often.
    pub before_first_token: u32,
    /// An answer that broke off is resumed at most so often.
    pub resumes: u32,
    /// Of all requests together.
    pub budget: RetryBudget,
}

impl Default for RetryLimits {
    /// 3 times; once; twice.
    fn default() -> Self {
        Self { not_taken: 3, before_first_token: 1, resumes: 2, budget: RetryBudget::default() }
    }
}

/// A token bucket: requests and time fill it, each further try takes one token.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBudget {
    /// Further tries as a share of requests.
    pub share: f64,
    /// Further tries a second, beside that.
    pub per_s: f64,
    /// How many tries the bucket holds at most.
    pub most: f64,
    /// How many it holds when the router starts.
    pub at_first: f64,
}

impl Default for RetryBudget {
    /// 20 % of requests and 10 a second, at most 500 at once, 10 at first.
    fn default() -> Self {
        Self { share: 0.2, per_s: 10.0, most: 500.0, at_first: 10.0 }
    }
}

impl RetryLimits {
    pub(super) fn check(&self) -> Result<(), String> {
        let RetryBudget { share, per_s, most, at_first } = self.budget;
        let all = [
            ("share", share, 1.0),
            ("per_s", per_s, 1e6),
            ("most", most, 1e6),
            ("at_first", at_first, 1e6),
        ];
        for (name, value, limit) in all {
            if !(0.0..=limit).contains(&value) {
                return Err(format!("retry.budget.{name}: {value}, expected 0 to {limit}"));
            }
        }
        Ok(())
    }
}

/// Why a request is not tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum GiveUp {
    /// The router tries nothing again.
    #[error("this router tries nothing again")]
    Off,
    /// Tried as often as allowed.
    #[error("it was tried as often as allowed")]
    Tries,
    /// It failed on as many workers as a request may that could be at fault itself.
    #[error("it failed on its workers, so the request may be at fault")]
    Suspect,
    /// The answer was resumed as often as allowed.
    #[error("its answer was resumed as often as allowed")]
    Resumes,
    /// The budget of all requests is used up.
    #[error("the budget for further tries is used up")]
    Budget,
    /// All workers that could serve it were tried.
    #[error("no other worker can serve it")]
    NoOtherWorker,
}

/// What was tried for a request.
#[derive(Clone, Default, Debug)]
struct Tried {
    workers: SmallVec<[WorkerId; 6]>,
    not_taken: u32,
    early: u32,
    resumes: u32,
}

impl Tried {
    fn count(&mut self, how: Failure) {
        let count = match how {
            Failure::NotTaken => &mut self.not_taken,
            Failure::BeforeFirstToken | Failure::NoHeaders | Failure::NoFirstToken => {
                &mut self.early
            }
            Failure::MidStream | Failure::Stalled => &mut self.resumes,
        };
        *count += 1;
    }

    /// Whether it may be tried once more, whatever the budget says.
    const fn check(&self, limits: &RetryLimits) -> Result<(), GiveUp> {
        if self.not_taken > limits.not_taken {
            return Err(GiveUp::Tries);
        }
        if self.early > limits.before_first_token {
            return Err(GiveUp::Suspect);
        }
        if self.resumes > limits.resumes {
            return Err(GiveUp::Resumes);
        }
        Ok(())
    }
}

/// The requests that failed and have not ended, and the budget.
#[derive(Debug, Default)]
pub(super) struct Retries {
    limits: Option<RetryLimits>,
    of: Map<RequestId, Tried>,
    left: f64,
    filled: Instant,
}

impl Retries {
    pub fn set_limits(&mut self, limits: Option<RetryLimits>) {
        self.limits = limits;
        self.left = limits.map_or(0.0, |limits| limits.budget.at_first.min(limits.budget.most));
    }

    /// A request arrived.
    pub fn arrived(&mut self) {
        if let Some(RetryLimits { budget, .. }) = &self.limits {
            self.left = (self.left + budget.share).min(budget.most);
        }
    }

    /// Whether a failure of this request may be held against its worker. Not the further failures of a
    /// request that may be at fault itself.
    pub fn blames_worker(&self, id: RequestId, how: Failure) -> bool {
        how == Failure::NotTaken || self.of.get(&id).is_none_or(|tried| tried.early == 0)
    }

    /// An attempt failed.
    pub fn failed(&mut self, id: RequestId, worker: WorkerId, how: Failure) {
        let tried = self.of.entry(id).or_default();
        if !tried.workers.contains(&worker) {
            tried.workers.push(worker);
        }
        tried.count(how);
    }

    /// Takes a token of the budget for one more try, or says why there is none.
    pub fn take(&mut self, now: Instant, id: RequestId) -> Result<(), GiveUp> {
        let limits = self.limits.ok_or(GiveUp::Off)?;
        let Some(tried) = self.of.get(&id) else { return Ok(()) };
        tried.check(&limits)?;
        (self.left, self.filled) = (self.filled_up(now, &limits), now);
        if self.left < 1.0 {
            return Err(GiveUp::Budget);
        }
        self.left -= 1.0;
        Ok(())
    }

    /// Whether [`Retries::take`] would give a token after one more such failure.
    pub fn has_one_more(&self, now: Instant, id: RequestId, how: Failure) -> bool {
        let Some(limits) = self.limits else { return false };
        let mut tried = self.of.get(&id).cloned().unwrap_or_default();
        tried.count(how);
        tried.check(&limits).is_ok() && self.filled_up(now, &limits) >= 1.0
    }

    /// What is left of the budget at `now`.
    fn filled_up(&self, now: Instant, limits: &RetryLimits) -> f64 {
        let RetryBudget { per_s, most, .. } = limits.budget;
        (self.left + now.since(self.filled).as_secs_f64() * per_s).min(most)
    }

    /// The workers that were tried for a request.
    pub fn tried(&self, id: RequestId) -> &[WorkerId] {
        match self.of.is_empty() {
            true => &[],
            false => self.of.get(&id).map_or(&[], |tried| &tried.workers),
        }
    }

    /// How often a request failed.
    pub fn count(&self, id: RequestId) -> u32 {
        self.of.get(&id).map_or(0, |tried| tried.not_taken + tried.early + tried.resumes)
    }

    /// A request has ended.
    pub fn forget(&mut self, id: RequestId) {
        if !self.of.is_empty() {
            self.of.remove(&id);
        }
    }

    /// At rest no request is between two attempts.
    pub fn check_at_rest(&self) {
        assert!(self.of.is_empty(), "{} failed requests never ended", self.of.len());
    }
}
