//! `cache_aware` of SMG, the successor of SGLang's gateway (smg-project/smg,
//! `model_gateway/src/policies/cache_aware.rs` at f8daa883; defaults of `src/main.rs`). With
//! `index=predicted` matches come from its tree of texts, with `index=exact` from its event index:
//!
//! ```text
//! KV pressure   = highest usage > ceiling  or  highest - lowest usage > spread     -> idlest
//! tree          : match / L > threshold -> a worker with the longest match, score 1 each; else idlest
//! events        : score = blocks held; no worker holds a block                     -> idlest
//! decay         : score / (1 + decay x (waiting tokens - least) / block / blocks of the request)
//! the highest score, then the fewest requests, then chance
//! gate          : load > rel x mean  and  load > mean + abs                        -> idlest
//! ```
//!
//! Idlest: the fewest requests under way, then the fewest ever sent, then the first. The gate judges
//! only the chosen worker. A request that it turns away is added to the tree of the idlest, so a hot
//! prefix gets one more holder. At a temperature above 0, the score is drawn from a softmax over the
//! scores, scaled to their range.
//!
//! Simplified: the original bounds the tree of all workers together; here the bound is for each worker,
//! so divide it by the number of workers for the same size. It looks at eight workers with the longest
//! match at most. Its `cache_index=hash`, which has no default boundaries, is left out. Later versions
//! choose by the score of `smg-least-load` where this one takes the fewest requests.
//!
//! The defaults are those of the command line. Those of the library:
//! `smg-cache-aware(threshold=0.5,abs=32,rel=1.1,tree=10000)`.

use super::kv_usage::kv_usage;
use super::text_tree::{Belief, TextTree, share};
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Least, lot, unit};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

parameters! {
    /// SMG's cache_aware: the best match among workers that are not too busy, else the idlest.
    pub struct SmgCacheAware {
        /// The part of a prompt that must match more than this to follow the tree
        /// (--cache-threshold).
        threshold: f64 = 0.3, 0.0..=1.0, "";
        /// Requests above the mean that turn a request away (--balance-abs-threshold).
        abs: u32 = 64, 0..=1_000_000, "requests";
        /// Multiple of the mean that turns a request away, if abs does too
        /// (--balance-rel-threshold).
        rel: f64 = 1.5, 0.0..=1_000.0, "x mean";
        /// Size of a worker's tree (--max-tree-size).
        tree: u32 = 67_108_864, 1..=4_294_967_295, "characters";
        /// Difference of KV usage above which matches are ignored (--balance-token-usage-threshold).
        spread: f64 = 1.0, 0.0..=1.0, "";
        /// KV usage of a worker above which matches are ignored (--overload-token-usage-threshold).
        ceiling: f64 = 1.0, 0.0..=1.0, "";
        /// How fast a score falls with waiting prefill (--overlap-decay).
        decay: f64 = 0.0, 0.0..=1_000.0, "";
        /// 0 takes the highest score; more spreads (--selection-temperature).
        temperature: f64 = 0.0, 0.0..=1_000.0, "";
        /// How often the load of workers is read (load_monitor_interval_secs).
        poll_s: f64 = 10.0, 0.001..=3_600.0, "s";
        /// The tree of what was sent, or the index of the workers' events.
        index: Index = Index::Predicted, (), "";
    }
}

/// The tree, and the requests that were ever sent to each worker.
#[derive(Debug)]
pub struct Sent {
    tree: TextTree,
    requests: PerWorker<u64>,
}

impl Policy for SmgCacheAware {
    const NAME: &'static str = "smg-cache-aware";
    const RULE: &'static str =
        "SMG cache_aware: the best match, unless that worker is far above the mean load.";

    type Memory = Sent;

    fn memory(&self) -> Sent {
        Sent { tree: TextTree::new(self.tree), requests: PerWorker::default() }
    }

