//! What the engines, the pool and the links did, over a whole run.

use serde::Serialize;
use warmpath_sim::FailedFetches;

/// What only the engines know.
#[derive(Debug, Serialize)]
pub struct EngineFigures {
    /// Share of the time in which a worker computed, over all workers.
    pub utilisation: f64,
    pub steps: u64,
    pub preemptions: u64,
    /// Computed again after a preemption, on top of the prefill tokens.
    pub recomputed_tokens: u64,
    /// Seconds that requests waited for loads and fetches, all together.
    pub load_wait_s: f64,
    /// From pools and peers, and how often that failed and was computed instead.
    pub fetched_bytes: f64,
    pub failed_fetches: u64,
    /// Why they failed.
    pub failed_fetches_by: FailedFetches,
    /// Where some workers compute prompts that others answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverFigures>,
    /// Blocks that at least one worker holds at the end, and copies of them in all workers.
    pub resident_blocks: u64,
    pub resident_copies: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolFigures>,
    /// What workers lent to each other, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeerFigures>,
    /// What crossed the links of the tiers behind HBM, all workers together.
    pub tiers: Vec<TierFigures>,
    /// Blocks the router believed would be found, where its policy looks.
    pub overlap_blocks: u64,
}

/// KV that went from workers that compute prompts to workers that answer them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HandoverFigures {
    pub tokens: u64,
    /// These tokens' KV; no block is rounded up.
    pub bytes: u64,
    /// Share of the time in which anything was on its way, over all workers that prefill.
    pub link_utilisation: f64,
    /// Seconds that requests waited for it, all together.
    pub wait_s: f64,
    /// Hand-overs that failed, so that the prompts were computed by who answered.
    pub failed: u64,
    /// Prompts that were computed and held, and that nobody came for in time.
    pub expired: u64,
}

/// What a shared pool did.
#[derive(Debug, Serialize)]
pub struct PoolFigures {
    pub sent_bytes: f64,
    pub stored_bytes: f64,
    /// Put, and there already.
    pub known_bytes: f64,
    /// Put, and not kept: writes had fallen behind, or there was no room.
    pub refused_bytes: f64,
    /// Share of the time in which it sent anything.
    pub link_utilisation: f64,
}

/// What workers lent to each other, over all of them.
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
    /// What would have been stored, but for writes that had fallen behind.
    pub shed_bytes: f64,
    /// Share of the time in which a load was under way, over all workers.
    pub load_link_utilisation: f64,
}

/// The same of a live run, over the requests that were answered.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct LiveHandover {
    /// For which KV came; of the others the prompts were computed by who answered, or nobody else was to.
    pub requests: u64,
    pub tokens: u64,
    pub bytes: u64,
}
