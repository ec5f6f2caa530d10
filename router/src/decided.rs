//! The names of the requests that were decided last, so that an operator can ask about one by its
//! name.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use warmpath_core::id::{RequestId, TenantId};

/// Names of the last requests that were sent to a worker.
#[derive(Debug, Default)]
pub struct DecidedNames {
    most: AtomicUsize,
    /// Oldest first.
    names: Mutex<VecDeque<(TenantId, String, RequestId)>>,
}

impl DecidedNames {
    /// Keeps this many names from now on; 0 at first.
    pub fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub fn push(&self, (tenant, name): &(TenantId, String), id: RequestId) {
        let most = self.most.load(Ordering::Relaxed);
        if most > 0 {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let surplus = (names.len() + 1).saturating_sub(most);
            names.drain(..surplus);
            names.push_back((*tenant, name.clone(), id));
        }
    }

    /// The latest request with this name of each tenant that has one.
    pub fn find(&self, name: &str) -> BTreeMap<TenantId, RequestId> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let with_name = names.iter().filter(|(_, known, _)| known == name);
        with_name.map(|&(tenant, _, id)| (tenant, id)).collect()
    }
}
