//! DualMap (ICLR 2026, arXiv 2602.06502; `dualmap/scheduler/utils/double_hash_global_scheduler_utils.py`
//! at commit 65f237bf, balance type `dualmap`): two hash functions give each session two workers, which
//! keeps it together and still leaves a choice.
//!
//! ```text
//! ttft(w) = s_per_token x (queued(w) + L - hit(w))
//! choice  = the candidate with more hit, unless its ttft is above bound_s: then the least ttft
//! ```
//!
//! Among equals: fewer tokens under way, then the candidate of the first ring (its random choice is
//! seeded anew each time, so it always falls like this). If both rings name one worker, the second
//! candidate is the next worker. The bound is half of the TTFT SLO; time a token is of its own NPU.
//!
//! The key is the first two blocks of 512 tokens, by which its experiments tell sessions apart
//! (`dualmap/request_generator/request_generator.py`). A prompt without a full block is spread by its
//! request's id.
//!
//! **With its queue** it is written `dualmap+hold(backlog_s=0,order=hit)`: DualMap sends a worker one
//! prompt at a time and keeps the others in the router, most cached tokens first. Two differences: its
//! queue puts first what it predicts to be slower than 99 of 100 recent requests, which late binding
//! cannot; and it moves queued requests between their two workers past a threshold, where late binding
//! asks the rule again each time. Without `+hold` this rule is its choice alone.
//!
//! Simplified: reused tokens cost nothing (TPRT, by default 0 there too); tokens under way are those of
//! prompts, where it counts blocks of prompts and answers that are decoded; a prompt counts as held once
//! it is sent, there once it is computed. Its index has blocks of 128 tokens, and 64 GiB for each
//! worker, at 57,344 bytes a token.

use crate::id::{SourceId, WorkerId};
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Index, Predicted, Prediction, Ring, new_tokens, start_key};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// DualMap: of a session's two workers the one that holds more, unless it is too slow.
    pub struct DualMap {
        /// A worker that would need longer to the first token is too slow (TTFT_SLO / 2).
        bound_s: f64 = 2.5, 0.0..=3_600.0, "s";
        /// Time to compute a token of a prompt (PREFILL_TPOT).
        s_per_token: f64 = 0.000_127, 0.0..=10.0, "s";
        /// Tokens at the start of a prompt that tell sessions apart.
        key_tokens: u32 = 1_024, 1..=1_000_000_000, "tokens";
        /// Where it has it from what workers hold.
        index: Index = Index::Predicted, (), "";
    }
}

const PREDICTION: Prediction = Prediction {
    block_tokens: 128,
    most_blocks: u32::MAX,
    capacity: ((64u64 << 30) / (57_344 * 128)) as u32,
    ttl: None,
};

/// Places of a worker on each ring.
const REPLICAS: u32 = 160;

/// The two rings, and what was sent to each worker.
#[derive(Debug)]
pub struct Memory {
    rings: [Ring; 2],
    predicted: Predicted,
}

impl Policy for DualMap {
    const NAME: &'static str = "dualmap";
    const RULE: &'static str =
        "DualMap: of a session's two workers the one that holds more, unless it is too slow.";

    type Memory = Memory;

    fn memory(&self) -> Memory {
        Memory { rings: Default::default(), predicted: Predicted::new(PREDICTION) }
    }

    fn observe(&self, memory: &mut Memory, now: Instant, what: &Observed<'_>) {
        if self.index == Index::Predicted {
            memory.predicted.observe(now, what);
        }
        for (name, ring) in (1..).zip(&mut memory.rings) {
            match *what {
                Observed::Joined(info) => ring.add(info.worker, REPLICAS, name),
                Observed::Lost(SourceId::Worker(worker)) => ring.remove(worker),
                _ => {}
            }
        }
    }

    fn choose(&self, memory: &Memory, request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = memory.predicted.overlap(self.index, request, view);
        let candidates = self.candidates(memory, request, view).map(|id| {
            let worker = view.worker(id).expect("a candidate is in the fleet");
            let new = new_tokens(&overlap.stored(id), request, worker);
            let ttft = (worker.queued_tokens() + u64::from(new)) as f64 * self.s_per_token;
            Candidate { id, new, ttft, under_way: worker.booked_tokens() }
        });
        let [one, two] = &candidates;
        for candidate in &candidates {
            let parts = || {
                [
                    ("new tokens", f64::from(candidate.new)),
                    ("tokens under way", candidate.under_way as f64),
                ]
            };
            view.note_lowest(candidate.id, candidate.ttft, parts);
        }
        let most_hit = one.or(two, one.new.cmp(&two.new));
        let chosen = if most_hit.ttft > self.bound_s {
            one.or(two, one.ttft.total_cmp(&two.ttft))
        } else {
            most_hit
        };
        view.note_because(match most_hit.ttft > self.bound_s {
            true => {
                "of two hashed workers, the shorter estimated TTFT: the other is over the bound"
            }
            false => "of two hashed workers, the one with fewer new tokens",
        });
        let worker = chosen.id;
        Decision::new(worker, overlap.stored(worker)).into()
    }
}

/// One of a session's two workers.
struct Candidate {
    id: WorkerId,
    new: u32,
    ttft: f64,
    under_way: u64,
}

impl Candidate {
    /// The better of two, `order` being that of their costs; between equals, that with less under way.
    fn or<'a>(&'a self, other: &'a Self, order: core::cmp::Ordering) -> &'a Self {
        if order.then(self.under_way.cmp(&other.under_way)).is_le() { self } else { other }
    }
}

impl DualMap {
    /// A session's two workers; twice the same only where there is no other.
    fn candidates(
        &self,
        memory: &Memory,
        request: &Request,
        view: &FleetView<'_>,
    ) -> [WorkerId; 2] {
        let blocks = self.key_tokens.div_ceil(request.prompt.block_size().max(1));
        let key = start_key(request, blocks).unwrap_or(hash_words(&[request.id.0]));
        let [one, mut two] = [0, 1].map(|i| {
            let place = memory.rings[i].walk(key).find(|&id| view.may_serve(id));
            place.expect("each worker is on the ring")
        });
        if one == two {
            let next = view.workers().map(|(id, _)| id).find(|&id| id > one);
            two = next.or(view.workers().next().map(|(id, _)| id)).unwrap_or(one);
        }
        [one, two]
    }
}
