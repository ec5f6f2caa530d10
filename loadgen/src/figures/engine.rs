//! What the engines, the pool and the links did, over a whole run.

use serde::Serialize;
use warmpath_sim::FailedFetches;

/// Figures that only simulated engines report.
#[derive(Debug, Serialize)]
pub struct EngineFigures {
    /// Share of the time in which a worker computed, over all workers.
    pub utilisation: f64,
    pub steps: u64,
    pub preemptions: u64,
    /// Tokens that were computed again after a preemption. They are not part of the prefill tokens.
    pub recomputed_tokens: u64,
    /// Seconds that requests waited for loads and fetches, summed.
    pub load_wait_s: f64,
    /// Bytes fetched from pools and peers, and the number of fetches that failed and were computed
    /// instead.
    pub fetched_bytes: f64,
    pub failed_fetches: u64,
    /// The reasons for which they failed.
    pub failed_fetches_by: FailedFetches,
    /// KV transfers. None: each worker does prefill and decode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_transfer: Option<KvTransferFigures>,
    /// Blocks that at least one worker holds at the end, and their copies in all workers.
    pub resident_blocks: u64,
    pub resident_copies: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolFigures>,
    /// Peer fetches. None: workers do not fetch from each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeerFigures>,
    /// Traffic of the tiers behind HBM, over all workers.
    pub tiers: Vec<TierFigures>,
    /// Blocks that left HBM to make room for others, over all workers, and for each answered request.
    pub evicted_blocks: u64,
    pub evictions_per_request: Option<f64>,
    /// How long a block stays in HBM, in seconds: the workers' room over the rate of evictions. None:
    /// the room has no limit, or nothing was evicted.
    pub kv_life_s: Option<f64>,
    /// Time between two turns of a session divided by `kv_life_s`. Above 1, more is written in that
    /// time than the workers have room for. None: no session has two turns, or `kv_life_s` is None.
    pub working_set_over_memory: Option<f64>,
    /// Whether no tier and no pool keeps what leaves HBM.
    #[serde(skip)]
    pub loses_evicted: bool,
    /// Blocks that the router expected to be cached. 0 for a policy that does not look.
    pub overlap_blocks: u64,
}

/// KV transfers from prefill workers to decode workers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KvTransferFigures {
    pub tokens: u64,
    /// Bytes of these tokens' KV. Blocks are not rounded up.
    pub bytes: u64,
    /// Share of the time in which a transfer was under way, over all prefill workers.
    pub link_utilisation: f64,
    /// Seconds that requests waited for it, summed.
    pub wait_s: f64,
    /// Transfers that failed. The decode worker computed these prompts.
    pub failed: u64,
    /// Prompts whose KV was held and that no decode worker fetched in time.
    pub expired: u64,
}

/// What a shared pool did.
#[derive(Debug, Serialize)]
pub struct PoolFigures {
    pub sent_bytes: f64,
    pub stored_bytes: f64,
    /// Blocks that were put and that the pool already had.
    pub known_bytes: f64,
    /// Blocks that were put and not kept: writes had fallen behind, or there was no room.
    pub refused_bytes: f64,
    /// Share of the time in which the pool sent anything.
    pub link_utilisation: f64,
}

/// Peer fetches, over all workers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerFigures {
    pub sent_bytes: f64,
    /// Share of the time in which a worker sent anything to a peer, over all workers.
    pub link_utilisation: f64,
}

/// One tier behind HBM, over all workers.
#[derive(Debug, Default, Serialize)]
pub struct TierFigures {
    pub name: String,
    pub loaded_bytes: f64,
    pub stored_bytes: f64,
    /// Bytes that were not stored because writes had fallen behind.
    pub shed_bytes: f64,
    /// Share of the time in which a load was under way, over all workers.
    pub load_link_utilisation: f64,
}

/// KV transfers of a live run, over the answered requests.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct LiveKvTransfer {
    /// Requests whose KV arrived. The other prompts were computed by the decode worker, or needed no
    /// transfer.
    pub requests: u64,
    pub tokens: u64,
    pub bytes: u64,
}
