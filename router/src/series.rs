//! The series that every request counts in. Each is looked up once: a look-up makes a key of texts and asks a table that
//! all threads share.

use metrics::{Counter, Histogram, counter, histogram};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const OVERHEAD: &str = "warmpath_router_overhead_seconds";
pub const REQUESTS: &str = "warmpath_router_requests_total";
pub const EXPECTED: &str = "warmpath_router_overlap_blocks_total";
pub const FOUND: &str = "warmpath_router_hit_blocks_total";
pub const TTFT: &str = "warmpath_router_ttft_seconds";
pub const E2E: &str = "warmpath_router_e2e_seconds";
pub const DECISIONS: &str = "warmpath_router_decisions_total";
pub const NOT_BEST: &str = "warmpath_router_decisions_not_best_holder_total";
pub const PROMPT_BLOCKS: &str = "warmpath_router_prompt_blocks_total";
pub const LOST: &str = "warmpath_router_lost_blocks_total";
pub const NOT_FOUND: &str = "warmpath_router_expected_not_found_blocks_total";
pub const NOT_EXPECTED: &str = "warmpath_router_found_not_expected_blocks_total";

/// The router's own time, by stage.
#[derive(Debug)]
pub struct Overhead {
    pub hash: Histogram,
    pub decide: Histogram,
    pub total: Histogram,
}

impl Overhead {
    pub fn new() -> Self {
        let stage = |name: &'static str| histogram!(OVERHEAD, "stage" => name);
        Self { hash: stage("hash"), decide: stage("decide"), total: stage("total") }
    }

    /// What one request took: until its blocks were named, from then to the decision, and in all.
    pub fn record(&self, hash: Duration, decide: Duration, total: Duration) {
        self.hash.record(hash.as_secs_f64());
        self.decide.record(decide.as_secs_f64());
        self.total.record(total.as_secs_f64());
    }
}

/// Series with the label `policy`.
#[derive(Debug)]
pub struct OfPolicy {
    pub decisions: Counter,
    pub not_best: Counter,
    pub prompt_blocks: Counter,
    pub lost: Counter,
    pub ttft: Histogram,
    pub e2e: Histogram,
}

impl OfPolicy {
    pub fn new(label: &Arc<str>) -> Self {
        let count = |name: &'static str| counter!(name, "policy" => Arc::clone(label));
        let time = |name: &'static str| histogram!(name, "policy" => Arc::clone(label));
        Self {
            decisions: count(DECISIONS),
            not_best: count(NOT_BEST),
            prompt_blocks: count(PROMPT_BLOCKS),
            lost: count(LOST),
            ttft: time(TTFT),
            e2e: time(E2E),
        }
    }
}

/// Series with the label `worker`.
#[derive(Debug)]
pub struct OfWorker {
    name: String,
    /// Blocks that the rule expected.
    pub expected: Counter,
    /// Blocks that the worker found.
    pub found: Counter,
    /// Blocks that were expected and not found.
    pub not_found: Counter,
    /// Blocks that were found and not expected.
    pub not_expected: Counter,
    /// The counter of finished requests under the rule that chose last.
    finished: Mutex<Option<(Arc<str>, Counter)>>,
}

impl OfWorker {
    pub fn new(name: &str) -> Self {
        let count = |series: &'static str| counter!(series, "worker" => name.to_owned());
        Self {
            name: name.to_owned(),
            expected: count(EXPECTED),
            found: count(FOUND),
            not_found: count(NOT_FOUND),
            not_expected: count(NOT_EXPECTED),
            finished: Mutex::default(),
        }
    }

    /// A request that this rule sent here has its whole answer. `outcome` is what that is called.
    pub fn finished(&self, policy: &Arc<str>, outcome: &'static str) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let known = finished.as_ref().filter(|(label, _)| label == policy);
        let count = match known {
            Some((_, count)) => count,
            None => {
                let count = self.requests(policy, outcome);
                &finished.insert((Arc::clone(policy), count)).1
            }
        };
        count.increment(1);
    }

    /// Requests that this rule sent here and that ended like this.
    pub fn requests(&self, policy: &Arc<str>, outcome: &'static str) -> Counter {
        let (worker, policy) = (self.name.clone(), Arc::clone(policy));
        counter!(REQUESTS, "worker" => worker, "policy" => policy, "outcome" => outcome)
    }
}
