//! The default cost of NVIDIA Dynamo's KV router, 1.6.1 (`dynamo-custom-policy-builtin`,
//! `src/default/scorer.rs`; its twin `dynamo-kv-router`, `src/scheduling/selector/reference.rs`). In
//! blocks:
//!
//! ```text
//! decay(w)  = 1 / (1 + overlap_decay x (P(w) - least P) / block / blocks of the request)
//! credit(w) = overlap x decay(w) x in HBM + host x in host memory + disk x in tiers behind it
//! cost(w)   = prefill x max(0, (P(w) + L) / block - credit(w)) + D(w) + request x active(w)
//! ```
//!
//! P(w): prompt tokens booked on w and not yet computed. A request is booked with its tokens less those
//! of its cached blocks, each weighed like its tier (1 in HBM, host, disk), rounded. L: the prompt. D(w):
//! the full blocks that requests under way hold on w, this one included, where shared blocks count
//! once. Blocks of the request: with a last one that is not full. The least cost wins; among equals, or
//! at a temperature above 0, chance.
//!
//! Checked against `scheduling/overlap.rs` (what is booked), `sequences/prompt_registry.rs` (D) and
//! `protocols.rs` (only full blocks have names). Simplified: an index look-up finds at most the blocks
//! that a request may reuse, so a prompt of whole blocks that is cached whole counts one block less.
//! Tiers behind host memory are all Dynamo's disk. Left out: shared caches, taints, the prefill time
//! model (off by default), the queue (`+hold(order=fcfs,batches=1,open=any)`).

use crate::event::WorkerInfo;
use crate::id::{MAX_TIERS, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::index::InOrder;
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{ActiveBlocks, InFlight, Least, Lots, unit};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// Dynamo's default: prefill work less credit for cached blocks, plus active blocks.
    pub struct Dynamo {
        /// Credit for a block cached in HBM (overlap_score_credit).
        overlap: f64 = 1.0, 0.0..=1_000.0, "";
        /// How fast the credit falls with queued prefill (overlap_score_credit_decay).
        overlap_decay: f64 = 0.0, 0.0..=1_000.0, "";
        /// Credit for a block in host memory (host_cache_hit_weight).
        host: f64 = 0.75, 0.0..=1_000.0, "";
        /// Credit for a block in a tier behind host memory (disk_cache_hit_weight).
        disk: f64 = 0.25, 0.0..=1_000.0, "";
        /// Weight of prefill work (prefill_load_scale).
        prefill: f64 = 1.0, 0.0..=1_000.0, "";
        /// Cost of each request under way (decode_active_request_weight).
        request: f64 = 0.0, 0.0..=1_000.0, "blocks";
        /// 0 takes the least cost; more spreads (router_temperature).
        temperature: f64 = 0.0, 0.0..=1_000.0, "";
    }
}

impl Policy for Dynamo {
    const NAME: &'static str = "dynamo";
    const RULE: &'static str =
        "Dynamo 1.6: least prefill work less credit for cached blocks, plus active blocks.";

    type Memory = Tracked;

    fn memory(&self) -> Tracked {
        Tracked::default()
    }

    fn observe(&self, tracked: &mut Tracked, _now: Instant, what: &Observed<'_>) {
        tracked.observe(self, what);
    }

