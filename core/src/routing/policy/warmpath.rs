//! The house rule: the worker where a request costs the fewest expected seconds, its own and those of
//! the requests that it delays.
//!
//! ```text
//! cost(w) = queue(w)      predicted prefill work booked on w and not yet done
//!         + room(w)       the step under way; the wait for a seat and for room in HBM
//!         + load(w)       fetching blocks from tiers, pool or peer, as far as it outlasts these waits
//!         + prefill(w)    computing what w does not hold
//!         + answer(w)     decode x expected length x time of a step with this request
//!         + others(w)     delay x prefill(w) x requests that wait: on w, and in the mean of the fleet
//!                         + decode x requests under way on w x (prefill(w) + half an answer x how
//!                           much longer a step takes with this request)
//!                         + memory x time to compute what texts of w lose x (1 + delay x requests
//!                           that wait in the mean of the fleet)
//! ```
//!
//! A worker where the first token would come later than from an idle one, which computes the whole prompt
//! at once, is no candidate.
//!
//! With `returns`, what texts lose counts times (1 + returns x requests to come) x fits^returning:
//! `returning` is the share of requests that go on with a text (a running mean), requests to come are
//! returning / (1 - returning), and `fits` is the share of the worker's texts that its HBM has room for.
//! Then a fleet whose sessions do not fit keeps most of them whole and lets the others wait, in place of
//! computing all of them again.
//!
//! The expected length of an answer is a running mean of those seen, of each tenant. A text is what a
//! session has said so far, or the prompt of a request without a session. It needs its blocks until it was
//! idle for `idle_s`; blocks that texts share count once. Where the texts of a worker and the answers under
//! way need more than its HBM, what a request computes there displaces what will be computed again.
//!
//! A second of prefill delays everyone who waits. That is why a busy fleet saves work, and why the rule
//! then keeps sessions where they are; the terms that say so are 0 where no one waits. Where each term
//! was measured is in `docs/policies.md`.

use super::parameter::parameters;
use super::parts::{ActiveBlocks, Cheapest, Held, InFlight, Lots, Ways, WorkingSet};
use super::rule::Policy;
use crate::event::{DecodeCost, WorkerInfo};
use crate::id::{TenantId, WorkerId};
use crate::request::Request;
use crate::routing::candidate::{Candidate, Terms};
use crate::routing::decision::Choice;
use crate::routing::fleet::WorkerState;
use crate::routing::index::{Overlap, SourceOverlap};
use crate::routing::kinds::Kind;
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::view::FleetView;
use crate::routing::worker_state::Queue;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

parameters! {
    /// The fewest expected seconds, of the request and of those that it delays.
    pub struct Warmpath {
        /// Weight of the delay of requests that wait. 0: it does not count.
        delay: f64 = 1.0, 0.0..=100.0, "";
        /// Weight of a second of decoding, against a second before the first token.
        decode: f64 = 0.35, 0.0..=100.0, "";
        /// Weight of computing again what other texts lose. 0: it does not count.
        memory: f64 = 4.0, 0.0..=100.0, "";
        /// Weight of each further request that a session is expected to have. 0: they do not count.
        returns: f64 = 0.0, 0.0..=100.0, "";
        /// A text without a request for this time is not expected back.
        idle_s: f64 = 120.0, 0.001..=1_000_000.0, "s";
        /// Whether waiting for the step under way, a seat and room in HBM counts.
        room: bool = true, (), "";
        /// Whether blocks are fetched from a pool or a peer where that is faster.
        pull: bool = true, (), "";
    }
}

/// The length that answers are expected to have before any was seen.
const FIRST_GUESS_TOKENS: f64 = 256.0;
/// Weight of a new answer in the mean length.
const NEW_ANSWER: f64 = 0.02;

/// What the rule remembers.
#[derive(Debug)]
pub struct Seen {
    active: ActiveBlocks,
    texts: Box<WorkingSet>,
    answers: Answers,
}

/// How long answers are, from those that were seen.
#[derive(Debug)]
struct Answers {
    /// With the time of the first token.
    under_way: InFlight<(TenantId, Option<Instant>)>,
    /// For each worker the answers that have begun, and the sum of the times of their first tokens, in ns.
    /// The sum wraps around, and so does what is computed from it: only the difference counts.
    begun: PerWorker<(u64, u64)>,
    /// Of all tenants.
    mean: f64,
    by_tenant: BTreeMap<TenantId, f64>,
}

