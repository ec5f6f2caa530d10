//! Ids. Each kind has its own type, so that a worker id is never taken for a request id.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// A worker. The router numbers workers in the order of its configuration, from 0.
    WorkerId(u32) "w";
    /// A pool: a store of blocks that belongs to no worker.
    PoolId(u32) "pool";
    /// A client's request.
    RequestId(u64) "r";
    /// A conversation, whose requests follow each other.
    SessionId(u64) "s";
    /// The owner of a request's data. It comes from the authenticated listener, never from a
    /// request's body.
    TenantId(u32) "t";
    /// A tier of a worker's memory hierarchy: 0 is HBM, higher is slower.
    TierId(u8) "tier";
    /// A transfer of blocks between two tiers.
    TransferId(u64) "x";
}

impl TierId {
    /// GPU memory.
    pub const HBM: Self = Self(0);
    /// The tier after HBM, usually host memory.
    pub const HOST: Self = Self(1);
}

/// The most tiers that a worker or a pool may have.
pub const MAX_TIERS: usize = 4;

/// The number of places a hit can come from: the worker's own tiers, then a pool, then a peer.
pub const ORIGINS: usize = MAX_TIERS + 2;

/// A holder of blocks: a worker or a pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SourceId {
    /// A worker, with its tiers.
    Worker(WorkerId),
    /// A pool.
    Pool(PoolId),
}

impl SourceId {
    /// The index among the [`ORIGINS`] of a block that another worker fetched from here.
    pub const fn origin(self) -> usize {
        match self {
            Self::Pool(_) => MAX_TIERS,
            Self::Worker(_) => MAX_TIERS + 1,
        }
    }
}

impl From<WorkerId> for SourceId {
    fn from(worker: WorkerId) -> Self {
        Self::Worker(worker)
    }
}

impl From<PoolId> for SourceId {
    fn from(pool: PoolId) -> Self {
        Self::Pool(pool)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(id) => id.fmt(f),
            Self::Pool(id) => id.fmt(f),
        }
    }
}
