//! The messages from a worker or a pool to a router: what it is, which blocks it holds, its load.

use crate::block::{BlockRun, Chain};
use crate::id::{MAX_TIERS, SourceId, TierId, WorkerId};
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// A change of the blocks that a source (a worker or a pool) holds.
#[derive(Clone, PartialEq, Debug)]
pub enum KvEvent {
    /// The source now holds these blocks in this tier. It holds the block before the run already.
    Stored {
        /// The tier that now has the blocks.
        tier: TierId,
        /// The blocks.
        run: BlockRun,
    },
    /// The source no longer holds these blocks in this tier.
    Removed {
        /// The tier that had the blocks.
        tier: TierId,
        /// The blocks.
        run: BlockRun,
    },
    /// The source no longer holds any block.
    Cleared,
}

/// The changes of one engine step.
#[derive(Clone, PartialEq, Debug)]
pub struct KvBatch {
    /// The sender.
    pub source: SourceId,
    /// The number of the sender's life. It is higher after a restart.
    pub epoch: u64,
    /// The number of the batch within its epoch, from 1.
    pub seq: u64,
    /// The changes, in the order in which they happened.
    pub events: Vec<KvEvent>,
}

/// All blocks that a source holds after batch `seq`.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// The sender.
    pub source: SourceId,
    /// The sender's epoch.
    pub epoch: u64,
    /// The last batch that the snapshot includes. The next batch is `seq + 1`.
    pub seq: u64,
    /// The blocks by tier. A run comes after the run that it continues.
    pub runs: Vec<(TierId, BlockRun)>,
}

/// A checksum of the set of (tier, block) pairs that a source holds. It does not depend on their
/// order, so two sides that hold the same set have equal digests.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Digest {
    /// The number of pairs.
    pub blocks: u64,
    /// The XOR of a 64-bit hash of each pair.
    pub xor: u64,
}

impl Digest {
    /// Adds the blocks of a run in one tier. They must not have been added before.
    pub fn add(&mut self, tier: TierId, run: &BlockRun) {
        self.add_blocks(tier, &run.chain, run.start..run.end);
    }

    /// The same for some blocks of a chain.
    pub fn add_blocks(&mut self, tier: TierId, chain: &Chain, blocks: core::ops::Range<u32>) {
        for block in blocks {
            let hash = chain.hash(block);
            let bits = hash.to_wire();
            let folded = (bits >> 64) as u64 ^ bits as u64;
            self.xor ^= crate::rng::mix64(folded ^ (u64::from(tier.0) << 56));
            self.blocks += 1;
        }
    }
}

/// A worker's load after one of its batches.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// The worker that reports.
    pub worker: WorkerId,
    /// The worker's epoch.
    pub epoch: u64,
    /// The last batch that the report includes.
    pub seq: u64,
    /// Requests in the queue.
    pub waiting: u32,
    /// Requests in the running batch.
    pub running: u32,
    /// Prompt tokens still to be computed.
    pub queued_prefill_tokens: u64,
    /// Blocks held, by tier from HBM on.
    pub blocks_by_tier: [u64; MAX_TIERS],
    /// HBM blocks that requests use now. The other blocks are free, or cached and can be evicted.
    #[serde(default)]
    pub blocks_in_use: u64,
    /// The digest of the blocks held. None in virtual time, where tests compare the sets themselves.
    pub digest: Option<Digest>,
}

/// A worker's description of itself, sent when a router connects.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerInfo {
    /// The worker.
    pub worker: WorkerId,
    /// The worker's epoch.
    pub epoch: u64,
    /// Tokens a block.
    pub block_size: u32,
    /// Blocks that fit into HBM. None: no limit.
    pub total_blocks: Option<u64>,
    /// Blocks that each request takes beside those of its tokens: full windows, a recurrent state.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub constant_blocks: u32,
    /// The most requests in the running batch.
    pub max_num_seqs: u32,
    /// The time to compute a prompt.
    pub prefill: PrefillCost,
    /// The time to load a block from each tier after HBM, when the link is free.
    pub tiers: Vec<TierCost>,
    /// The time to fetch blocks from the fleet's pool. None: the worker uses no pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<FetchCost>,
    /// The time to fetch blocks from another worker. None: the worker does not fetch from peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<FetchCost>,
    /// The part of a request that the worker does.
    #[serde(default, skip_serializing_if = "Role::is_both")]
    pub role: Role,
    /// The time to decode. None: not known, or the worker only computes prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeCost>,
}

/// The part of a request that a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Computes prompts. Their KV is then transferred to a worker that decodes.
    Prefill,
    /// Decodes answers to prompts that a prefill worker computed.
    Decode,
    /// Computes prompts and decodes answers.
    #[default]
    Both,
}

impl Role {
    /// Whether the worker does the whole request.
    pub const fn is_both(&self) -> bool {
        matches!(self, Self::Both)
    }

    /// The name in profiles and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Both => "both",
        }
    }
}

/// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl WorkerInfo {
    /// Whether both are the same apart from the worker's number and epoch.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            worker: _,
            epoch: _,
            block_size,
            total_blocks,
            constant_blocks,
            max_num_seqs,
            prefill,
            tiers,
            pool,
            peers,
            role,
            decode,
        } = self;
        let sizes = (block_size, total_blocks, constant_blocks, max_num_seqs, role);
        let others = (
            &other.block_size,
            &other.total_blocks,
            &other.constant_blocks,
            &other.max_num_seqs,
            &other.role,
        );
        let costs = (prefill, decode, pool, peers, tiers);
        costs == (&other.prefill, &other.decode, &other.pool, &other.peers, &other.tiers)
            && sizes == others
    }

    /// Whether a request of this many tokens, prompt and answer, fits into the worker's memory.
    pub fn has_room_for(&self, tokens: u64) -> bool {
        self.largest_request().is_none_or(|most| tokens <= most)
    }

    /// The blocks that a request of this many tokens takes.
    pub fn blocks_of(&self, tokens: u64) -> u64 {
        tokens.div_ceil(u64::from(self.block_size.max(1))) + u64::from(self.constant_blocks)
    }

    /// The most tokens of a request that fits. None: there is no limit.
    pub fn largest_request(&self) -> Option<u64> {
        let room = self.total_blocks?.saturating_sub(u64::from(self.constant_blocks));
        Some(room.saturating_mul(u64::from(self.block_size)))
    }

    /// The prompt tokens that the given blocks cover, at most `tokens`: the block counts may come
    /// from a record that was edited.
    pub fn covered(&self, tokens: u32, by_tier: &[u32; MAX_TIERS]) -> u32 {
        let blocks = by_tier.iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks));
        blocks.saturating_mul(self.block_size).min(tokens)
    }
}

/// A few numbers from which a router estimates how long a worker takes to compute a prompt. A
/// worker with calibrated step times derives them in `engine/physics/table.rs`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillCost {
    /// Nanoseconds for each step. A prompt takes one step for each chunk.
    pub step_ns: f64,
    /// The least time of a step without its attention, in nanoseconds: a step reads all weights
    /// even for one token.
    #[serde(default)]
    pub floor_ns: f64,
    /// The most prompt tokens that one step computes.
    pub chunk_tokens: u32,
    /// Nanoseconds for each new token.
    pub ns_per_token: f64,
    /// Nanoseconds for each pair of a new token and a token that it attends to.
    pub ns_per_pair: f64,
}

impl PrefillCost {
    /// The time to compute the last `new` tokens of a prompt whose first `cached` tokens are cached.
    ///
    /// The sum over the steps of `max(floor_ns, step_ns + tokens * ns_per_token)`, plus
    /// `ns_per_pair` for each of the `new * cached + new * (new + 1) / 2` pairs.
    pub fn estimate(&self, new: u32, cached: u32) -> Duration {
        let (n, p) = (f64::from(new), f64::from(cached));
        let chunk = self.chunk_tokens.max(1);
        let (whole, rest) = (f64::from(new / chunk), f64::from(new % chunk));
        let step = |tokens: f64| (self.step_ns + tokens * self.ns_per_token).max(self.floor_ns);
        let last = if rest > 0.0 { step(rest) } else { 0.0 };
        let pairs = n * p + n * (n + 1.0) / 2.0;
        Duration::from_nanos_f64(whole * step(f64::from(chunk)) + last + pairs * self.ns_per_pair)
    }
}

/// Estimated times of a worker that decodes: its steps, and the KV transfer from a prefill worker,
/// which is 0 where there is none.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeCost {
    /// Nanoseconds of a step with one sequence and no context.
    pub step_ns: f64,
    /// Nanoseconds more for each further sequence.
    pub ns_per_seq: f64,
    /// Nanoseconds more for each token of context.
    pub ns_per_context_token: f64,
    /// Nanoseconds before the first byte of the KV transfer from the prefill worker arrives.
    pub kv_transfer_latency_ns: f64,
    /// Nanoseconds of the KV transfer for each prompt token.
    pub kv_transfer_ns_per_token: f64,
}

impl DecodeCost {
    /// The time of a step that decodes `seqs` sequences with `context` tokens of context in all.
    pub fn step(&self, seqs: u32, context: u64) -> Duration {
        let more = f64::from(seqs.saturating_sub(1)) * self.ns_per_seq;
        Duration::from_nanos_f64(self.step_ns + more + context as f64 * self.ns_per_context_token)
    }

    /// The time of the KV transfer of `tokens` prompt tokens.
    pub fn kv_transfer(&self, tokens: u32) -> Duration {
        Duration::from_nanos_f64(
            self.kv_transfer_latency_ns + f64::from(tokens) * self.kv_transfer_ns_per_token,
        )
    }
}

/// The time to fetch blocks from a pool or a peer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchCost {
    /// Nanoseconds before the first byte arrives.
    pub latency_ns: f64,
    /// Nanoseconds for each block.
    pub ns_per_block: f64,
}

impl FetchCost {
    /// The time to fetch `blocks` blocks, when the link is free.
    pub fn estimate(&self, blocks: u32) -> Duration {
        Duration::from_nanos_f64(self.latency_ns + f64::from(blocks) * self.ns_per_block)
    }
}

/// The time to load blocks from one of a worker's own tiers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierCost {
    /// The tier.
    pub tier: TierId,
    /// Nanoseconds before the first byte arrives.
    pub latency_ns: f64,
    /// Nanoseconds for each block.
    pub load_ns_per_block: f64,
}