impl Answers {
    fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        let Self { under_way, begun, mean, by_tenant } = self;
        if let Observed::Dispatched { request, decision } = *what {
            under_way.begin(request.id, decision.worker, (request.tenant, None));
            return;
        }
        if let Observed::Joined(info) = *what {
            begun.of_mut(info.worker);
        }
        if let Observed::FirstToken(id) = *what {
            if let Some((worker, (_, first @ None))) = under_way.get_mut(id) {
                *first = Some(now);
                let (answers, sum) = begun.of_mut(*worker);
                (*answers, *sum) = (*answers + 1, sum.wrapping_add(now.as_nanos()));
            }
            return;
        }
        let tokens = match *what {
            Observed::Finished { output_tokens, .. } => output_tokens,
            _ => None,
        };
        under_way.end(what, |_, worker, (tenant, first)| {
            if let Some((first, (answers, sum))) = first.zip(begun.get_mut(worker)) {
                (*answers, *sum) = (*answers - 1, sum.wrapping_sub(first.as_nanos()));
            }
            let Some(tokens) = tokens.map(f64::from) else { return };
            let own = by_tenant.entry(tenant).or_insert(*mean);
            *own += NEW_ANSWER * (tokens - *own);
            *mean += NEW_ANSWER * (tokens - *mean);
        });
    }

    /// How long the answers of a worker have been made, in seconds, all together.
    fn ages(&self, now: Instant, worker: WorkerId) -> f64 {
        let (answers, sum) = self.begun.get(worker).copied().unwrap_or_default();
        answers.wrapping_mul(now.as_nanos()).wrapping_sub(sum) as f64 * 1e-9
    }

    fn tokens(&self, tenant: TenantId) -> f64 {
        self.by_tenant.get(&tenant).copied().unwrap_or(self.mean)
    }
}

impl Policy for Warmpath {
    const NAME: &'static str = "warmpath";
    const RULE: &'static str =
        "The fewest expected seconds, of the request and of those that it delays.";

    type Memory = Seen;

    fn memory(&self) -> Seen {
        let (under_way, begun, by_tenant) =
            (InFlight::default(), PerWorker::default(), BTreeMap::new());
        Seen {
            active: ActiveBlocks::default(),
            texts: Box::new(WorkingSet::new(Duration::from_secs_f64(self.idle_s))),
            answers: Answers { under_way, begun, mean: FIRST_GUESS_TOKENS, by_tenant },
        }
    }

    fn observe(&self, seen: &mut Seen, now: Instant, what: &Observed<'_>) {
        seen.active.observe(what);
        seen.texts.observe(now, what);
        seen.answers.observe(now, what);
    }

    fn choose(&self, seen: &Seen, request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let tokens = request.prompt.tokens();
        let mut ways = Ways::of(&overlap, view, tokens);
        let mut idle = None::<Duration>;
        let waiting = view.at_rest(|kind| {
            let cold = ways.cold(kind);
            idle = Some(idle.map_or(cold, |least| least.min(cold)));
        });
        let asked = Asked {
            tokens,
            blocks: request.prompt.blocks(),
            answer: seen.answers.tokens(request.tenant),
            waiting: waiting as f64 / view.workers().len() as f64,
        };
        let (shared, lots) = (seen.active.shared(&request.prompt), Lots::of(view, request));
        let mut weighing = Weighing {
            rule: self,
            seen,
            view,
            asked,
            idle,
            lots,
            shared: &shared,
            ways,
            best: Cheapest::default(),
            floor: None,
        };
        let mut found = overlap.in_order();
        if view.is_noting() {
            for (id, worker) in view.workers() {
                weighing.weigh(found.entry(id), id, worker);
            }
            return weighing.best.decision().into();
        }
        for (entry, id, worker) in view.holding(&overlap) {
            weighing.weigh(Some(entry), id, worker);
        }
        // The others are weighed where what is the same for their kind and what is booked leave them a chance.
        let idle_queue = Queue::default();
        if view.kinds().any(|kind| {
            let cold = weighing.of_nothing(kind);
            weighing.may_win(kind, cold, &idle_queue, || 0)
        }) {
            for (id, queue) in view.queues() {
                let kind = view.kind(queue.kind);
                let cold = weighing.of_nothing(kind);
                if weighing.may_win(kind, cold, queue, || lots.of_worker(id))
                    && found.entry(id).is_none()
                    && let Some(worker) = view.worker(id)
                {
                    weighing.weigh(None, id, worker);
                }
            }
        }
        weighing.best.decision().into()
    }
}

