//! What a policy may see of the fleet when it decides.

use crate::block::TokenBlocks;
use crate::event::LoadReport;
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::routing::candidate::{Candidate, MAX_PARTS, Notes, Score};
use crate::routing::decision::Holders;
use crate::routing::fleet::{Fleet, WorkerState};
use crate::routing::index::{Overlap, SourceOverlap};
use crate::routing::kinds::Kind;
use crate::routing::per_worker::place;
use crate::routing::worker_state::Queue;
use crate::time::{Duration, Instant};
use std::cell::{Cell, Ref, RefCell};

/// Looks up what each source holds of a prompt: resident blocks, from the index.
pub type Lookup<'a> = &'a dyn Fn(&TokenBlocks, &mut Overlap);

/// The fleet at one instant, for one request. At least one worker may serve the request: a router
/// asks no rule where none can.
pub struct FleetView<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) eligible: &'a [WorkerId],
    pub(super) now: Instant,
    pub(super) seed: u64,
    pub(super) ordinal: u64,
    pub(super) lookup: Lookup<'a>,
    pub(super) scratch: &'a RefCell<Overlap>,
    pub(super) looked: Cell<bool>,
    /// Where candidates are noted, if the decision is to be explained.
    pub(super) notes: Option<&'a RefCell<Notes>>,
}

