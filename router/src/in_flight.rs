//! The requests that clients wait for, by tenant and name.

use crate::fleet::worker::WorkerLink;
use dashmap::{DashMap, Entry};
use std::sync::Arc;
use warmpath_core::id::{RequestId, TenantId, WorkerId};

/// A request's tenant, and its client's name for it, or the router's where the client gave none.
/// With the tenant in the key, a tenant cannot see, end or block another tenant's requests.
pub type Key = (TenantId, String);

/// Where a client's request is.
#[derive(Clone, Debug)]
pub struct Tracked {
    pub id: RequestId,
    /// None until its worker is chosen.
    pub link: Option<Arc<WorkerLink>>,
    /// The worker's name for it.
    pub upstream_id: Arc<str>,
    /// Its client aborted it. Its worker may not know the request yet.
    pub aborted: bool,
}

/// All requests under way.
#[derive(Debug, Default)]
pub struct InFlight(DashMap<Key, Tracked>);

impl InFlight {
    /// False: the name is in use.
    pub fn add(&self, key: Key, tracked: Tracked) -> bool {
        match self.0.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(tracked);
                true
            }
        }
    }

    pub fn remove(&self, key: &Key) {
        self.0.remove(key);
    }

    /// The worker of the attempt under way, and the attempt's name.
    pub fn set_worker(&self, key: &Key, link: &Arc<WorkerLink>, upstream_id: &Arc<str>) {
        if let Some(mut tracked) = self.0.get_mut(key) {
            tracked.link = Some(Arc::clone(link));
            tracked.upstream_id = Arc::clone(upstream_id);
        }
    }

    /// It was not sent to that worker.
    pub fn unset_worker(&self, key: &Key) {
        if let Some(mut tracked) = self.0.get_mut(key) {
            tracked.link = None;
        }
    }

    /// Marks a request as aborted. Returns it; no lock is held afterwards.
    pub fn mark_aborted(&self, key: &Key) -> Option<Tracked> {
        self.0.get_mut(key).map(|mut tracked| {
            tracked.aborted = true;
            tracked.clone()
        })
    }

    pub fn is_aborted(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|tracked| tracked.aborted)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were sent to this worker.
    pub fn streaming_from(&self, id: WorkerId) -> u32 {
        let there = |tracked: &Tracked| tracked.link.as_ref().is_some_and(|link| link.id == id);
        self.0.iter().filter(|entry| there(entry.value())).count() as u32
    }

    pub fn all(&self) -> Vec<Tracked> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }
}
