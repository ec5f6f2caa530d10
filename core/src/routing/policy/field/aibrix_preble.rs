//! `prefix-cache-preble` of AIBrix (vllm-project/aibrix,
//! `pkg/plugins/gateway/algorithms/prefix_cache_preble.go` and `pkg/utils/prefixcacheindexer/tree.go` at
//! e3e10f9e), after Preble's E2:
//!
//! ```text
//! most - least requests > imbalance -> only the workers with the fewest requests count
//! match / L > threshold             -> of the workers with the longest match, the least load(w)
//! otherwise                         -> the least cost(w)
//!
//! load(w) = sum of count(n)                               over the nodes n of the window that w has
//! cost(w) = sum of miss(n) x count(n) x T(n) + out x tpot over the same nodes
//! ```
//!
//! A tree has the prompts that were sent and the workers that they were sent to; a node is forgotten
//! when nothing was sent through it for five minutes. The nodes of the window are those where the
//! prompts of the last three minutes end: count(n) of them. miss(n): the part of their tokens that is in
//! the node itself, not above it. T(n): the time to compute the node's tokens (`preble_times.rs`). out x
//! tpot: 45 tokens at .15 s, once a node. The match is that of the whole tree, also where it belongs to
//! workers that do not count. Where a long enough match has no worker that counts, the least load of all
//! that were ever sent a request wins, as at the root of the original's tree. Chance decides between
//! equal loads, the first worker wins between equal costs.
//!
//! As in the original, T(n) is not divided by the workers of the node: it divides by the number of
//! models. Simplified: nodes are cut at blocks of the prompt, not at tokens. The tokens of a prompt leave
//! the sums as they came; the original subtracts what its node has by then. The tree learns of a prompt
//! when it is sent.

use super::preble_times::{Gpu, prefill_seconds};
use super::text_tree::share;
use crate::block::{BlockRun, TokenBlocks};
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Least, lot};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::runs::{NodeId, RunTree};
use crate::time::{Duration, Instant};
use smallvec::SmallVec;
use std::collections::VecDeque;

parameters! {
    /// AIBrix's prefix-cache-preble: a long match, else the least work of the last minutes.
    pub struct AibrixPreble {
        /// The part of a prompt that must match more than this to follow the match.
        threshold: f64 = 0.5, 0.0..=1.0, "";
        /// Difference of requests above which only the idlest workers count
        /// (AIBRIX_PREFIX_CACHE_POD_RUNNING_REQUEST_IMBALANCE_ABS_COUNT).
        imbalance: u32 = 8, 0..=1_000_000, "requests";
        /// Time over which work is summed (AIBRIX_ROUTER_PREBLE_SLIDING_WINDOW_PERIOD).
        window_min: f64 = 3.0, 0.001..=100_000.0, "min";
        /// How long a prompt is remembered.
        ttl_min: f64 = 5.0, 0.001..=100_000.0, "min";
        /// Tokens of an answer (AIBRIX_ROUTER_PREBLE_DECODING_LENGTH).
        out: u32 = 45, 0..=1_000_000, "tokens";
        /// Seconds for each token of an answer.
        tpot_s: f64 = 0.15, 0.0..=1_000.0, "s";
        /// Whose prefill times count (AIBRIX_ROUTER_PREBLE_TARGET_GPU).
        gpu: Gpu = Gpu::V100, (), "";
        /// Where matches come from. Load and cost are always those of what was sent.
        index: Index = Index::Predicted, (), "";
    }
}

/// A stretch of the prompts that were sent.
#[derive(Clone, Default, Debug)]
struct Stretch {
    /// To which they were sent.
    workers: SmallVec<[WorkerId; 4]>,
    /// Prompts that end here and are remembered.
    remembered: u32,
    /// Prompts of the window that end here.
    count: u32,
    /// Their tokens, and those of them that are above this node.
    tokens: u64,
    above: u64,
}

/// A prompt that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    end: NodeId,
    tokens: u64,
    above: u64,
}

/// What the nodes of the window add up to for a worker.
#[derive(Clone, Copy, Default, Debug)]
struct Sums {
    load: u64,
    /// In nanoseconds: whole numbers, so that what is subtracted leaves nothing behind.
    cost: u64,
}