impl<'a> FleetView<'a> {
    /// Any worker of the fleet, also one that may not be chosen.
    pub fn worker(&self, id: WorkerId) -> Option<WorkerState<'a>> {
        self.fleet.worker(id)
    }

    /// The workers that may serve the request, in ascending order.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = (WorkerId, WorkerState<'a>)> {
        let fleet = self.fleet;
        let state = move |&id| (id, fleet.worker(id).expect("an eligible worker is in the fleet"));
        self.eligible.iter().map(state)
    }

    /// The worker in this place of [`FleetView::workers`].
    pub fn nth(&self, place: usize) -> Option<(WorkerId, WorkerState<'a>)> {
        let &id = self.eligible.get(place)?;
        Some((id, self.fleet.worker(id).expect("an eligible worker is in the fleet")))
    }

    /// The workers that may serve the request and hold a block of it, and what they hold.
    pub fn holding<'b>(
        &'b self,
        overlap: &'b Overlap,
    ) -> impl Iterator<Item = (&'b SourceOverlap, WorkerId, WorkerState<'a>)> {
        overlap.entries().iter().filter_map(|entry| match entry.source {
            SourceId::Worker(id) if self.may_serve(id) => Some((entry, id, self.worker(id)?)),
            SourceId::Worker(_) | SourceId::Pool(_) => None,
        })
    }

    /// What is booked on the workers that may serve the request.
    pub(in crate::routing) fn queues(&self) -> impl Iterator<Item = (WorkerId, &'a Queue)> {
        self.fleet.table().queues(self.eligible)
    }

    pub(in crate::routing) fn kind(&self, number: u32) -> Kind<'a> {
        self.fleet.table().kinds().get(number)
    }

    /// The kinds of workers in the fleet.
    pub fn kinds(&self) -> impl Iterator<Item = Kind<'a>> {
        self.fleet.table().kinds().iter().map(|(kind, _)| kind)
    }

    /// What holds of all workers that may serve the request: how many of their requests wait for their
    /// prompts to be computed, and of which kinds some have no request under way.
    pub fn at_rest(&self, mut idle: impl FnMut(Kind<'a>)) -> u64 {
        let kinds = self.fleet.table().kinds();
        if self.eligible.len() == self.fleet.table().len() {
            let some = kinds.iter().filter(|(_, count)| *count > 0);
            some.for_each(|(kind, _)| idle(kind));
            return kinds.queued();
        }
        let mut queued = 0;
        for (_, worker) in self.workers() {
            queued += u64::from(worker.queued_requests());
            if worker.active() == 0 {
                idle(worker.kind());
            }
        }
        queued
    }

    /// The same if candidates are noted, else none.
    pub fn workers_to_note(&self) -> impl Iterator<Item = (WorkerId, WorkerState<'a>)> {
        self.is_noting().then(|| self.workers()).into_iter().flatten()
    }

    /// Whether a worker may serve the request.
    pub fn may_serve(&self, id: WorkerId) -> bool {
        place(self.eligible, id).is_ok()
    }

    /// What a worker last reported of its load, as of the rule's last poll, and how long ago the
    /// report came. None: no report since it joined, or it is not in the fleet.
    pub fn load(&self, id: WorkerId) -> Option<(&'a LoadReport, Duration)> {
        let (at, report) = self.fleet.load(self.now, id)?;
        Some((report, self.now.since(at)))
    }

    /// The time of the decision.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What a rule hashes with the request's id to choose at random.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How many requests were sent before this one.
    pub const fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// What each worker holds of the prompt or will hold before a new request gets its turn. Looked
    /// up when first asked for.
    pub fn overlap(&self, prompt: &TokenBlocks) -> Ref<'_, Overlap> {
        if !self.looked.replace(true) {
            let mut overlap = self.scratch.borrow_mut();
            (self.lookup)(prompt, &mut overlap);
            self.fleet.pending().merge_into(prompt, &mut overlap);
        }
        self.scratch.borrow()
    }

    /// Who holds how much of a prompt that goes to `chosen`, without what requests on the way will store. The same
    /// for rules that look at caches and for those that do not.
    pub(super) fn holders(&self, prompt: &TokenBlocks, chosen: WorkerId) -> Holders {
        let (overlap, most) = (self.overlap(prompt), prompt.reusable_blocks());
        let mut holders = Holders::default();
        for entry in overlap.entries() {
            let SourceId::Worker(id) = entry.source else { continue };
            let blocks = entry.resident().min(most);
            if id == chosen {
                holders.chosen = blocks;
            }
            // Most hold no more than the best so far, so few are looked up.
            if blocks > holders.best && self.may_serve(id) {
                holders.best = blocks;
            }
        }
        holders
    }

    /// Whether candidates are noted.
    pub const fn is_noting(&self) -> bool {
        self.notes.is_some()
    }

    /// For rules that weigh seconds: what a candidate was weighed at. Changes no decision.
    pub fn note(&self, candidate: &Candidate) {
        if let Some(notes) = self.notes {
            notes.borrow_mut().candidates.push(*candidate);
        }
    }

    /// For rules that weigh no seconds: what they compared of a worker, the lowest being the best,
    /// and what that was made of, which is computed only if it is noted. Changes no decision.
    pub fn note_lowest<const N: usize>(
        &self,
        worker: WorkerId,
        value: f64,
        parts: impl FnOnce() -> [(&'static str, f64); N],
    ) {
        self.note_score(worker, value, false, parts);
    }

    /// The same, the highest being the best.
    pub fn note_highest<const N: usize>(
        &self,
        worker: WorkerId,
        value: f64,
        parts: impl FnOnce() -> [(&'static str, f64); N],
    ) {
        self.note_score(worker, value, true, parts);
    }

    /// Which step of the rule decided. The last one that is said counts.
    pub fn note_because(&self, why: &'static str) {
        if let Some(notes) = self.notes {
            notes.borrow_mut().because = why;
        }
    }

    fn note_score<const N: usize>(
        &self,
        worker: WorkerId,
        value: f64,
        highest: bool,
        given: impl FnOnce() -> [(&'static str, f64); N],
    ) {
        const { assert!(N <= MAX_PARTS, "a score has room for fewer parts") };
        if let Some(notes) = self.notes {
            let mut parts = [("", 0.0); MAX_PARTS];
            for (part, given) in parts.iter_mut().zip(given()) {
                *part = given;
            }
            notes.borrow_mut().scores.push(Score { worker, value, highest, parts });
        }
    }
}

impl Overlap {
    /// What a worker holds, in blocks by tier.
    pub fn of_worker(&self, worker: WorkerId) -> [u32; MAX_TIERS] {
        self.get(worker.into()).map_or([0; MAX_TIERS], |entry| entry.by_tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PrefillCost, Role, WorkerInfo};

    fn info(worker: WorkerId) -> WorkerInfo {
        WorkerInfo {
            worker,
            epoch: 1,
            block_size: 10,
            total_blocks: None,
            constant_blocks: 0,
            max_num_seqs: 8,
            prefill: PrefillCost {
                step_ns: 0.0,
                floor_ns: 0.0,
                chunk_tokens: 100,
                ns_per_token: 1.0,
                ns_per_pair: 0.0,
            },
            tiers: Vec::new(),
            pool: None,
            peers: None,
            role: Role::Both,
            decode: None,
        }
    }

    #[test]
    fn a_rule_reads_the_last_load_report_and_its_age() {
        let (a, b) = (WorkerId(0), WorkerId(1));
        let mut fleet = Fleet::default();
        let at = Instant::from_nanos;
        fleet.join(at(0), info(a));
        fleet.join(at(0), info(b));
        let report = |waiting| LoadReport {
            worker: a,
            epoch: 1,
            seq: 0,
            waiting,
            running: 0,
            queued_prefill_tokens: 0,
            blocks_by_tier: [0; MAX_TIERS],
            blocks_in_use: 0,
            digest: None,
        };
        let seen = |fleet: &Fleet, now, id| {
            let scratch = RefCell::default();
            let view = FleetView {
                fleet,
                eligible: &[a, b],
                now: at(now),
                seed: 0,
                ordinal: 0,
                lookup: &|_, out| out.clear(),
                scratch: &scratch,
                looked: Cell::new(false),
                notes: None,
            };
            view.load(id).map(|(load, age)| (load.waiting, age.as_nanos()))
        };
        assert_eq!(seen(&fleet, 5, a), None, "it has not reported yet");
        fleet.report(at(10), report(3));
        assert_eq!(seen(&fleet, 17, a), Some((3, 7)));
        fleet.report(at(20), report(4));
        assert_eq!(seen(&fleet, 20, a), Some((4, 0)));
        assert_eq!(seen(&fleet, 20, b), None);
        fleet.join(at(30), info(a));
        assert_eq!(seen(&fleet, 31, a), None, "a restart has reported nothing");
        assert_eq!(seen(&fleet, 31, WorkerId(9)), None);
    }
}
