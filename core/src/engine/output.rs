//! What an engine says: what came out, what went wrong, what it has done.

use super::store::{Fetch, Hit, Traffic};
use crate::block::BlockRun;
use crate::event::KvBatch;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::request::Owner;
use crate::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub enum Output {
    /// First admission: what the request found.
    Admitted {
        id: RequestId,
        at: Instant,
        hit: Hit,
    },
    FirstToken {
        id: RequestId,
        at: Instant,
    },
    Finished {
        id: RequestId,
        at: Instant,
        cached_tokens: u32,
        /// What it found at its first admission.
        hit: Hit,
    },
    /// The prompt of a request that another answers is computed. Its KV is held from now on.
    Prefilled {
        id: RequestId,
        at: Instant,
        cached_tokens: u32,
        hit: Hit,
    },
    /// The KV of so many tokens that another is to hand over ([`Engine::hand_over`]). Answered with
    /// [`Engine::on_handover`].
    Pull {
        at: Instant,
        id: RequestId,
        from: WorkerId,
        tokens: u32,
    },
    /// What was held of a request has left for the worker that answers it.
    HandedOver {
        at: Instant,
        id: RequestId,
        to: WorkerId,
    },
    /// What the store gained and lost.
    Kv {
        at: Instant,
        batch: KvBatch,
    },
    /// Blocks that another is to send. Answered with [`Engine::on_transfer`].
    Fetch {
        at: Instant,
        fetch: Fetch,
    },
    /// Blocks for the pool that the fleet shares.
    Put {
        at: Instant,
        run: BlockRun,
        /// Whose it is; None: nobody's.
        owner: Option<Owner>,
    },
    /// Blocks that another asked for have left ([`Engine::lend`]).
    Lent {
        at: Instant,
        key: LoanKey,
    },
}

/// Who asked for blocks, and in which of its transfers.
pub type LoanKey = (WorkerId, TransferId);

/// Why blocks that were fetched did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the blocks are not there any more")]
    Missing,
    #[error("who should send them is gone")]
    Gone,
    #[error("they did not come in time")]
    Late,
    #[error("their checksum is wrong")]
    Corrupt,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("request needs {needed} blocks, worker holds {capacity}")]
    TooLarge { needed: u64, capacity: u64 },
    #[error("prompt has no tokens")]
    EmptyPrompt,
    #[error("no answer token is asked for")]
    EmptyAnswer,
    #[error("request id is in use already")]
    DuplicateId,
}

/// Counts since the engine began.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct EngineStats {
    pub steps: u64,
    pub preemptions: u64,
    /// Prompt and answer tokens computed again after a preemption.
    pub recomputed_tokens: u64,
    pub prefill_tokens: u64,
    pub output_tokens: u64,
    /// Time in which a step was running.
    pub busy: Duration,
    /// Time that requests waited for loads and fetches, all together.
    pub load_wait: Duration,
    /// Blocks that came from others.
    pub fetched_blocks: u64,
    /// Fetches that failed; what they should have brought was computed.
    pub failed_fetches: u64,
    /// Of each tier behind HBM.
    pub traffic: Vec<Traffic>,
}
