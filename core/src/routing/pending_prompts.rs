//! The prompts of dispatched requests, each until the events that announce its blocks should have arrived.

use crate::hash::Map;
use crate::id::{RequestId, WorkerId};
use crate::request::Request;
use crate::routing::pending::{PendingIndex, Place};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// How long a prompt stays pending after its first token. The event that announces its blocks may
/// arrive later than the token. If it is later than this, the router may estimate a hit wrongly.
const EVENT_LINGER: Duration = Duration::from_millis(1_000);
/// How long a prompt may stay pending without a first token.
const PENDING_LIMIT: Duration = Duration::from_millis(600_000);

#[derive(Debug)]
struct Pending {
    worker: WorkerId,
    /// The decode worker, which will hold the prompt too.
    decode: Option<WorkerId>,
    /// Where the prompt ends in the index.
    end: Place,
    until: Instant,
}

/// All pending prompts.
#[derive(Debug, Default)]
pub(super) struct PendingPrompts {
    index: PendingIndex,
    by_request: Map<RequestId, Pending>,
    /// When each prompt stops to be pending, earliest first. A sorted queue reuses its memory, which a
    /// tree would not; an insertion moves only few entries.
    expiries: VecDeque<(Instant, RequestId)>,
}

impl PendingPrompts {
    /// The blocks that workers are about to hold.
    pub const fn index(&self) -> &PendingIndex {
        &self.index
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.expiries.is_empty()
    }

    /// When the next prompt stops to be pending.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|&(at, _)| at)
    }

    /// A request is sent. None of its id may be pending.
    pub fn add(
        &mut self,
        now: Instant,
        request: &Request,
        worker: WorkerId,
        decode: Option<WorkerId>,
    ) {
        let (_, end) = self.index.add(worker, &request.prompt);
        if let Some(decode) = decode {
            self.index.add(decode, &request.prompt);
        }
        let until = now + PENDING_LIMIT;
        self.by_request.insert(request.id, Pending { worker, decode, end, until });
        self.set_expiry(until, request.id);
    }

    /// A prompt was computed: the events about it are on their way.
    pub fn computed(&mut self, now: Instant, id: RequestId) {
        if let Some(pending) = self.by_request.get_mut(&id) {
            let before = core::mem::replace(&mut pending.until, now + EVENT_LINGER);
            self.drop_expiry(before, id);
            self.set_expiry(now + EVENT_LINGER, id);
        }
    }

    /// A worker is gone, and with it all that was to come to it.
    pub fn lose(&mut self, worker: WorkerId) {
        // Sorted, since a hash map is never walked in its own order.
        let on_it = |p: &Pending| p.worker == worker || p.decode == Some(worker);
        let mut gone: Vec<RequestId> =
            self.by_request.iter().filter(|(_, p)| on_it(p)).map(|(&r, _)| r).collect();
        gone.sort_unstable();
        for request in gone {
            self.forget(request);
        }
    }

    /// Forgets what has been pending for too long.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.expiries.front() {
            if at > now {
                break;
            }
            self.forget(id);
        }
    }

    /// Forgets a prompt, if it is pending.
    pub fn forget(&mut self, id: RequestId) {
        if let Some(pending) = self.by_request.remove(&id) {
            self.drop_expiry(pending.until, id);
            for holder in [Some(pending.worker), pending.decode].into_iter().flatten() {
                self.index.remove(holder, pending.end);
            }
        }
    }

    fn set_expiry(&mut self, at: Instant, id: RequestId) {
        let place = self.expiries.partition_point(|&known| known < (at, id));
        self.expiries.insert(place, (at, id));
    }

    fn drop_expiry(&mut self, at: Instant, id: RequestId) {
        if let Ok(place) = self.expiries.binary_search(&(at, id)) {
            self.expiries.remove(place);
        }
    }
}
