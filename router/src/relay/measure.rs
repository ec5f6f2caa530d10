//! What is measured of a request besides how it ended: its decisions, and how long its client waited.

use crate::metrics::served;
use crate::policy::ActivePolicy;
use crate::series::OfWorker;
use std::time::Instant;
use warmpath_core::block::TokenBlocks;
use warmpath_core::routing::input::Decision;
use warmpath_proto::clock::since;

#[derive(Debug)]
pub struct Measure {
    /// When the request came.
    received: Instant,
    speedup: f64,
    /// Blocks that the rule expects at the worker it chose last. None: it did not look.
    expected: Option<u32>,
}

impl Measure {
    pub const fn new(received: Instant, speedup: f64) -> Self {
        Self { received, speedup, expected: None }
    }

    /// The rule chose this worker.
    pub fn decided(
        &mut self,
        policy: &ActivePolicy,
        prompt: &TokenBlocks,
        worker: &OfWorker,
        decision: &Decision,
    ) {
        let most = prompt.reusable_blocks();
        let holders = decision.holders.unwrap_or_default();
        served::decided(policy, most, holders.lost());
        let expected = decision.overlap.map(|tiers| tiers.iter().sum::<u32>());
        if let Some(expected) = expected {
            worker.expected.increment(u64::from(expected));
        }
        self.expected = expected.map(|blocks| blocks.min(most));
    }

    /// The client has its first token.
    pub fn first_token(&self, policy: &ActivePolicy) {
        served::first_token(policy, self.model_seconds());
    }

    /// The client has its whole answer. `found`: blocks that this worker found of the prompt; None: it
    /// does not say.
    pub fn answered(&self, policy: &ActivePolicy, worker: &OfWorker, found: Option<u32>) {
        if let Some(found) = found {
            worker.found.increment(u64::from(found));
            if let Some(expected) = self.expected {
                served::expectation(worker, expected, found);
            }
        }
        served::answered(policy, self.model_seconds());
    }

    fn model_seconds(&self) -> f64 {
        since(self.received).as_secs_f64() * self.speedup
    }
}
