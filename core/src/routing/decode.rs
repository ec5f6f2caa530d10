//! The decode worker of a request, where its prompt goes to a prefill worker. This stands beside the
//! policies: whichever rule chose the prefill worker, the decode worker is the one with the least
//! expected seconds:
//!
//! ```text
//! cost(d) = transfer(d, L - held)         pulling the KV that d does not hold
//!         + 128 x step(n + 1, context + L)  decoding, beside the n requests that are booked on d
//! ```
//!
//! A rule does not know how long an answer will be, so it assumes 128 tokens, and prompts alone as
//! context. Only [`Eligible`] reads the longest answer that the client asked for. A worker whose sequences or blocks are all booked comes after all that have room.
//! Ties go to fewer requests, then by a hash of request and worker.

use crate::event::{Role, WorkerInfo};
use crate::id::WorkerId;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Decision, RejectReason};
use crate::routing::fleet::{Fleet, WorkerState};
use crate::routing::retry::GiveUp;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

/// The assumed length of an answer.
const ANSWER_TOKENS: f64 = 128.0;

/// The workers that may serve a request: compute its prompt, and decode it where the prompt goes to a
/// prefill worker.
#[derive(Debug, Default)]
pub(super) struct Eligible {
    pub prefill: Vec<WorkerId>,
    pub decode: Vec<WorkerId>,
    /// Which other requests the lists hold for. None: they leave out workers for this one.
    holds: Option<Holds>,
}

/// The lists are the same for each request that fits into all workers, while these are the same.
#[derive(Clone, Copy, Debug)]
struct Holds {
    /// [`Table::changes`](super::table::Table::changes) when they were made.
    changes: u64,
    /// The least room of a worker of each role, in tokens.
    room: Needs,
}

impl Eligible {
    /// Finds the workers that take requests and have room for this one: for its prompt where a worker
    /// only computes prompts, else also for the longest answer that the client asked for. An error
    /// says why there is none.
    ///
    /// Workers that are out of rotation are left out, unless none would be left. Those in `tried` have
    /// failed this request and are left out in any case.
    pub fn find(
        &mut self,
        fleet: &Fleet,
        request: &Request,
        now: Instant,
        tried: &[WorkerId],
    ) -> Result<(), RejectReason> {
        let (needs, rotation) = (Needs::of(request), fleet.rotation());
        let leaves_out = !tried.is_empty() || rotation.out() > 0;
        if !leaves_out && self.holds(fleet, needs) {
            return Ok(());
        }
        self.fill(fleet, needs, |id| !tried.contains(&id) && rotation.takes(now, id));
        if self.prefill.is_empty() && rotation.out() > 0 {
            self.fill(fleet, needs, |id| !tried.contains(&id));
        }
        if leaves_out || self.prefill.is_empty() {
            self.holds = None;
        }
        match (self.prefill.is_empty(), tried.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => Err(why_none(fleet, needs)),
            (true, false) => {
                let (tries, why) = (tried.len() as u32, GiveUp::NoOtherWorker);
                Err(RejectReason::GaveUp { tries, why })
            }
        }
    }

    /// Whether the lists are those of a request with these needs.
    fn holds(&self, fleet: &Fleet, needs: Needs) -> bool {
        self.holds.is_some_and(|Holds { changes, room }| {
            let fits = needs.prompt <= room.prompt && needs.whole <= room.whole;
            fits && changes == fleet.table().changes()
        })
    }

    fn fill(&mut self, fleet: &Fleet, needs: Needs, may: impl Fn(WorkerId) -> bool) {
        self.prefill.clear();
        self.decode.clear();
        let mut has_prefill_workers = false;
        let mut room = Needs { prompt: u64::MAX, whole: u64::MAX };
        for (id, worker) in fleet.workers().filter(|(_, worker)| worker.takes_requests()) {
            let (role, most) = (worker.role(), worker.alike().largest_request());
            let most = most.unwrap_or(u64::MAX);
            let least = if role == Role::Prefill { &mut room.prompt } else { &mut room.whole };
            *least = most.min(*least);
            if needs.tokens(role) > most || !may(id) {
                continue;
            }
            has_prefill_workers |= role == Role::Prefill;
            let list = if role == Role::Decode { &mut self.decode } else { &mut self.prefill };
            list.push(id);
        }
        if has_prefill_workers && self.decode.is_empty() {
            let alone = |id: &WorkerId| fleet.worker(*id).is_some_and(|w| w.role().is_both());
            self.prefill.retain(alone);
        }
        let changes = fleet.table().changes();
        let fits = needs.prompt <= room.prompt && needs.whole <= room.whole;
        self.holds = fits.then_some(Holds { changes, room });
    }
}

