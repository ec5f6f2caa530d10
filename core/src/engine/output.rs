//! What an engine reports: results, errors and counts.

use super::store::{Fetch, Hit, Traffic};
use crate::block::BlockRun;
use crate::event::KvBatch;
use crate::id::{RequestId, TransferId, WorkerId};
use crate::request::Owner;
use crate::time::{Duration, Instant};

/// A result of [`Engine::step`](super::Engine::step). `at` is when it happened.
#[derive(Clone, Debug)]
pub enum Output {
    /// A request was admitted for the first time.
    Admitted {
        /// The request.
        id: RequestId,
        /// When.
        at: Instant,
        /// Cached blocks of its prompt, by origin.
        hit: Hit,
    },
    /// A request made its first answer token.
    FirstToken {
        /// The request.
        id: RequestId,
        /// When.
        at: Instant,
    },
    /// A request made its last answer token.
    Finished {
        /// The request.
        id: RequestId,
        /// When.
        at: Instant,
        /// Prompt tokens that were cached at its first admission.
        cached_tokens: u32,
        /// Cached blocks at its first admission, by origin.
        hit: Hit,
        /// The length of the answer.
        output_tokens: u32,
    },
    /// A prompt is computed whose answer a decode worker makes. This worker holds its KV from now
    /// on.
    Prefilled {
        /// The request.
        id: RequestId,
        /// When.
        at: Instant,
        /// Prompt tokens that were cached at its first admission.
        cached_tokens: u32,
        /// Cached blocks at its first admission, by origin.
        hit: Hit,
    },
    /// This worker needs the KV of a prompt from the prefill worker ([`Engine::send_kv`]). Answer
    /// with [`Engine::kv_transfer_ended`].
    ///
    /// [`Engine::send_kv`]: super::Engine::send_kv
    /// [`Engine::kv_transfer_ended`]: super::Engine::kv_transfer_ended
    Pull {
        /// When.
        at: Instant,
        /// The request.
        id: RequestId,
        /// The prefill worker.
        from: WorkerId,
        /// Prompt tokens whose KV is missing here.
        tokens: u32,
    },
    /// The KV of a prompt has left for its decode worker, and is no longer held.
    KvSent {
        /// When.
        at: Instant,
        /// The request.
        id: RequestId,
        /// The decode worker.
        to: WorkerId,
    },
    /// The store changed.
    Kv {
        /// When.
        at: Instant,
        /// The changes since the previous batch.
        batch: KvBatch,
    },
    /// This worker needs blocks from a pool or a peer. Answer with [`Engine::on_transfer`].
    ///
    /// [`Engine::on_transfer`]: super::Engine::on_transfer
    Fetch {
        /// When.
        at: Instant,
        /// The blocks and their source.
        fetch: Fetch,
    },
    /// Blocks to put into the shared pool.
    Put {
        /// When.
        at: Instant,
        /// The blocks.
        run: BlockRun,
        /// Their owner; None: no tenant.
        owner: Option<Owner>,
    },
    /// Blocks that a peer fetched have left ([`Engine::serve_fetch`]).
    ///
    /// [`Engine::serve_fetch`]: super::Engine::serve_fetch
    FetchServed {
        /// When.
        at: Instant,
        /// The fetch.
        key: FetchKey,
    },
}

/// One fetch: the worker that asked, and its transfer.
pub type FetchKey = (WorkerId, TransferId);

/// Why a fetch or a KV transfer failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The sender has evicted the blocks.
    #[error("the sender has evicted the blocks")]
    Missing,
    /// The sender was lost.
    #[error("the sender is gone")]
    Gone,
    /// The blocks did not arrive before the timeout.
    #[error("the blocks did not arrive in time")]
    Late,
    /// The blocks arrived damaged.
    #[error("the blocks have a wrong checksum")]
    Corrupt,
}

/// Why an engine rejects a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Prompt and answer need more blocks than the worker has.
    #[error("request needs {needed} blocks, worker holds {capacity}")]
    TooLarge {
        /// Blocks that the request needs.
        needed: u64,
        /// Blocks of the worker.
        capacity: u64,
    },
    /// The prompt is empty.
    #[error("prompt has no tokens")]
    EmptyPrompt,
    /// The request wants an answer of no tokens.
    #[error("request asks for 0 answer tokens, expected at least 1")]
    EmptyAnswer,
    /// A running request has the same id.
    #[error("request id is already in use")]
    DuplicateId,
}

/// Counts since the engine started.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct EngineStats {
    /// Steps.
    pub steps: u64,
    /// Times a sequence gave up its blocks to free memory.
    pub preemptions: u64,
    /// Prompt and answer tokens computed again after a preemption.
    pub recomputed_tokens: u64,
    /// Prompt tokens computed, recomputed ones included.
    pub prefill_tokens: u64,
    /// Answer tokens made.
    pub output_tokens: u64,
    /// Time with a step running.
    pub busy: Duration,
    /// Time that requests waited for loads and fetches, summed over requests.
    pub load_wait: Duration,
    /// Blocks fetched from pools and peers.
    pub fetched_blocks: u64,
    /// Fetches that failed. The engine computed their blocks.
    pub failed_fetches: u64,
    /// Blocks that left HBM to make room.
    pub evicted_blocks: u64,
    /// Traffic of each tier behind HBM, nearest first.
    pub traffic: Vec<Traffic>,
}