/// One request's choice.
struct Weighing<'a> {
    rule: &'a Warmpath,
    seen: &'a Seen,
    view: &'a FleetView<'a>,
    asked: Asked,
    /// The least time that an idle worker takes to compute all of the prompt.
    idle: Option<Duration>,
    lots: Lots,
    /// What requests under way hold of the prompt.
    shared: &'a Overlap,
    ways: Ways<'a>,
    best: Cheapest,
    /// Of the last kind that was asked about.
    floor: Option<(u32, Floor)>,
}

/// What a worker of a kind costs at least, besides computing the prompt. What is booked there only adds to it.
#[derive(Clone, Copy)]
struct Floor {
    /// The step under way, if there is one.
    step: Duration,
    answer: Duration,
}

impl<'a> Weighing<'a> {
    fn weigh(&mut self, entry: Option<&SourceOverlap>, id: WorkerId, worker: WorkerState<'a>) {
        let Self { rule, seen, view, asked, lots, .. } = *self;
        let kind = worker.kind();
        let held = Held::of(entry, kind.info, asked.tokens);
        let way = match rule.pull {
            true => self.ways.cheapest(id, kind, &held),
            false => self.ways.own(kind, &held),
        };
        let lot = || lots.of_worker(id);
        if !view.is_noting() && !self.may_win(kind, way.prefill, worker.queue(), lot) {
            return;
        }
        let facts = Facts {
            seen,
            now: view.now(),
            asked,
            worker,
            id,
            shared: self.shared.get(id.into()).map_or(0, SourceOverlap::blocks),
            cached: held.tokens,
            whole: self.ways.cold(kind),
        };
        let terms = rule.terms(&facts, worker.backlog(view.now()), way.prefill, way.load);
        if worker.active() > 0 && self.idle.is_some_and(|cold| terms.to_first_token() > cold) {
            return;
        }
        let active = worker.active();
        self.best.weigh(view, (terms.total(), active), lot, |lot| Candidate {
            worker: id,
            active,
            overlap: Some(held.by_tier),
            pull: way.pull,
            terms: Some(terms),
            lot,
        });
    }

    /// The time to compute the prompt on a worker of this kind that holds nothing of it.
    fn of_nothing(&mut self, kind: Kind<'_>) -> Duration {
        match self.rule.pull {
            true => self.ways.of_nothing(kind).prefill,
            false => self.ways.cold(kind),
        }
    }

    /// Whether a worker may be better than the best so far, by what is quickly known of it. `prefill`: the time to
    /// compute what it does not hold.
    #[inline]
    fn may_win(
        &mut self,
        kind: Kind<'_>,
        prefill: Duration,
        queue: &Queue,
        lot: impl FnOnce() -> u64,
    ) -> bool {
        let floor = match self.floor {
            Some((number, floor)) if number == kind.number => floor,
            _ => {
                let floor = self.floor(kind.info);
                self.floor = Some((kind.number, floor));
                floor
            }
        };
        let Self { rule, asked, view, .. } = *self;
        let active = queue.active();
        let room = if active > 0 { floor.step } else { Duration::ZERO };
        let first_token = queue.backlog(view.now()) + prefill + room;
        if active > 0 && self.idle.is_some_and(|cold| first_token > cold) {
            return false;
        }
        let new = prefill.as_secs_f64();
        let (waits, decodes) =
            (rule.delay * new * asked.waiting, rule.decode * f64::from(active) * new);
        let others = Duration::from_secs_f64(waits + decodes);
        self.best.may_win((first_token + floor.answer + others, active), lot)
    }

    fn floor(&self, info: &WorkerInfo) -> Floor {
        let Self { rule, asked, .. } = *self;
        let grows = |cost: &&DecodeCost| cost.ns_per_seq >= 0.0 && cost.ns_per_context_token >= 0.0;
        let cost = info.decode.as_ref().filter(grows);
        let step = |tokens| cost.map_or(0.0, |cost| cost.step(1, tokens).as_secs_f64());
        Floor {
            step: Duration::from_secs_f64(if rule.room { step(0) } else { 0.0 }),
            answer: Duration::from_secs_f64(rule.decode * asked.answer * step(asked.tokens.into())),
        }
    }
}

/// What is the same for all workers.
#[derive(Clone, Copy)]
struct Asked {
    /// Of the prompt.
    tokens: u32,
    /// Full blocks of the prompt.
    blocks: u32,
    /// Expected tokens of the answer.
    answer: f64,
    /// Requests that wait for their prefill, in the mean of all workers.
    waiting: f64,
}

/// What the cost of a worker follows from.
struct Facts<'a> {
    seen: &'a Seen,
    now: Instant,
    asked: Asked,
    worker: WorkerState<'a>,
    id: WorkerId,
    /// Blocks of the prompt that requests under way on the worker hold.
    shared: u32,
    /// Tokens of the prompt that the worker holds.
    cached: u32,
    /// The time to compute all of the prompt.
    whole: Duration,
}

