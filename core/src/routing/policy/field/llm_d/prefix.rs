//! How much of a prompt each worker holds, as llm-d counts it.
//!
//! The approximate index believes that a worker holds what was sent to it
//! (`dataproducer/approximateprefix`). Its blocks are the workers' blocks, but at least 64 tokens. It
//! looks at the first 131,072 tokens of a prompt (2,048 blocks of 64). A worker holds as many blocks of
//! the index as it has KV blocks in HBM, whatever the size of either (`autoTune`: with vLLM's blocks of
//! 16 tokens, it is believed to hold four times what it can); 31,250 where that is not known.
//!
//! Simplified: a last block that is not full counts to the length of a prompt, but is never found. The
//! end of a prompt is forgotten before its start; llm-d forgets the start first, and then finds nothing
//! of the prompt. A block size that is no divisor of the least size is rounded up to whole blocks.
//!
//! The precise index is made of events (`dataproducer/preciseprefixcache`, `pkg/kvcache/
//! kvblock_scorer.go`). A block counts with the weight of its tier, and the sum is cut to a whole number.
//! Only full blocks count.

use crate::event::WorkerInfo;
use crate::id::{MAX_TIERS, WorkerId};
use crate::request::Request;
use crate::routing::index::Overlap;
use crate::routing::observed::Observed;
use crate::routing::policy::parts::{Index, Predicted, Prediction};
use crate::routing::view::FleetView;
use crate::time::Instant;
use std::cell::Ref;

/// What a block in each tier counts.
#[derive(Clone, Copy, Debug)]
pub struct TierWeights {
    pub gpu: f64,
    pub cpu: f64,
    /// llm-d gives 1 to a medium that has no weight.
    pub other: f64,
}

impl TierWeights {
    /// `pkg/kvcache/backend.go`.
    pub const DEFAULT: Self = Self { gpu: 1.0, cpu: 0.8, other: 1.0 };
}

/// How a rule knows what workers hold.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes {
    pub index: Index,
    /// For the approximate index: the least size of a block.
    pub block_tokens: u32,
    /// For the approximate index: the tokens of a prompt that are looked at.
    pub max_tokens: u32,
    /// For the approximate index: blocks that a worker is believed to hold.
    pub capacity: u32,
    /// For the approximate index: the worker's KV blocks in place of the capacity.
    pub auto_tune: bool,
}

impl Prefixes {
    /// An approximate index without blocks.
    pub fn predicted(&self) -> Predicted {
        Predicted::new(Prediction {
            block_tokens: self.block_tokens,
            most_blocks: self.max_tokens / self.block_tokens.max(1),
            capacity: self.capacity,
            ttl: None,
        })
    }

    /// Lets the approximate index learn from what happened.
    pub fn observe(&self, predicted: &mut Predicted, now: Instant, what: &Observed<'_>) {
        if self.index == Index::Exact {
            return;
        }
        predicted.observe(now, what);
        if let Observed::Joined(info) = *what
            && self.auto_tune
            && let Some(blocks) = info.total_blocks
        {
            predicted.bound(info.worker, u32::try_from(blocks).unwrap_or(u32::MAX));
        }
    }

    /// What each worker holds of a request's prompt.
    pub fn matches<'a>(
        &self,
        predicted: &'a Predicted,
        request: &Request,
        view: &'a FleetView<'_>,
    ) -> Matches<'a> {
        if self.index == Index::Exact {
            return Matches::stored(TierWeights::DEFAULT, false, request, view);
        }
        let block = request.prompt.block_size();
        let size = self.block_tokens.div_ceil(block).max(1).saturating_mul(block);
        let most = self.max_tokens / size;
        let total = request.prompt.tokens().div_ceil(size).min(most);
        let overlap = predicted.overlap(Index::Predicted, request, view);
        Matches { overlap, by: By::Sent { step: size / block, most }, size, total }
    }
}

/// What each worker holds of a prompt.
pub struct Matches<'a> {
    overlap: Ref<'a, Overlap>,
    by: By,
    /// Tokens of a block.
    size: u32,
    /// Blocks of the prompt.
    total: u32,
}

enum By {
    /// What was sent, in blocks of `step` blocks of the prompt.
    Sent { step: u32, most: u32 },
    /// Events.
    Stored(TierWeights),
    /// Events, and the prompts on the way.
    Expected(TierWeights),
}

impl<'a> Matches<'a> {
    /// By events. `speculative`: prompts that were sent count before their events come.
    pub fn stored(
        weights: TierWeights,
        speculative: bool,
        request: &Request,
        view: &'a FleetView<'_>,
    ) -> Self {
        let (size, total) = (request.prompt.block_size(), request.prompt.blocks());
        let by = if speculative { By::Expected(weights) } else { By::Stored(weights) };
        Self { overlap: view.overlap(&request.prompt), by, size, total }
    }

    /// What a worker is believed to hold, in blocks of the prompt by tier.
    pub fn held(&self, worker: WorkerId) -> [u32; MAX_TIERS] {
        match self.by {
            By::Stored(_) => self.overlap.stored(worker),
            By::Sent { .. } | By::Expected(_) => self.overlap.of_worker(worker),
        }
    }

    /// Blocks that count as matched.
    pub fn matched(&self, worker: WorkerId) -> u32 {
        let held = self.held(worker);
        match self.by {
            By::Sent { step, most } => (held[0] / step).min(most),
            By::Stored(weights) | By::Expected(weights) => {
                let [gpu, cpu, other @ ..] = held.map(f64::from);
                let sum = weights.gpu * gpu
                    + weights.cpu * cpu
                    + weights.other * other.iter().sum::<f64>();
                // int() of Go cuts, too.
                sum as u32
            }
        }
    }

    /// The part of the prompt's blocks that count as matched.
    pub fn ratio(&self, worker: WorkerId) -> f64 {
        match self.total {
            0 => 0.0,
            total => f64::from(self.matched(worker)) / f64::from(total),
        }
    }

    /// Tokens of a block.
    pub const fn block_tokens(&self) -> u32 {
        self.size
    }

    /// Prompt tokens that a worker would compute.
    pub fn new_tokens(&self, request: &Request, info: &WorkerInfo) -> u64 {
        let tokens = request.prompt.tokens();
        u64::from(tokens - info.covered(tokens, &self.held(info.worker)))
    }
}