/// The tree, the prompts in it from the oldest on, and the sums of each worker.
#[derive(Default, Debug)]
pub struct Prompts {
    tree: RunTree<Stretch>,
    sent: VecDeque<Sent>,
    /// How many of `sent` have left the window.
    past: usize,
    sums: PerWorker<Sums>,
}

impl Policy for AibrixPreble {
    const NAME: &'static str = "aibrix-preble";
    const RULE: &'static str =
        "AIBrix prefix-cache-preble: a match over half the prompt, else the least recent work.";

    type Memory = Prompts;

    fn memory(&self) -> Prompts {
        Prompts::default()
    }

    fn observe(&self, prompts: &mut Prompts, now: Instant, what: &Observed<'_>) {
        prompts.expire(self, now);
        match *what {
            Observed::Dispatched { request, decision } => {
                prompts.add(self, now, decision.worker, &request.prompt);
            }
            Observed::Lost(SourceId::Worker(worker)) => prompts.forget(worker),
            Observed::Joined(info) => prompts.forget(info.worker),
            _ => {}
        }
    }

    fn choose(&self, prompts: &Prompts, request: &Request, view: &FleetView<'_>) -> Choice {
        let loads = || view.workers().map(|(_, worker)| worker.active());
        let most = loads().max().unwrap_or(0);
        let least = loads().min().unwrap_or(0);
        let is_imbalanced = most - least > self.imbalance;
        let counting = || {
            let counts = |active: u32| active == least || !is_imbalanced;
            view.workers().filter(move |(_, worker)| counts(worker.active())).map(|(id, _)| id)
        };
        let stored = |id| {
            let held: [u32; MAX_TIERS] = view.overlap(&request.prompt).stored(id);
            held.iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks))
        };
        let matched = |id| match self.index {
            Index::Exact => stored(id),
            Index::Predicted => prompts.matched(&request.prompt, id),
        };
        let longest = match self.index {
            Index::Exact => view.workers().map(|(id, _)| stored(id)).max().unwrap_or(0),
            Index::Predicted => prompts.longest(&request.prompt),
        };
        let sums = |id| prompts.sums.get(id).copied().unwrap_or_default();
        let mut followed = Least::new();
        if share(request, longest) > self.threshold {
            let best = counting().map(matched).max().unwrap_or(0);
            for id in counting().filter(|&id| matched(id) == best) {
                if best > 0 || prompts.sums.get(id).is_some() {
                    followed.weigh(id, sums(id).load, lot(view, request, id));
                }
            }
        }
        let cheapest = || counting().min_by_key(|&id| (sums(id).cost, id));
        for (id, worker) in view.workers() {
            let parts = || {
                [
                    ("matched blocks", f64::from(matched(id))),
                    ("load", sums(id).load as f64),
                    ("active requests", f64::from(worker.active())),
                ]
            };
            view.note_lowest(id, sums(id).cost as f64, parts);
        }
        view.note_because(match followed.worker() {
            Some(_) => "the match is long enough: the lowest load of those that hold the most",
            None => "the match is too short: the lowest cost",
        });
        let worker = followed.worker().or_else(cheapest).expect("a view is never empty");
        let mut overlap = [0; MAX_TIERS];
        overlap[0] = matched(worker);
        Decision::new(worker, overlap).into()
    }
}

impl Prompts {
    /// How many blocks of a prompt the tree has.
    fn longest(&self, prompt: &TokenBlocks) -> u32 {
        let mut depth = 0;
        while let Some((_, agreed)) = self.tree.follow(prompt.chain(), depth, prompt.blocks()) {
            depth = agreed;
        }
        depth
    }

    /// How many of them were sent to a worker.
    fn matched(&self, prompt: &TokenBlocks, worker: WorkerId) -> u32 {
        let mut depth = 0;
        while let Some((id, agreed)) = self.tree.follow(prompt.chain(), depth, prompt.blocks())
            && self.tree.get(id).value.workers.contains(&worker)
        {
            depth = agreed;
        }
        depth
    }

