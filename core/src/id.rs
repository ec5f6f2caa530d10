//! Names of things. Each is its own type, so that a worker is never taken for a request.

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
    /// A worker, numbered by the router in the order it was configured.
    WorkerId(u32) "w";
    /// A pool of blocks that belongs to no worker.
    PoolId(u32) "pool";
    /// One request of a client.
    RequestId(u64) "r";
    /// One conversation; its requests follow each other.
    SessionId(u64) "s";
    /// Whose data it is. Comes from the authenticated identity, never from a request's body.
    TenantId(u32) "t";
    /// A rung of the memory hierarchy: 0 is HBM, higher is farther.
    TierId(u8) "tier";
    /// One movement of blocks between two tiers.
    TransferId(u64) "x";
}

impl TierId {
    pub const HBM: Self = Self(0);
    /// The first tier behind HBM, as a rule.
    pub const HOST: Self = Self(1);
}

/// How many tiers a source may have.
pub const MAX_TIERS: usize = 4;

/// Where a worker can have a block from: its own tiers, then a pool, then a peer.
pub const ORIGINS: usize = MAX_TIERS + 2;

/// Who holds a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SourceId {
    Worker(WorkerId),
    Pool(PoolId),
}

impl SourceId {
    /// Its place among the [`ORIGINS`] of another worker's hits.
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
