//! Requests in the server's front end: between arrival and the scheduler's queue. The server reads
//! and tokenizes them while steps run.

use super::sequence::Sequence;
use crate::hash::Map;
use crate::id::RequestId;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Requests in the front end.
#[derive(Debug, Default)]
pub(super) struct FrontEnd {
    /// By the time at which they are ready, then by arrival.
    coming: BTreeMap<(Instant, u64), Sequence>,
    places: Map<RequestId, (Instant, u64)>,
    arrivals: u64,
}

impl FrontEnd {
    /// Adds a request that is ready at `ready`.
    pub fn push(&mut self, ready: Instant, sequence: Sequence) {
        self.arrivals += 1;
        let place = (ready, self.arrivals);
        self.places.insert(sequence.work.request.id, place);
        self.coming.insert(place, sequence);
    }

    /// When the next request is ready.
    pub fn next_ready(&self) -> Option<Instant> {
        self.coming.first_key_value().map(|(&(ready, _), _)| ready)
    }

    /// Removes the next request that is ready by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Sequence> {
        self.next_ready().filter(|&ready| ready <= now)?;
        let (_, sequence) = self.coming.pop_first()?;
        self.places.remove(&sequence.work.request.id);
        Some(sequence)
    }

    /// Removes a request. Returns whether it was in the front end.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let place = self.places.remove(&id);
        place.is_some_and(|place| self.coming.remove(&place).is_some())
    }

    pub fn contains(&self, id: RequestId) -> bool {
        self.places.contains_key(&id)
    }

    pub fn is_empty(&self) -> bool {
        self.coming.is_empty()
    }

    /// Prompt tokens of all requests in the front end.
    pub fn prompt_tokens(&self) -> u64 {
        self.coming.values().map(|sequence| u64::from(sequence.target)).sum()
    }
}