    fn add(&mut self, rule: &AibrixPreble, now: Instant, worker: WorkerId, prompt: &TokenBlocks) {
        self.sums.of_mut(worker);
        let (chain, end) = (prompt.chain(), prompt.blocks());
        let (mut depth, mut last) = (0, None);
        while depth < end {
            let (id, agreed) = match self.tree.follow(chain, depth, end) {
                Some((id, agreed)) if agreed < self.tree.get(id).end => {
                    // The lower part keeps what it counts, and has fewer tokens of its own from now on.
                    self.count(rule, id, Sign::Minus);
                    let upper = self.tree.split(id, agreed);
                    self.count(rule, id, Sign::Plus);
                    let value = &mut self.tree.get_mut(upper).value;
                    let workers = core::mem::take(&mut value.workers);
                    *value = Stretch { workers, ..Stretch::default() };
                    (upper, agreed)
                }
                Some(whole) => whole,
                None => {
                    let run = BlockRun { chain: chain.clone(), start: depth, end };
                    (self.tree.insert(last, run, Stretch::default()), end)
                }
            };
            self.count(rule, id, Sign::Minus);
            let workers = &mut self.tree.get_mut(id).value.workers;
            if !workers.contains(&worker) {
                workers.push(worker);
            }
            self.count(rule, id, Sign::Plus);
            (depth, last) = (agreed, Some(id));
        }
        // A prompt without a whole block is in no node.
        let Some(last) = last else { return };
        self.count(rule, last, Sign::Minus);
        let node = self.tree.get_mut(last);
        let block = u64::from(prompt.block_size());
        let (tokens, above) = (u64::from(node.end) * block, u64::from(node.start) * block);
        node.value.remembered += 1;
        node.value.count += 1;
        node.value.tokens += tokens;
        node.value.above += above;
        self.count(rule, last, Sign::Plus);
        self.sent.push_back(Sent { at: now, end: last, tokens, above });
    }

    /// Takes old prompts out of the sums, and older ones out of the tree.
    fn expire(&mut self, rule: &AibrixPreble, now: Instant) {
        let window = Duration::from_secs_f64(rule.window_min * 60.0);
        while let Some(&Sent { at, end, tokens, above }) = self.sent.get(self.past)
            && now.since(at) >= window
        {
            self.past += 1;
            self.count(rule, end, Sign::Minus);
            let value = &mut self.tree.get_mut(end).value;
            value.count -= 1;
            value.tokens -= tokens;
            value.above -= above;
            self.count(rule, end, Sign::Plus);
        }
        let ttl = Duration::from_secs_f64(rule.ttl_min.max(rule.window_min) * 60.0);
        while let Some(&Sent { at, end, .. }) = self.sent.front()
            && now.since(at) >= ttl
        {
            self.sent.pop_front();
            self.past -= 1;
            self.tree.get_mut(end).value.remembered -= 1;
            self.prune(end);
        }
    }

    /// Removes a node through which no remembered prompt goes, and those above it.
    fn prune(&mut self, id: NodeId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let node = self.tree.get(id);
            if node.children > 0 || node.value.remembered > 0 {
                return;
            }
            let start = node.start;
            next = self.tree.truncate(id, start);
        }
    }

    /// A worker that is gone, or begins anew, has no node.
    fn forget(&mut self, worker: WorkerId) {
        self.sums.remove(worker);
        let has = |workers: &[WorkerId]| workers.contains(&worker);
        let of_it = self.tree.iter().filter(|(_, node)| has(&node.value.workers));
        let ids: Vec<NodeId> = of_it.map(|(id, _)| id).collect();
        for id in ids {
            self.tree.get_mut(id).value.workers.retain(|other| *other != worker);
        }
    }

    /// Adds what a node counts to the sums of its workers, or takes it out.
    fn count(&mut self, rule: &AibrixPreble, id: NodeId, sign: Sign) {
        let node = self.tree.get(id);
        let Stretch { workers, count, tokens, above, .. } = &node.value;
        if *count == 0 {
            return;
        }
        let block = u64::from(node.chain.block_size());
        let (own, context) = (u64::from(node.len()) * block, u64::from(node.end) * block);
        let miss = 1.0 - *above as f64 / *tokens as f64;
        let prefill = miss * f64::from(*count) * prefill_seconds(rule.gpu, own, context);
        let seconds = prefill + f64::from(rule.out) * rule.tpot_s;
        let (load, cost) = (u64::from(*count), (seconds * 1e9) as u64);
        for worker in workers {
            let sums = self.sums.of_mut(*worker);
            match sign {
                Sign::Plus => {
                    sums.load += load;
                    sums.cost += cost;
                }
                Sign::Minus => {
                    sums.load -= load;
                    sums.cost -= cost;
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}
