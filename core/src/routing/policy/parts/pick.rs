//! Choosing between workers: random numbers that are hashes, so that equal runs choose alike.

use crate::id::WorkerId;
use crate::request::Request;
use crate::rng::{hash_on, hash_words};
use crate::routing::candidate::{Candidate, Rank};
use crate::routing::decision::Decision;
use crate::routing::fleet::WorkerState;
use crate::routing::view::FleetView;
use crate::time::Duration;

/// Finds the worker with the least cost. Among equals, a random one.
#[derive(Clone, Copy, Debug)]
pub struct Least<C> {
    best: Option<(C, u64, WorkerId)>,
}

impl<C: PartialOrd + Copy> Least<C> {
    /// Before any worker.
    pub const fn new() -> Self {
        Self { best: None }
    }

    /// Weighs a worker. `lot`: [`lot`] of the request and the worker.
    pub fn weigh(&mut self, worker: WorkerId, cost: C, lot: u64) {
        let better = |&(least, least_lot, _): &(C, u64, WorkerId)| {
            cost < least || cost == least && lot < least_lot
        };
        if self.best.as_ref().is_none_or(better) {
            self.best = Some((cost, lot, worker));
        }
    }

    /// The worker with the least cost; None: none was weighed.
    pub fn worker(&self) -> Option<WorkerId> {
        self.best.map(|(_, _, worker)| worker)
    }
}

/// Finds the candidate of the least rank, for a rule that weighs seconds. Among those of one rank, it is the one of
/// the least number, in whichever order they are weighed.
#[derive(Debug, Default)]
pub struct Cheapest {
    best: Option<(Rank, Candidate)>,
}

impl Cheapest {
    /// Whether a worker may be better than the best so far, if it costs at least so much. Lots are drawn among equals
    /// only.
    #[inline]
    pub fn may_win(&self, (least, active): (Duration, u32), lot: impl FnOnce() -> u64) -> bool {
        let Some(((total, fewest, best_lot), _)) = &self.best else { return true };
        let order = (least, active).cmp(&(*total, *fewest));
        order.is_lt() || order.is_eq() && lot() <= *best_lot
    }

    /// Weighs a worker by its expected seconds, its requests under way and its lot. A candidate is long: it is made
    /// only if it is the best so far or is noted.
    pub fn weigh(
        &mut self,
        view: &FleetView<'_>,
        (total, active): (Duration, u32),
        lot: impl Fn() -> u64,
        candidate: impl FnOnce(u64) -> Candidate,
    ) {
        if !self.may_win((total, active), &lot) && !view.is_noting() {
            return;
        }
        let rank = (total, active, lot());
        let candidate = candidate(rank.2);
        view.note(&candidate);
        let worker = candidate.worker;
        if self.best.as_ref().is_none_or(|(least, best)| (rank, worker) < (*least, best.worker)) {
            self.best = Some((rank, candidate));
        }
    }

    /// The decision for it. Panics if no worker was weighed.
    pub fn decision(self) -> Decision {
        let (_, Candidate { worker, overlap, pull, .. }) =
            self.best.expect("a view is never empty");
        Decision { overlap, pull, ..Decision::blind(worker) }
    }
}

/// A hash of request and worker. Among equals, the worker with the least is a random one.
pub fn lot(view: &FleetView<'_>, request: &Request, worker: WorkerId) -> u64 {
    Lots::of(view, request).of_worker(worker)
}

/// The [`lot`]s of a request, for a rule that needs one of each worker.
#[derive(Clone, Copy, Debug)]
pub struct Lots(u64);

impl Lots {
    /// Of a request.
    pub fn of(view: &FleetView<'_>, request: &Request) -> Self {
        Self(hash_words(&[view.seed(), request.id.0]))
    }

    /// The [`lot`] of a worker.
    pub const fn of_worker(self, worker: WorkerId) -> u64 {
        hash_on(self.0, worker.0 as u64)
    }
}

/// A random number in [0, 1) for a request. `which`: one request may need several.
pub fn unit(view: &FleetView<'_>, request: &Request, which: u64) -> f64 {
    let bits = hash_words(&[view.seed(), request.id.0, 0x0075_6e69_7400, which]);
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The workers, each with its place in a round that begins one worker later with each request sent.
/// Among equals, the worker with the least place is the next in turn.
pub fn in_turn<'a>(
    view: &FleetView<'a>,
) -> impl Iterator<Item = (usize, WorkerId, WorkerState<'a>)> {
    let count = view.workers().len();
    let start = (view.ordinal() % count.max(1) as u64) as usize;
    view.workers()
        .enumerate()
        .map(move |(i, (id, worker))| ((i + count - start) % count, id, worker))
}
