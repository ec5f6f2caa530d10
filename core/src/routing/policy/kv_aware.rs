//! The worker with the least expected time to the first token, in seconds:
//!
//! ```text
//! cost(w) = queue(w)            predicted prefill work booked on w and not yet done
//!         + prefill(w, L, hit)  computing the L - hit tokens that w does not hold
//!         + load(w, hit)        fetching the part of the hit that lies behind HBM
//! ```
//!
//! `hit` counts blocks that w holds and blocks that requests before this one will have computed
//! there. Ties go to the worker with fewer active requests, then by a hash of request and worker, so
//! that a cold fleet fills evenly.

use super::Policy;
use crate::event::WorkerInfo;
use crate::id::MAX_TIERS;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::explain::{Candidate, Terms};
use crate::routing::input::Decision;
use crate::routing::view::FleetView;
use crate::time::Duration;

#[derive(Clone, Copy, Default, Debug)]
pub struct KvAware;

impl Policy for KvAware {
    type Memory = ();

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Decision {
        let overlap = view.overlap(&request.prompt);
        let best = view.workers().min_by_key(|(id, worker)| {
            let hit = overlap.of_worker(*id);
            let candidate = Candidate {
                worker: *id,
                active: worker.active(),
                overlap: Some(hit),
                terms: Some(Terms {
                    queue: worker.backlog(view.now()),
                    prefill: prefill(&worker.info, request.prompt.tokens(), &hit),
                    load: load(&worker.info, &hit),
                }),
                lot: hash_words(&[view.seed(), request.id.0, u64::from(id.0)]),
            };
            view.note(&candidate);
            candidate.rank()
        });
        let (worker, _) = best.expect("a view is never empty");
        Decision { worker, overlap: Some(overlap.of_worker(worker)) }
    }
}

/// Computing what the worker does not hold.
fn prefill(info: &WorkerInfo, tokens: u32, hit: &[u32; MAX_TIERS]) -> Duration {
    let cached = info.covered(tokens, hit);
    info.prefill.estimate(tokens - cached, cached)
}

/// Fetching what it holds behind HBM.
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
