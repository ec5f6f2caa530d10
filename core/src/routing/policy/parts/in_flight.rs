//! Requests under way, with what a rule remembers of each.

use crate::hash::Map;
use crate::id::{RequestId, SourceId, WorkerId};
use crate::routing::observed::Observed;

/// A value for each request under way: from its dispatch to its end.
#[derive(Debug)]
pub struct InFlight<T> {
    of: Map<RequestId, (WorkerId, T)>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { of: Map::default() }
    }
}

impl<T> InFlight<T> {
    /// Remembers a request that was sent.
    pub fn begin(&mut self, id: RequestId, worker: WorkerId, value: T) {
        self.of.insert(id, (worker, value));
    }

    /// A request under way.
    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut (WorkerId, T)> {
        self.of.get_mut(&id)
    }

    /// Forgets the requests that this input ends, and gives each to `ended`: one that finished or was
    /// cancelled, or those of a worker that was lost or began anew, in the order of their ids.
    pub fn end(&mut self, what: &Observed<'_>, mut ended: impl FnMut(RequestId, WorkerId, T)) {
        match *what {
            Observed::Finished { id, .. } | Observed::Cancelled(id) => {
                if let Some((worker, value)) = self.of.remove(&id) {
                    ended(id, worker, value);
                }
            }
            Observed::Lost(SourceId::Worker(lost)) => self.end_on(lost, ended),
            Observed::Joined(info) => self.end_on(info.worker, ended),
            _ => {}
        }
    }

    fn end_on(&mut self, lost: WorkerId, mut ended: impl FnMut(RequestId, WorkerId, T)) {
        // Sorted, since a hash map is never walked in its own order.
        let on_it = self.of.iter().filter(|(_, (worker, _))| *worker == lost);
        let mut gone: Vec<RequestId> = on_it.map(|(&id, _)| id).collect();
        gone.sort_unstable();
        for id in gone {
            if let Some((worker, value)) = self.of.remove(&id) {
                ended(id, worker, value);
            }
        }
    }
}
