//! What all parts of one router share.

use crate::capture::Capture;
use crate::config::RouterConfig;
use crate::decided::DecidedNames;
use crate::error::RequestError;
use crate::events::Events;
use crate::fleet::agreement::Agreement;
use crate::fleet::connect::Connecting;
use crate::fleet::instances::Instances;
use crate::fleet::pool::PoolLink;
use crate::fleet::roster::Roster;
use crate::fleet::siblings::Siblings;
use crate::fleet::status::{FleetStatus, FleetTerms};
use crate::handle::RouterHandle;
use crate::in_flight::InFlight;
use crate::index::SharedIndex;
use crate::metrics;
use crate::places::Places;
use crate::public::PublicPrefixes;
use crate::scopes::Scopes;
use crate::series::Overhead;
use crate::tenants::Tenants;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::routing::input::RejectReason;
use warmpath_proto::scope;
use warmpath_proto::traces::Tracer;

/// One router.
#[derive(Debug)]
pub struct RouterState {
    pub config: RouterConfig,
    pub router: RouterHandle,
    pub index: Arc<SharedIndex>,
    pub roster: Arc<Roster>,
    /// How workers are reached.
    pub connecting: Connecting,
    /// By number.
    pub pools: Vec<PoolLink>,
    pub agreement: Agreement,
    pub instances: Instances,
    pub siblings: Siblings,
    pub events: Events,
    pub tenants: Tenants,
    pub places: Places,
    pub public: PublicPrefixes,
    pub scopes: Scopes,
    pub in_flight: InFlight,
    pub status: watch::Sender<FleetStatus>,
    /// The router shuts down and takes no new requests.
    pub draining: AtomicBool,
    pub next_id: AtomicU64,
    /// A part of each upstream request id. Other routers, and earlier runs of this one, have
    /// others.
    pub instance: u64,
    /// For the other part: see [`RouterState::upstream_id`].
    pub naming: [u8; 32],
    pub resyncs: AtomicU64,
    /// Where traffic is captured, if it is.
    pub capture: Option<Capture>,
    pub decided: DecidedNames,
    pub tracer: Tracer,
    pub overhead: Overhead,
}

impl RouterState {
    /// What the fleet agrees on. An error where no worker has joined yet.
    pub fn terms(&self) -> Result<Arc<FleetTerms>, RequestError> {
        let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
        self.agreement.terms().ok_or(RequestError::Rejected(none))
    }

    /// The name of an attempt at a request, counted from 1, on its worker. Clients see it too, so it is no number:
    /// two numbers would tell a tenant how many requests the others have sent between its own.
    pub fn upstream_id(&self, id: RequestId, attempt: u32) -> Arc<str> {
        // Another run gives the same number another name.
        let number = (u128::from(self.instance) << 64) | u128::from(id.0);
        let hash = blake3::keyed_hash(&self.naming, &number.to_le_bytes());
        let first = hash.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let instance = self.instance;
        match attempt {
            1 => format!("warmpath-{instance:x}-{first:016x}").into(),
            more => format!("warmpath-{instance:x}-{first:016x}-{more}").into(),
        }
    }

    /// The terms for a new request, unless the router takes none.
    pub fn open(&self) -> Result<Arc<FleetTerms>, RequestError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(RequestError::Draining);
        }
        self.terms()
    }

    /// Changes the fleet's status.
    pub fn publish(&self, change: impl FnOnce(&mut FleetStatus)) {
        self.status.send_modify(|status| {
            change(status);
            metrics::fleet(status);
        });
    }

    /// A fingerprint of how this router names blocks.
    pub fn naming(&self) -> String {
        scope::naming(self.config.secret(), self.config.sharing)
    }

    /// Requests of a worker that have not ended: booked on it, or streaming from it.
    pub fn busy_with(&self, id: WorkerId) -> u32 {
        let booked = self.router.fleet(|fleet| fleet.worker(id).map_or(0, |state| state.active()));
        booked.max(self.in_flight.streaming_from(id))
    }
}
