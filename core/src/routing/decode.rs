//! Where a prompt is answered that a worker of role prefill computes. This stands beside the policies:
//! whichever rule chose the worker that computes, the one that answers is the worker of role decode
//! with the least expected seconds:
//!
//! ```text
//! cost(d) = handover(d, L - held)         pulling the KV that d does not hold
//!         + 128 x step(n + 1, context + L)  decoding, beside the n requests that are booked on d
//! ```
//!
//! A router does not know how long an answer will be, so it reckons with 128 tokens, and with prompts
//! alone as context. A worker whose sequences or blocks are all booked comes after all that have room.
//! Ties go to fewer requests, then by a hash of request and worker.

use crate::event::{Role, WorkerInfo};
use crate::id::WorkerId;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Decision, RejectReason};
use crate::routing::fleet::{Fleet, WorkerState};
use crate::routing::view::FleetView;
use crate::time::Duration;

/// What an answer is taken to have.
const ANSWER_TOKENS: f64 = 128.0;

/// Who may be chosen for a request: for its prompt, and for its answer where the prompt's worker does
/// not give it.
#[derive(Debug, Default)]
pub(super) struct Eligible {
    pub prefill: Vec<WorkerId>,
    pub decode: Vec<WorkerId>,
}

impl Eligible {
    /// Who takes requests and has room for this one. An error says why that is nobody.
    pub fn find(&mut self, fleet: &Fleet, request: &Request) -> Result<(), RejectReason> {
        // One token more than the prompt: the first of the answer.
        let needed = (u64::from(request.prompt.tokens()) + 1)
            .div_ceil(u64::from(request.prompt.block_size()));
        self.prefill.clear();
        self.decode.clear();
        let mut only_compute = false;
        for (id, worker) in fleet.workers() {
            let room = worker.info.total_blocks.unwrap_or(u64::MAX);
            if !worker.takes_requests() || room < needed {
                continue;
            }
            let role = worker.info.role;
            only_compute |= role == Role::Prefill;
            let list = if role == Role::Decode { &mut self.decode } else { &mut self.prefill };
            list.push(id);
        }
        if only_compute && self.decode.is_empty() {
            let alone = |id: &WorkerId| fleet.worker(*id).is_some_and(|w| w.info.role.is_both());
            self.prefill.retain(alone);
        }
        if self.prefill.is_empty() { Err(why_nobody(fleet, needed)) } else { Ok(()) }
    }
}

fn why_nobody(fleet: &Fleet, needed: u64) -> RejectReason {
    let (mut joined, mut draining) = (0, 0);
    let (mut computes, mut answers) = (Duty::default(), Duty::default());
    for (_, worker) in fleet.workers() {
        let role = worker.info.role;
        let room = worker.info.total_blocks.unwrap_or(u64::MAX);
        let takes = worker.takes_requests();
        joined += 1;
        draining += u32::from(!takes);
        if role != Role::Decode {
            computes.add(room, takes);
        }
        if role != Role::Prefill {
            answers.add(room, takes);
        }
    }
    let largest = computes.largest.min(answers.largest);
    if joined == draining {
        RejectReason::NoEligibleWorker { joined, draining }
    } else if !computes.takes {
        RejectReason::NoPrefillWorker { joined, draining }
    } else if !answers.takes {
        RejectReason::NoDecodeWorker { joined, draining }
    } else if largest >= needed {
        RejectReason::NoEligibleWorker { joined, draining }
    } else {
        RejectReason::PromptTooLarge { needed, largest }
    }
}

/// Those who do one half of a request.
#[derive(Clone, Copy, Default)]
struct Duty {
    /// In blocks.
    largest: u64,
    /// Whether any of them takes requests.
    takes: bool,
}

impl Duty {
    fn add(&mut self, room: u64, takes: bool) {
        self.largest = self.largest.max(room);
        self.takes |= takes;
    }
}

/// Names who answers, where the worker that computes the prompt does not.
pub(super) fn complete(
    decision: &mut Decision,
    request: &Request,
    view: &FleetView<'_>,
    decoders: &[WorkerId],
) {
    let state = |id: WorkerId| view.fleet.worker(id).expect("an eligible worker is in the fleet");
    if state(decision.worker).info.role != Role::Prefill {
        return;
    }
    let overlap = view.overlap(&request.prompt);
    let rank = |&id: &WorkerId| {
        let worker = state(id);
        let held = worker.info.covered(request.prompt.tokens(), &overlap.of_worker(id));
        let lot = hash_words(&[view.seed(), request.id.0, u64::from(id.0)]);
        (is_full(worker, request), cost(worker, request, held), worker.active(), lot)
    };
    decision.decode = decoders.iter().copied().min_by_key(rank);
}

fn cost(worker: &WorkerState, request: &Request, held: u32) -> Duration {
    let Some(cost) = &worker.info.decode else { return Duration::ZERO };
    let tokens = request.prompt.tokens();
    let context = worker.answering().tokens + u64::from(tokens);
    let step = cost.step(worker.answering().requests + 1, context);
    let decoding = Duration::from_nanos_f64(step.as_nanos() as f64 * ANSWER_TOKENS);
    cost.handover(tokens.saturating_sub(held)) + decoding
}

/// Whether a request would have to wait there.
fn is_full(worker: &WorkerState, request: &Request) -> bool {
    let WorkerInfo { max_num_seqs, total_blocks, block_size, .. } = worker.info;
    let tokens = worker.answering().tokens + u64::from(request.prompt.tokens());
    worker.answering().requests >= max_num_seqs
        || total_blocks.is_some_and(|blocks| tokens > blocks * u64::from(block_size))
}
