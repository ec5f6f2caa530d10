//! The worker with the least expected time to the first token, in seconds:
//!
//! ```text
//! cost(w) = queue(w)            predicted prefill work booked on w and not yet done
//!         + prefill(w, L, hit)  computing the L - hit tokens that w does not hold
//!         + load(w, hit)        fetching the part of the hit that lies behind HBM
//! ```
//!
//! Where a pool or a peer holds more of the prompt than `w`, and fetching that takes less time than
//! computing it, `hit` is what that source holds, and `load` what the fetch takes.
//!
//! `hit` counts blocks that w holds and blocks that earlier requests will have computed there. Ties
//! go to the worker with fewer active requests, then by a hash of request and worker, so that a
//! cold fleet fills evenly.

use super::parameter::parameters;
use super::rule::Policy;
use crate::event::{FetchCost, PrefillCost, WorkerInfo};
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::candidate::{Candidate, Terms};
use crate::routing::decision::{Choice, Decision, Pull};
use crate::routing::index::Overlap;
use crate::routing::view::FleetView;
use crate::time::Duration;

parameters! {
    /// The worker with the least expected time to the first token.
    pub struct KvAware {}
}

impl Policy for KvAware {
    const NAME: &'static str = "kv-aware";
    const RULE: &'static str = "The worker with the least expected seconds to the first token.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        // Searched only if a worker can fetch.
        let mut sources: Option<Sources> = None;
        let tokens = request.prompt.tokens();
        let mut best: Option<Candidate> = None;
        for (id, worker) in view.workers() {
            let hit = overlap.of_worker(id);
            let info = &worker.info;
            let own =
                Way { load: load(info, &hit), prefill: prefill(info, tokens, &hit), pull: None };
            let fetches = info.pool.is_some() || info.peers.is_some();
            let way = if fetches {
                let sources = sources.get_or_insert_with(|| Sources::of(&overlap, view, tokens));
                sources.cheapest(own, id, info, &hit)
            } else {
                own
            };
            let candidate = Candidate {
                worker: id,
                active: worker.active(),
                overlap: Some(hit),
                pull: way.pull,
                terms: Some(Terms {
                    queue: worker.backlog(view.now()),
                    prefill: way.prefill,
                    load: way.load,
                }),
                lot: hash_words(&[view.seed(), request.id.0, u64::from(id.0)]),
            };
            view.note(&candidate);
            if best.is_none_or(|best| candidate.rank() < best.rank()) {
                best = Some(candidate);
            }
        }
        let Candidate { worker, overlap, pull, .. } = best.expect("a view is never empty");
        Decision { worker, overlap, pull, decode: None }.into()
    }
}

/// One way for a worker to get the blocks of a prompt: the time to fetch some, and to compute the rest.
#[derive(Clone, Copy)]
struct Way {
    load: Duration,
    prefill: Duration,
    pull: Option<Pull>,
}

/// The other sources that a worker could fetch from: the pool, and the two workers that hold the most
/// (one of them may be the worker itself).
struct Sources {
    tokens: u32,
    pool: Option<Source>,
    peers: [Option<Source>; 2],
}

/// The worker that would fetch, and the length of the prompt.
struct Asks<'a> {
    info: &'a WorkerInfo,
    tokens: u32,
}

struct Source {
    pull: Pull,
    /// The time to compute what it does not have. Most workers are alike, so it is computed once.
    rest: Option<(PrefillCost, u32, Duration)>,
}

impl Source {
    const fn new(pull: Pull) -> Self {
        Self { pull, rest: None }
    }

    /// The cheaper of two ways: `best`, or the worker's `own` blocks and a fetch from here of what lies
    /// beyond the `held` blocks.
    fn or(&mut self, best: Way, own: Way, held: u32, cost: FetchCost, asks: &Asks<'_>) -> Way {
        if self.pull.blocks <= held {
            return best;
        }
        let load = own.load.max(cost.estimate(self.pull.blocks - held));
        let prefill = self.prefill(asks);
        if load + prefill < best.load + best.prefill {
            Way { load, prefill, pull: Some(self.pull) }
        } else {
            best
        }
    }

    fn prefill(&mut self, &Asks { info, tokens }: &Asks<'_>) -> Duration {
        let cached = self.pull.blocks.saturating_mul(info.block_size).min(tokens);
        match self.rest {
            Some((cost, same, rest)) if (cost, same) == (info.prefill, cached) => rest,
            _ => {
                let rest = info.prefill.estimate(tokens - cached, cached);
                self.rest = Some((info.prefill, cached, rest));
                rest
            }
        }
    }
}

impl Sources {
    fn of(overlap: &Overlap, view: &FleetView<'_>, tokens: u32) -> Self {
        let (mut pool, mut peers): (Option<Pull>, [Option<Pull>; 2]) = (None, [None; 2]);
        let most = |held: Option<Pull>| held.map_or(0, |pull| pull.blocks);
        let serves_fetches = |id| view.worker(id).is_some_and(|worker| worker.info.peers.is_some());
        for entry in overlap.entries() {
            let pull = Pull { from: entry.source, blocks: entry.resident() };
            match entry.source {
                SourceId::Pool(_) if pull.blocks > most(pool) => pool = Some(pull),
                SourceId::Worker(id) if pull.blocks > most(peers[0]) && serves_fetches(id) => {
                    peers = [Some(pull), peers[0]];
                }
                SourceId::Worker(id) if pull.blocks > most(peers[1]) && serves_fetches(id) => {
                    peers[1] = Some(pull);
                }
                _ => {}
            }
        }
        let peers = peers.map(|peer| peer.map(Source::new));
        Self { tokens, pool: pool.map(Source::new), peers }
    }

    fn cheapest(
        &mut self,
        own: Way,
        worker: WorkerId,
        info: &WorkerInfo,
        hit: &[u32; MAX_TIERS],
    ) -> Way {
        let held: u32 = hit.iter().fold(0, |sum, &blocks| sum.saturating_add(blocks));
        let asks = Asks { info, tokens: self.tokens };
        let mut best = own;
        if let (Some(pool), Some(cost)) = (&mut self.pool, info.pool) {
            best = pool.or(best, own, held, cost, &asks);
        }
        if let Some(cost) = info.peers {
            let other = |peer: &&mut Source| peer.pull.from != worker.into();
            if let Some(peer) = self.peers.iter_mut().flatten().find(other) {
                best = peer.or(best, own, held, cost, &asks);
            }
        }
        best
    }
}

/// Computing what the worker does not hold.
fn prefill(info: &WorkerInfo, tokens: u32, hit: &[u32; MAX_TIERS]) -> Duration {
    let cached = info.covered(tokens, hit);
    info.prefill.estimate(tokens - cached, cached)
}

/// Loading what it holds behind HBM.
fn load(info: &WorkerInfo, hit: &[u32; MAX_TIERS]) -> Duration {
    let mut cost = Duration::ZERO;
    for tier in &info.tiers {
        let blocks = hit.get(tier.tier.0 as usize).copied().unwrap_or(0);
        if blocks > 0 {
            let ns = tier.latency_ns + f64::from(blocks) * tier.load_ns_per_block;
            cost += Duration::from_nanos_f64(ns);
        }
    }
    cost
}
