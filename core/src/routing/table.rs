//! The workers of a fleet: what every decision reads of them, and the rest, in dense lists.

use super::kinds::Kinds;
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
