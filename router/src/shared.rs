//! What the services, the relays and the subscribers of one router share.

use crate::config::RouterConfig;
use crate::heart::Heart;
use crate::link::Link;
use crate::metrics;
use crate::pools::Pool;
use crate::public::PublicPrefixes;
use crate::roster::Roster;
use crate::tenants::Tenants;
use dashmap::DashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;
use warmpath_core::id::{RequestId, TenantId, WorkerId};
use warmpath_core::routing::index::PrefixIndex;

/// Who is in the fleet. Changes can be waited for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FleetStatus {
    /// URLs of the workers that take requests or drain.
    pub joined: Vec<String>,
    /// URLs of the pools that are followed.
    pub pools: Vec<String>,
    /// URLs of workers and pools that do not match this router, and why. They are asked again each
    /// 5 s.
    pub refused: Vec<(String, String)>,
}

/// Counts since the router began, and of now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Requests that clients wait for now.
    pub in_flight: usize,
    /// Requests the heart has booked now.
    pub booked: usize,
    /// Feeds that skipped a batch, or whose digest differed from the index.
    pub resyncs: u64,
    /// Runs of blocks in the prefix index.
    pub runs: usize,
}

/// What all workers of the fleet agree about; known from the first that joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    pub model: String,
    pub block_size: u32,
}

/// Where a client's request is.
#[derive(Clone, Debug)]
pub struct Place {
    /// None while its worker is being chosen.
    pub link: Option<Arc<Link>>,
    pub upstream_id: String,
    /// By its client's word. Its worker may not know the request yet.
    pub aborted: bool,
}

#[derive(Debug)]
pub struct Shared {
    pub config: RouterConfig,
    pub heart: Heart,
    pub index: RwLock<PrefixIndex>,
    pub roster: Roster,
    /// By number.
    pub pools: Vec<Pool>,
    pub terms: OnceLock<Terms>,
    pub tenants: Tenants,
    pub public: PublicPrefixes,
    /// By tenant and the client's request id, or by ours where it gave none: nobody can see, end or
    /// stand in the way of another's.
    pub in_flight: DashMap<(TenantId, String), Place>,
    pub status: watch::Sender<FleetStatus>,
    pub draining: AtomicBool,
    pub next_id: AtomicU64,
    /// Tells this router's upstream request ids from those of others and of its own past.
    pub instance: u64,
    pub resyncs: AtomicU64,
    pub dispatched: Dispatched,
}

impl Shared {
    pub fn index(&self) -> RwLockReadGuard<'_, PrefixIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn index_mut(&self) -> RwLockWriteGuard<'_, PrefixIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, change: impl FnOnce(&mut FleetStatus)) {
        self.status.send_modify(|status| {
            change(status);
            metrics::fleet(status);
        });
    }

    /// Requests of a worker that are not done: booked on it, or streaming from it.
    pub fn busy_with(&self, id: WorkerId) -> u32 {
        let booked = self.heart.fleet(|fleet| fleet.worker(id).map_or(0, |state| state.active()));
        let here = |place: &Place| place.link.as_ref().is_some_and(|link| link.id == id);
        let streams = self.in_flight.iter().filter(|entry| here(entry.value())).count();
        booked.max(streams as u32)
    }
}

/// The names of the last requests that were dispatched, where decisions are kept to be explained.
#[derive(Debug, Default)]
pub struct Dispatched {
    last: AtomicUsize,
    /// Oldest first.
    names: Mutex<VecDeque<(TenantId, String, RequestId)>>,
}

impl Dispatched {
    /// 0, as it is at first: none are kept.
    pub fn keep(&self, last: usize) {
        self.last.store(last, Ordering::Relaxed);
    }

    pub fn push(&self, (tenant, name): &(TenantId, String), id: RequestId) {
        let last = self.last.load(Ordering::Relaxed);
        if last > 0 {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let surplus = (names.len() + 1).saturating_sub(last);
            names.drain(..surplus);
            names.push_back((*tenant, name.clone(), id));
        }
    }

    /// The latest of that name of each tenant that has one.
    pub fn find(&self, name: &str) -> BTreeMap<TenantId, RequestId> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = names.iter().filter(|(_, known, _)| known == name);
        of_name.map(|&(tenant, _, id)| (tenant, id)).collect()
    }
}
