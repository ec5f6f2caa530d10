//! The workers of a fleet: what every decision reads of them, and the rest, in two dense lists.

use super::per_worker::place;
use super::worker_state::{Cold, Hot, WorkerMut, WorkerState};
use crate::event::WorkerInfo;
use crate::id::WorkerId;

/// All workers, in ascending order.
#[derive(Default, Debug)]
pub(super) struct Table {
    ids: Vec<WorkerId>,
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

    #[inline]
    pub fn get(&self, id: WorkerId) -> Option<WorkerState<'_>> {
        place(&self.ids, id).ok().map(|at| self.at(at))
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<WorkerMut<'_>> {
        let at = place(&self.ids, id).ok()?;
        Some(WorkerMut { hot: &mut self.hot[at], cold: &mut self.cold[at] })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (WorkerId, WorkerState<'_>)> {
        self.ids.iter().enumerate().map(|(at, &id)| (id, self.at(at)))
    }

    /// A worker that is not in the table joins.
    pub fn insert(&mut self, info: WorkerInfo, drained: bool) {
        let id = info.worker;
        let Err(at) = place(&self.ids, id) else { panic!("{id} is in the fleet") };
        self.ids.insert(at, id);
        self.hot.insert(at, Hot::new(self.kinds.add(&info), info.role, !drained));
        self.cold.insert(at, Cold::new(info, drained));
        self.changes += 1;
    }

    pub fn remove(&mut self, id: WorkerId) {
        let Ok(at) = place(&self.ids, id) else { return };
        self.ids.remove(at);
        self.cold.remove(at);
        self.kinds.remove(self.hot.remove(at).kind);
        self.changes += 1;
    }

    /// A worker that may take requests from now on, or takes none.
    pub fn change(&mut self, id: WorkerId) -> Option<WorkerMut<'_>> {
        self.changes += 1;
        self.get_mut(id)
    }

    fn at(&self, at: usize) -> WorkerState<'_> {
        let cold = &self.cold[at];
        WorkerState { info: &cold.info, hot: &self.hot[at], cold, kinds: &self.kinds }
    }
}

/// What workers said of themselves, once for all that said the same apart from their numbers and epochs.
#[derive(Default, Debug)]
pub(super) struct Kinds(Vec<Kind>);

#[derive(Debug)]
struct Kind {
    /// Of one of them, which may be gone.
    info: WorkerInfo,
    /// How many there are.
    workers: u32,
}

impl Kinds {
    pub fn info(&self, kind: u32) -> &WorkerInfo {
        &self.0[kind as usize].info
    }

    fn add(&mut self, info: &WorkerInfo) -> u32 {
        let alike = self.0.iter().position(|kind| kind.workers > 0 && kind.info.is_like(info));
        let kind = alike.unwrap_or_else(|| {
            let new = Kind { info: info.clone(), workers: 0 };
            match self.0.iter().position(|kind| kind.workers == 0) {
                Some(free) => {
                    self.0[free] = new;
                    free
                }
                None => {
                    self.0.push(new);
                    self.0.len() - 1
                }
            }
        });
        self.0[kind].workers += 1;
        kind as u32
    }

    fn remove(&mut self, kind: u32) {
        self.0[kind as usize].workers -= 1;
    }
}
