//! Mooncake's cache-aware and cache-balancing scheduling (Qin et al., FAST'25, algorithm 1). For a worker
//! w, `own` are the prompt's blocks that it holds, and `best` those of the worker that holds the most:
//!
//! ```text
//! best > threshold x own:  prefix = best, transfer = time to fetch best - own blocks
//! else:                    prefix = own,  transfer = 0
//! TTFT(w) = transfer + queue(w) + prefill(w, L, prefix)
//! ```
//!
//! The least TTFT wins. What is fetched stays where it goes, so a prefix that many need spreads. Where a
//! worker cannot fetch from peers, or no other that serves fetches holds more, its `transfer` is 0 and
//! its prefix its own: the algorithm without its transfers.
//!
//! queue(w) is the predicted prefill time booked on w and not yet done. The algorithm chooses among
//! prefill workers; decoding workers are chosen beside it. It is published as pseudo-code; the scheduler
//! itself is not in the Mooncake repository, whose Conductor only indexes. The threshold has no published
//! value: it is set by hand. 1 takes the transfer wherever a peer holds more.
//!
//! Simplified: the sender's load does not slow a transfer. All of Mooncake's cache is in host memory and
//! its loading overlaps with computing, so a block counts alike in each tier, and loading it counts
//! nothing. The pseudo-code keeps the first of equals, which would fill an idle fleet from its first
//! worker on; here the one with the fewest requests wins, then chance. Rejecting what is over its SLO is
//! `+hold(slo_s=..)`.

use crate::event::WorkerInfo;
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::candidate::{Candidate, Terms};
use crate::routing::decision::{Choice, Pull};
use crate::routing::index::Overlap;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Cheapest, Lots};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Duration;

parameters! {
    /// Mooncake's algorithm 1: the least time to the first token, by the own prefix or a peer's.
    pub struct Mooncake {
        /// A worker fetches where the best one holds more than this multiple of its own blocks
        /// (kvcache_balancing_threshold).
        threshold: f64 = 1.0, 0.0..=1_000.0, "x";
    }
}

impl Policy for Mooncake {
    const NAME: &'static str = "mooncake";
    const RULE: &'static str =
        "Mooncake: least transfer, queue and prefill time; a prefix comes from the best peer.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let holders = holders(&overlap, view);
        let tokens = request.prompt.tokens();
        let (mut found, lots) = (overlap.in_order(), Lots::of(view, request));
        let mut best = Cheapest::default();
        for (id, worker) in view.workers() {
            let held = found.stored(id);
            let own = blocks(&held);
            let pull = self.pull(id, worker.alike(), own, &holders);
            let load = match (pull, worker.alike().peers) {
                (Some(pull), Some(cost)) => cost.estimate(pull.blocks - own),
                _ => Duration::ZERO,
            };
            let prefix = pull.map_or(own, |pull| pull.blocks);
            let cached = prefix.saturating_mul(worker.alike().block_size).min(tokens);
            let queue = worker.backlog(view.now());
            let prefill = worker.alike().prefill.estimate(tokens - cached, cached);
            let terms = Terms { queue, prefill, load, ..Terms::default() };
            let (active, lot) = (worker.active(), || lots.of_worker(id));
            best.weigh(view, (terms.total(), active), lot, |lot| Candidate {
                worker: id,
                active,
                overlap: Some(held),
                pull,
                terms: Some(terms),
                lot,
            });
        }
        best.decision().into()
    }
}

impl Mooncake {
    /// What a worker that holds `own` blocks would fetch.
    fn pull(
        &self,
        worker: WorkerId,
        info: &WorkerInfo,
        own: u32,
        holders: &[Option<Pull>; 2],
    ) -> Option<Pull> {
        info.peers?;
        let best = holders.iter().flatten().find(|pull| pull.from != worker.into())?;
        let pays = f64::from(best.blocks) > self.threshold * f64::from(own);
        (pays && best.blocks > own).then_some(*best)
    }
}

/// The two workers that hold the most and serve fetches: the one that asks may be one of them.
fn holders(overlap: &Overlap, view: &FleetView<'_>) -> [Option<Pull>; 2] {
    let mut holders: [Option<Pull>; 2] = [None; 2];
    for entry in overlap.entries() {
        let SourceId::Worker(id) = entry.source else { continue };
        if view.worker(id).is_none_or(|worker| worker.alike().peers.is_none()) {
            continue;
        }
        let pull = Pull { from: entry.source, blocks: blocks(&overlap.stored(id)) };
        let most = |held: Option<Pull>| held.map_or(0, |held| held.blocks);
        if pull.blocks > most(holders[0]) {
            holders = [Some(pull), holders[0]];
        } else if pull.blocks > most(holders[1]) {
            holders[1] = Some(pull);
        }
    }
    holders
}

fn blocks(held: &[u32; MAX_TIERS]) -> u32 {
    held.iter().fold(0, |sum, &blocks| sum.saturating_add(blocks))
}
