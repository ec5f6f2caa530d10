//! The prompts that this worker computes for decode workers, as the engine's thread knows them:
//! their names, which of them are held, and the calls that wait for KV to leave.
//!
//! An error here never fails a request: KV that does not come is computed.

use crate::sending::Reply;
use std::collections::HashMap;
use warmpath_core::engine::{Engine, FetchError};
use warmpath_core::id::RequestId;
use warmpath_core::time::Instant;

/// This many names may be kept before the names of prompts that are not held any more are removed.
const SWEEP: usize = 64;

/// The prompts that this worker computes for decode workers.
#[derive(Debug, Default)]
pub struct Holding {
    /// The names of prompts that are not yet computed.
    computing: HashMap<RequestId, String>,
    held: HashMap<String, RequestId>,
    swept: usize,
    waiting: HashMap<RequestId, (Instant, Reply)>,
}

impl Holding {
    pub fn compute(&mut self, id: RequestId, name: String) {
        self.computing.insert(id, name);
    }

    pub fn cancel(&mut self, id: RequestId) {
        self.computing.remove(&id);
    }

    pub fn computed(&mut self, id: RequestId, engine: &Engine) {
        let Some(name) = self.computing.remove(&id) else { return };
        self.held.insert(name, id);
        if self.held.len() > 2 * self.swept + SWEEP {
            self.held.retain(|_, &mut id| engine.holds(id));
            self.swept = self.held.len();
        }
    }

    /// No decode worker will pull it.
    pub fn release(&mut self, name: &str) -> Option<RequestId> {
        self.held.remove(name)
    }

    /// Begins to send the KV that is held under a name.
    pub fn send_kv(
        &mut self,
        now: Instant,
        name: &str,
        reply: Reply,
        begin: impl FnOnce(RequestId) -> Result<(), FetchError>,
    ) {
        let begun = self.held.remove(name).ok_or(FetchError::Missing);
        match begun.and_then(|id| begin(id).map(|()| id)) {
            Ok(id) => drop(self.waiting.insert(id, (now, reply))),
            // The decode worker may be gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Whether KV is on its way to a decode worker, or held for one that may still come.
    pub fn is_wanted(&self, engine: &Engine) -> bool {
        !self.waiting.is_empty() || self.held.values().any(|&id| engine.holds(id))
    }

    pub fn left(&mut self, at: Instant, id: RequestId) {
        if let Some((asked, reply)) = self.waiting.remove(&id) {
            let _ = reply.send(Ok(at.since(asked)));
        }
    }
}