    fn choose(&self, tracked: &Tracked, request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let shared = tracked.active.shared(&request.prompt);
        let blocks = u64::from(request.prompt.blocks());
        let least_queued = view.workers().map(|(id, _)| tracked.prefill_tokens(id)).min();
        let least_queued = least_queued.expect("a view is never empty");
        // Each walk over the workers begins anew.
        let begin = || (overlap.in_order(), shared.in_order());
        let cost = |id,
                    worker: WorkerState<'_>,
                    (held, booked): &mut (InOrder<'_>, InOrder<'_>)| {
            let hit = held.stored(id);
            let own = booked.entry(id).map_or(0, |entry| u64::from(entry.blocks()));
            let active_blocks = tracked.active.of(id) + blocks.saturating_sub(own);
            let queued = tracked.prefill_tokens(id);
            let prefill = self.prefill_blocks(request, worker.alike(), &hit, queued, least_queued);
            self.prefill * prefill
                + active_blocks as f64
                + self.request * f64::from(worker.active())
        };
        let mut least = Least::new();
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut found, lots) = (begin(), Lots::of(view, request));
        for (id, worker) in view.workers() {
            let cost = cost(id, worker, &mut found);
            (low, high) = (low.min(cost), high.max(cost));
            let parts = || {
                let hit = overlap.stored(id).iter().map(|&blocks| f64::from(blocks)).sum();
                [
                    ("hit blocks", hit),
                    ("active blocks", tracked.active.of(id) as f64),
                    ("queued tokens", tracked.prefill_tokens(id) as f64),
                    ("active requests", f64::from(worker.active())),
                ]
            };
            view.note_lowest(id, cost, parts);
            least.weigh(id, cost, lots.of_worker(id));
        }
        let mut worker = least.worker().expect("a view is never empty");
        if self.temperature > 0.0 && high > low {
            view.note_because("drawn at random, the lower the cost the likelier");
            let weights = || {
                let mut found = begin();
                view.workers().map(move |(id, worker)| {
                    let above = cost(id, worker, &mut found) - low;
                    (id, libm::exp(-above / ((high - low) * self.temperature)))
                })
            };
            let sum: f64 = weights().map(|(_, weight)| weight).sum();
            let mut left = unit(view, request, 0) * sum;
            for (id, weight) in weights() {
                worker = id;
                left -= weight;
                if left < 0.0 {
                    break;
                }
            }
        }
        Decision::new(worker, overlap.stored(worker)).into()
    }
}

impl Dynamo {
    /// Blocks to compute on a worker before this request's first token, less the credit.
    fn prefill_blocks(
        &self,
        request: &Request,
        info: &WorkerInfo,
        hit: &[u32; MAX_TIERS],
        queued: u64,
        least_queued: u64,
    ) -> f64 {
        let block = f64::from(info.block_size);
        let tokens = u64::from(request.prompt.tokens());
        let ahead = (queued - least_queued) as f64 / block;
        let blocks = request.prompt.tokens().div_ceil(info.block_size).max(1);
        let decay = 1.0 / (1.0 + self.overlap_decay * ahead / f64::from(blocks));
        let [hbm, host, behind @ ..] = hit.map(f64::from);
        let credit =
            self.overlap * decay * hbm + self.host * host + self.disk * behind.iter().sum::<f64>();
        ((queued + tokens) as f64 / block - credit).max(0.0)
    }

    /// The tokens that a request is booked with.
    fn uncached_tokens(&self, request: &Request, hit: &[u32; MAX_TIERS]) -> u64 {
        let [hbm, host, behind @ ..] = hit.map(f64::from);
        let blocks = hbm + self.host * host + self.disk * behind.iter().sum::<f64>();
        let cached = libm::round(blocks * f64::from(request.prompt.block_size()));
        u64::from(request.prompt.tokens()).saturating_sub(cached as u64)
    }
}

/// What Dynamo counts of the requests under way.
#[derive(Default, Debug)]
pub struct Tracked {
    active: ActiveBlocks,
    /// The tokens that a request is booked with; 0 from its first token on.
    booked: InFlight<u64>,
    prefill_tokens: PerWorker<u64>,
}

impl Tracked {
    fn observe(&mut self, rule: &Dynamo, what: &Observed<'_>) {
        self.active.observe(what);
        let Self { booked, prefill_tokens, .. } = self;
        let mut computed = |worker, tokens| {
            if let Some(queued) = prefill_tokens.get_mut(worker) {
                *queued -= tokens;
            }
        };
        match *what {
            Observed::Dispatched { request, decision } => {
                let hit = decision.overlap.unwrap_or_default();
                let tokens = rule.uncached_tokens(request, &hit);
                booked.begin(request.id, decision.worker, tokens);
                *prefill_tokens.of_mut(decision.worker) += tokens;
            }
            Observed::PrefillDone(id) | Observed::FirstToken(id) => {
                if let Some((worker, tokens)) = booked.get_mut(id) {
                    computed(*worker, core::mem::take(tokens));
                }
            }
            _ => booked.end(what, |_, worker, tokens| computed(worker, tokens)),
        }
    }

    /// Prompt tokens booked on a worker and not yet computed.
    fn prefill_tokens(&self, worker: WorkerId) -> u64 {
        self.prefill_tokens.get(worker).copied().unwrap_or(0)
    }
}
