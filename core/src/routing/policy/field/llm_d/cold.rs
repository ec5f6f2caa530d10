//! The order in which workers last got a request of which no worker held a block
//! (`scheduling/scorer/nohitlru/no_hit_lru.go`).

use crate::id::{RequestId, SourceId, WorkerId};
use crate::routing::observed::Observed;
use std::cell::Cell;
use std::collections::BTreeMap;

/// Workers by the time of their last cold request.
#[derive(Default, Debug)]
pub struct ColdOrder {
    /// Longest ago first.
    order: Vec<WorkerId>,
    /// The place of each in the order.
    places: BTreeMap<WorkerId, usize>,
    /// The request that was scored last, if it was cold: no event says that of a request.
    cold: Cell<Option<RequestId>>,
}

impl ColdOrder {
    /// Notes for the dispatch that follows whether the request is cold.
    pub fn scored(&self, id: RequestId, is_cold: bool) {
        self.cold.set(is_cold.then_some(id));
    }

    /// How many workers got their last cold request longer ago. None: the worker never got one.
    pub fn place(&self, worker: WorkerId) -> Option<usize> {
        self.places.get(&worker).copied()
    }

    /// Learns from what happened. `size`: how many workers are remembered.
    pub fn observe(&mut self, size: usize, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request, decision } if self.cold.take() == Some(request.id) => {
                self.remove(decision.worker);
                if self.order.len() >= size.max(1) {
                    self.remove(self.order[0]);
                }
                self.places.insert(decision.worker, self.order.len());
                self.order.push(decision.worker);
            }
            Observed::Lost(SourceId::Worker(worker)) => self.remove(worker),
            Observed::Joined(info) => self.remove(info.worker),
            _ => {}
        }
    }

    fn remove(&mut self, worker: WorkerId) {
        if let Some(place) = self.places.remove(&worker) {
            self.order.remove(place);
            for later in &self.order[place..] {
                *self.places.get_mut(later).expect("each worker of the order has a place") -= 1;
            }
        }
    }
}