/// The tokens of a request that need room.
#[derive(Clone, Copy, Debug)]
struct Needs {
    /// The prompt, and the first token of the answer.
    prompt: u64,
    /// The prompt, and the most answer tokens. Of a request that does not say, the first one.
    whole: u64,
}

impl Needs {
    fn of(request: &Request) -> Self {
        let prompt = u64::from(request.prompt.tokens());
        let answer = u64::from(request.max_new_tokens.unwrap_or(1).max(1));
        Self { prompt: prompt + 1, whole: prompt + answer }
    }

    /// On a worker of this role.
    fn tokens(self, role: Role) -> u64 {
        if role == Role::Prefill { self.prompt } else { self.whole }
    }
}

fn why_none(fleet: &Fleet, needs: Needs) -> RejectReason {
    let (mut joined, mut draining) = (0, 0);
    let (mut prefills, mut decodes) = (Duty::default(), Duty::default());
    for (_, worker) in fleet.workers() {
        let role = worker.info.role;
        let takes = worker.takes_requests();
        joined += 1;
        draining += u32::from(!takes);
        if role != Role::Decode {
            prefills.add(worker, needs.tokens(role), needs);
        }
        if role != Role::Prefill {
            decodes.add(worker, needs.whole, needs);
        }
    }
    if joined == draining {
        RejectReason::NoEligibleWorker { joined, draining }
    } else if !prefills.takes {
        RejectReason::NoPrefillWorker { joined, draining }
    } else if !decodes.takes {
        RejectReason::NoDecodeWorker { joined, draining }
    } else if prefills.fits && decodes.fits {
        RejectReason::NoEligibleWorker { joined, draining }
    } else {
        let small = if prefills.fits { decodes } else { prefills };
        if small.fits_prompt {
            RejectReason::RequestTooLarge { needed: small.whole, largest: small.largest }
        } else {
            RejectReason::PromptTooLarge { needed: small.prompt, largest: small.largest }
        }
    }
}

/// The workers that can do one half of a request.
#[derive(Clone, Copy, Default)]
struct Duty {
    /// Room of the largest, in blocks, and what the request needs there: for its prompt, and in all.
    largest: u64,
    prompt: u64,
    whole: u64,
    /// Whether any of them takes requests.
    takes: bool,
    /// Whether any of them has the memory for this half, and for the prompt.
    fits: bool,
    fits_prompt: bool,
}

impl Duty {
    fn add(&mut self, worker: WorkerState<'_>, tokens: u64, needs: Needs) {
        let info = worker.info;
        let room = info.total_blocks.unwrap_or(u64::MAX);
        if self.prompt == 0 || room > self.largest {
            self.largest = room;
            (self.prompt, self.whole) = (info.blocks_of(needs.prompt), info.blocks_of(needs.whole));
        }
        self.takes |= worker.takes_requests();
        self.fits |= info.has_room_for(tokens);
        self.fits_prompt |= info.has_room_for(needs.prompt);
    }
}

impl Fleet {
    /// The most tokens of a request, prompt and answer, that any worker can answer. None: there is no
    /// limit, or no worker.
    pub fn largest_request(&self) -> Option<u64> {
        let answers = self.workers().filter(|(_, worker)| worker.info.role != Role::Prefill);
        let limits: Option<Vec<u64>> =
            answers.map(|(_, worker)| worker.info.largest_request()).collect();
        limits?.into_iter().max()
    }
}

/// Names the decode worker, where the chosen worker only computes the prompt.
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
        let held = worker.alike().covered(request.prompt.tokens(), &overlap.of_worker(id));
        let lot = hash_words(&[view.seed(), request.id.0, u64::from(id.0)]);
        (is_full(worker, request), cost(worker, request, held), worker.active(), lot)
    };
    decision.decode = decoders.iter().copied().min_by_key(rank);
}

fn cost(worker: WorkerState<'_>, request: &Request, held: u32) -> Duration {
    let Some(cost) = &worker.alike().decode else { return Duration::ZERO };
    let tokens = request.prompt.tokens();
    let context = worker.answering().tokens + u64::from(tokens);
    let step = cost.step(worker.answering().requests + 1, context);
    let decoding = Duration::from_nanos_f64(step.as_nanos() as f64 * ANSWER_TOKENS);
    cost.kv_transfer(tokens.saturating_sub(held)) + decoding
}

/// Whether a request would have to wait there.
fn is_full(worker: WorkerState<'_>, request: &Request) -> bool {
    let &WorkerInfo { max_num_seqs, total_blocks, block_size, .. } = worker.alike();
    let tokens = worker.answering().tokens + u64::from(request.prompt.tokens());
    worker.answering().requests >= max_num_seqs
        || total_blocks.is_some_and(|blocks| tokens > blocks * u64::from(block_size))
}