impl Warmpath {
    fn terms(
        &self,
        facts: &Facts<'_>,
        queue: Duration,
        prefill: Duration,
        load: Duration,
    ) -> Terms {
        let Facts { worker, asked: Asked { tokens, answer, waiting, .. }, .. } = *facts;
        let active = f64::from(worker.active());
        let now = facts.step(0, 0);
        let then = facts.step(1, tokens);
        let room = match self.room {
            true => Duration::from_secs_f64(now + facts.wait_for_room(now.max(then))),
            false => Duration::ZERO,
        };
        let new = prefill.as_secs_f64();
        let local = f64::from(worker.queued_requests());
        let waits = self.delay * new * (waiting + local);
        let decodes = self.decode * active * (new + 0.5 * answer * (then - now).max(0.0));
        let lost = match self.memory > 0.0 {
            true => facts.displaced().map_or(0.0, |what| self.memory * self.lost(facts, &what)),
            false => 0.0,
        };
        let lost = lost * (1.0 + self.delay * waiting);
        Terms {
            queue,
            room,
            load: load.saturating_sub(queue + room),
            prefill,
            answer: Duration::from_secs_f64(self.decode * answer * then),
            others: Duration::from_secs_f64(waits + decodes + lost),
        }
    }

    /// Seconds that other texts lose. Sessions that surely return lose again with each request, and the
    /// less of them fits, the less is left to lose.
    fn lost(&self, facts: &Facts<'_>, displaced: &Displaced) -> f64 {
        if self.returns == 0.0 {
            return displaced.seconds;
        }
        let texts = &facts.seen.texts;
        let again = 1.0 + self.returns * texts.requests_to_come();
        displaced.seconds * again * libm::pow(displaced.fits, texts.returning())
    }
}

impl Facts<'_> {
    /// Seconds of a decode step with `more` requests and `tokens` of context more than now; 0 without
    /// any request, or where the worker does not say.
    fn step(&self, more: u32, tokens: u32) -> f64 {
        let active = self.worker.active() + more;
        let context = self.worker.booked_tokens() + u64::from(tokens);
        match &self.worker.alike().decode {
            Some(cost) if active > 0 => cost.step(active, context).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Seconds until the worker has a seat and room in HBM, if a step takes `step` seconds. A request
    /// stays for an answer, and those under way end evenly over that time.
    fn wait_for_room(&self, step: f64) -> f64 {
        let &WorkerInfo { max_num_seqs, total_blocks, block_size, .. } = self.worker.alike();
        let active = self.worker.active();
        let stay = self.asked.answer * step;
        let mut wait = 0.0f64;
        if active >= max_num_seqs {
            wait = stay * f64::from(active - max_num_seqs + 1) / f64::from(active.max(1));
        }
        let Some(total) = total_blocks else { return wait };
        if active == 0 {
            return wait;
        }
        // One token a step since the first: young answers have used little of their room.
        let made = self.seen.answers.ages(self.now, self.id) / step.max(f64::MIN_POSITIVE);
        let made = made.min(f64::from(active) * self.asked.answer) / f64::from(block_size);
        let used = self.seen.active.of(self.id) as f64 + made;
        let new = self.asked.blocks.saturating_sub(self.shared);
        let missing = used + f64::from(new) + 1.0 - total as f64;
        if missing > 0.0 && used > 0.0 { wait.max(stay * missing / used) } else { wait }
    }

    /// What other texts of this worker lose, because this request needs room. None: nothing.
    fn displaced(&self) -> Option<Displaced> {
        let &WorkerInfo { total_blocks, block_size, .. } = self.worker.alike();
        let total = total_blocks?;
        let Asked { tokens, answer, .. } = self.asked;
        let new = u64::from((tokens - self.cached).div_ceil(block_size));
        let half_an_answer = 0.5 * answer / f64::from(block_size);
        let answers = (f64::from(self.worker.active()) * half_an_answer) as u64;
        let needed = self.seen.texts.blocks(self.id) + answers + new;
        let over = needed.checked_sub(total).filter(|&over| over > 0)?;
        let displaced = (over.min(new) * u64::from(block_size)) as f64;
        Some(Displaced {
            seconds: self.whole.as_secs_f64() * displaced / f64::from(tokens.max(1)),
            fits: total as f64 / needed as f64,
        })
    }
}

/// What texts lose that make room.
struct Displaced {
    /// The time to compute it again.
    seconds: f64,
    /// The share of the worker's texts that fits into its HBM.
    fits: f64,
}