    fn poll(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.poll_s))
    }

    fn observe(&self, sent: &mut Sent, now: Instant, what: &Observed<'_>) {
        sent.tree.observe(now, what);
        match *what {
            Observed::Dispatched { decision, .. } => {
                *sent.requests.of_mut(decision.worker) += 1;
            }
            Observed::Joined(info) => {
                sent.requests.insert(info.worker, 0);
            }
            _ => {}
        }
    }

    fn choose(&self, sent: &Sent, request: &Request, view: &FleetView<'_>) -> Choice {
        let belief = sent.tree.belief(self.index, request, view);
        let (mut sum, mut idlest) = (0, Least::new());
        for (id, worker) in view.workers() {
            sum += u64::from(worker.active());
            let ever = sent.requests.get(id).copied().unwrap_or(0);
            let active = f64::from(worker.active());
            let parts = || {
                let matched = f64::from(belief.blocks(id));
                [("matched blocks", matched), ("active requests", active), ("ever", ever as f64)]
            };
            view.note_lowest(id, active, parts);
            idlest.weigh(id, (worker.active(), ever), 0);
        }
        let idlest = idlest.worker().expect("a view is never empty");
        let mean = sum as f64 / view.workers().len() as f64;
        let matched =
            if self.is_under_pressure(view) { None } else { self.matched(&belief, request, view) };
        let too_busy = |id| {
            let load = view.worker(id).map_or(0.0, |worker| f64::from(worker.active()));
            load > mean * self.rel && load > mean + f64::from(self.abs)
        };
        let matched = matched.filter(|&id| !too_busy(id));
        view.note_because(match matched {
            Some(_) => "its match is long enough, and it is not too busy",
            None => "no match of a worker that is not too busy: the fewest active requests",
        });
        let worker = matched.unwrap_or(idlest);
        Decision::new(worker, belief.by_tier(worker)).into()
    }
}

impl SmgCacheAware {
    /// By the reports of those workers that sent one.
    fn is_under_pressure(&self, view: &FleetView<'_>) -> bool {
        if self.spread >= 1.0 && self.ceiling >= 1.0 {
            return false;
        }
        let usage = |(id, _)| kv_usage(view, id);
        let usages = || view.workers().filter_map(usage);
        let highest = usages().fold(f64::NEG_INFINITY, f64::max);
        let lowest = usages().fold(f64::INFINITY, f64::min);
        highest > self.ceiling || highest - lowest > self.spread
    }

    /// The worker to which the match leads; None: no match is good enough.
    fn matched(
        &self,
        belief: &Belief<'_>,
        request: &Request,
        view: &FleetView<'_>,
    ) -> Option<WorkerId> {
        let longest = view.workers().map(|(id, _)| belief.blocks(id)).max().unwrap_or(0);
        // All workers with the longest match of the tree are equal; the event index compares blocks.
        let least = match self.index {
            Index::Predicted if share(request, longest) > self.threshold => longest.max(1),
            Index::Predicted => return None,
            Index::Exact => 1,
        };
        let candidates = || {
            let held = |(id, worker)| (id, worker, belief.blocks(id));
            view.workers().map(held).filter(move |&(_, _, blocks)| blocks >= least)
        };
        let waiting = |id| view.load(id).map(|(load, _)| load.queued_prefill_tokens);
        let least_waiting = candidates().filter_map(|(id, ..)| waiting(id)).min().unwrap_or(0);
        let score = |id, blocks: u32| {
            let raw = match self.index {
                Index::Predicted => 1.0,
                Index::Exact => f64::from(blocks),
            };
            let excess = waiting(id).map_or(0, |tokens| tokens.saturating_sub(least_waiting));
            let block = f64::from(request.prompt.block_size().max(1));
            let own = f64::from(request.prompt.blocks().max(1));
            raw / (1.0 + self.decay * (excess as f64 / block) / own)
        };
        let mut best = Least::new();
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (id, worker, blocks) in candidates() {
            let score = score(id, blocks);
            (low, high) = (low.min(score), high.max(score));
            let order = if self.temperature > 0.0 { (0.0, 0) } else { (-score, worker.active()) };
            best.weigh(id, order, lot(view, request, id));
        }
        if self.temperature <= 0.0 || high <= low {
            return best.worker();
        }
        let weight = |id, blocks| {
            libm::exp(((score(id, blocks) - low) / (high - low) - 1.0) / self.temperature)
        };
        let sum: f64 = candidates().map(|(id, _, blocks)| weight(id, blocks)).sum();
        let mut left = unit(view, request, 0) * sum;
        let mut drawn = None;
        for (id, _, blocks) in candidates() {
            drawn = Some(id);
            left -= weight(id, blocks);
            if left <= 0.0 {
                break;
            }
        }
        drawn
    }
}
