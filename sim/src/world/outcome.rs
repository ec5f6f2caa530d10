//! What comes of playing a world.

use crate::attempts::AttemptCounts;
use crate::devices::DeviceOutcome;
use crate::faults::{FailedFetches, FaultError};
use crate::feeds::FeedCounts;
use crate::fleet::FleetError;
use warmpath_core::engine::transfers::KvTransferStats;
use warmpath_core::engine::{EngineStats, PeerSendStats};
use warmpath_core::id::WorkerId;
use warmpath_core::pool::{PoolError, PoolStats};
use warmpath_core::report::Recorder;

/// Why there is no outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("pool: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("reliability: {0}")]
    Reliability(String),
    /// An observer asked for it.
    #[error("given up")]
    GivenUp,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the workers served.
    pub recorder: Recorder,
    /// What the users' devices served. The other fields hold nothing of it.
    pub devices: Option<DeviceOutcome>,
    /// By worker. Of one that crashed, its last life.
    pub engines: Vec<EngineStats>,
    /// Lives of workers that ended in a crash.
    pub lost_engines: Vec<(WorkerId, EngineStats)>,
    /// Attempts at requests, in worlds whose workers may fail.
    pub attempts: AttemptCounts,
    /// What became of the feeds, in worlds with faults of feeds, drains and partitions.
    pub feeds: Option<FeedCounts>,
    /// KV transfers, by worker.
    pub kv_transfers: Vec<KvTransferStats>,
    /// What workers sent to their peers, by worker.
    pub peer_sends: Vec<PeerSendStats>,
    pub pool: Option<PoolStats>,
    /// Why fetches failed.
    pub failed_fetches: FailedFetches,
    /// Blocks that at least one worker holds, and copies of them in all workers.
    pub resident: (u64, u64),
    /// Prompt blocks the router believed the chosen worker would find, where it looked.
    pub overlap_blocks: u64,
    /// Requests that the router held before it sent or rejected them.
    pub held: u64,
    /// Messages and wake-ups handled.
    pub events: u64,
}
