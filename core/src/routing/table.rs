//! The workers of a fleet: what every decision reads of them, and the rest, in dense lists.

use super::per_worker::place;
use super::worker_state::{Cold, Hot, Queue, WorkerMut, WorkerState};
use crate::event::WorkerInfo;
use crate::id::WorkerId;

/// All workers, in ascending order.
#[derive(Default, Debug)]
pub(super) struct Table {
    ids: Vec<WorkerId>,
    queues: Vec<Queue>,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    kinds: Kinds,
    /// How often it changed which workers there are, or which of them take requests.
    changes: u64,
}

impl Table {
    /// Equal as long as the same workers take requests.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    pub const fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    #[inline]
    pub fn get(&self, id: WorkerId) -> Option<WorkerState<'_>> {
        place(&self.ids, id).ok().map(|at| self.at(at))
    }

    /// What is booked on each of these workers, which are in the table.
    pub fn queues(&self, of: &[WorkerId]) -> impl Iterator<Item = (WorkerId, &Queue)> {
        let all = of.len() == self.ids.len();
        of.iter().enumerate().map(move |(i, &id)| {
            let at = if all { Ok(i) } else { place(&self.ids, id) };
            (id, &self.queues[at.expect("an eligible worker is in the fleet")])
        })
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<WorkerMut<'_>> {
        let at = place(&self.ids, id).ok()?;
        let Self { queues, hot, cold, kinds, .. } = self;
        Some(WorkerMut { queue: &mut queues[at], hot: &mut hot[at], cold: &mut cold[at], kinds })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (WorkerId, WorkerState<'_>)> {
        self.ids.iter().enumerate().map(|(at, &id)| (id, self.at(at)))
    }

    /// A worker that is not in the table joins.
    pub fn insert(&mut self, info: WorkerInfo, drained: bool) {
        let id = info.worker;
        let Err(at) = place(&self.ids, id) else { panic!("{id} is in the fleet") };
        self.ids.insert(at, id);
        self.queues.insert(at, Queue::new(self.kinds.add(&info)));
        self.hot.insert(at, Hot::new(info.role, !drained));
        self.cold.insert(at, Cold::new(info, drained));
        self.changes += 1;
    }

    pub fn remove(&mut self, id: WorkerId) {
        let Ok(at) = place(&self.ids, id) else { return };
        self.ids.remove(at);
        self.cold.remove(at);
        let (queue, hot) = (self.queues.remove(at), self.hot.remove(at));
        self.kinds.change_queued(hot.queued_requests(), 0);
        self.kinds.remove(queue.kind, queue.active() == 0);
        self.changes += 1;
    }

    /// A worker that may take requests from now on, or takes none.
    pub fn change(&mut self, id: WorkerId) -> Option<WorkerMut<'_>> {
        self.changes += 1;
        self.get_mut(id)
    }

    fn at(&self, at: usize) -> WorkerState<'_> {
        let (cold, kinds) = (&self.cold[at], &self.kinds);
        WorkerState { info: &cold.info, queue: &self.queues[at], hot: &self.hot[at], cold, kinds }
    }
}

/// Workers that said the same of themselves, apart from their numbers and epochs.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// Kinds of equal numbers are the same.
    pub number: u32,
    /// What they said. Number and epoch are those of one of them, which may be gone.
    pub info: &'a WorkerInfo,
}

/// The kinds of workers that there are, and sums over all workers.
#[derive(Default, Debug)]
pub(super) struct Kinds {
    all: Vec<Counted>,
    queued: u64,
}

#[derive(Debug)]
struct Counted {
    info: WorkerInfo,
    workers: u32,
    /// Those without a request under way.
    idle: u32,
}

impl Kinds {
    pub fn get(&self, number: u32) -> Kind<'_> {
        Kind { number, info: &self.all[number as usize].info }
    }

    /// Those of which there are workers, and how many of these have no request under way.
    pub fn iter(&self) -> impl Iterator<Item = (Kind<'_>, u32)> {
        let kinds = self.all.iter().zip(0..).filter(|(kind, _)| kind.workers > 0);
        kinds.map(|(Counted { info, idle, .. }, number)| (Kind { number, info }, *idle))
    }

    /// Requests on all workers whose prompts are not yet computed.
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    pub fn change_queued(&mut self, before: u32, after: u32) {
        self.queued = self.queued - u64::from(before) + u64::from(after);
    }

    pub fn change_idle(&mut self, number: u32, before: bool, after: bool) {
        let idle = &mut self.all[number as usize].idle;
        *idle = *idle - u32::from(before) + u32::from(after);
    }

    fn add(&mut self, info: &WorkerInfo) -> u32 {
        let alike = self.all.iter().position(|kind| kind.workers > 0 && kind.info.is_like(info));
        let number = alike.unwrap_or_else(|| {
            let new = Counted { info: info.clone(), workers: 0, idle: 0 };
            match self.all.iter().position(|kind| kind.workers == 0) {
                Some(free) => {
                    self.all[free] = new;
                    free
                }
                None => {
                    self.all.push(new);
                    self.all.len() - 1
                }
            }
        });
        self.all[number].workers += 1;
        self.all[number].idle += 1;
        number as u32
    }

    fn remove(&mut self, number: u32, idle: bool) {
        let kind = &mut self.all[number as usize];
        kind.workers -= 1;
        kind.idle -= u32::from(idle);
    }
}
