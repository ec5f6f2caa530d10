//! All that crosses from a worker to a router: who it is, what it holds, how busy it is.

use crate::block::BlockRun;
use crate::id::{MAX_TIERS, SourceId, TierId, WorkerId};
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// A change of what a source holds. Blocks are stored below blocks that the source holds already.
#[derive(Clone, PartialEq, Debug)]
pub enum KvEvent {
    Stored { tier: TierId, run: BlockRun },
    Removed { tier: TierId, run: BlockRun },
    Cleared,
}

/// The changes of one engine step. `seq` counts batches from 1 within an epoch; a restart begins
/// a new epoch.
#[derive(Clone, PartialEq, Debug)]
pub struct KvBatch {
    pub source: SourceId,
    pub epoch: u64,
    pub seq: u64,
    pub events: Vec<KvEvent>,
}

/// All a source holds as of `seq`, parents before children.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    pub source: SourceId,
    pub epoch: u64,
    pub seq: u64,
    pub runs: Vec<(TierId, BlockRun)>,
}

/// A summary of the set of (tier, block) pairs that a source holds. Order does not matter, so two
/// sides that hold the same set agree however they came by it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Digest {
    pub blocks: u64,
    pub xor: u64,
}

impl Digest {
    pub fn add(&mut self, tier: TierId, run: &BlockRun) {
        for hash in run.hashes() {
            let bits = hash.to_wire();
            let folded = (bits >> 64) as u64 ^ bits as u64;
            self.xor ^= crate::rng::mix64(folded ^ (u64::from(tier.0) << 56));
            self.blocks += 1;
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    pub worker: WorkerId,
    pub epoch: u64,
    /// The last batch this report takes into account.
    pub seq: u64,
    pub waiting: u32,
    pub running: u32,
    /// Prompt tokens that are still to be computed.
    pub queued_prefill_tokens: u64,
    pub blocks_by_tier: [u64; MAX_TIERS],
    /// None where nobody checks it (virtual time compares the sets themselves).
    pub digest: Option<Digest>,
}

/// What a worker says of itself when a router meets it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerInfo {
    pub worker: WorkerId,
    pub epoch: u64,
    pub block_size: u32,
    /// None: without limit.
    pub total_blocks: Option<u64>,
    pub max_num_seqs: u32,
    pub prefill: PrefillCost,
    /// How long one block takes to come back from each tier behind HBM, without waiting.
    pub tiers: Vec<TierCost>,
    /// The same for a pool that the fleet shares; None: it uses none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<FetchCost>,
    /// And for the memory of peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<FetchCost>,
    #[serde(default, skip_serializing_if = "Role::is_both")]
    pub role: Role,
    /// What answering costs a worker that does nothing else. None: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<DecodeCost>,
}

/// What of a request a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Computes prompts, whose KV goes to a worker that decodes.
    Prefill,
    /// Answers what others have computed.
    Decode,
    #[default]
    Both,
}

impl Role {
    pub const fn is_both(&self) -> bool {
        matches!(self, Self::Both)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Both => "both",
        }
    }
}

impl WorkerInfo {
    /// How many of a prompt's tokens so many blocks by tier cover. Never more than there are, since
    /// the blocks may come from a record that somebody changed.
    pub fn covered(&self, tokens: u32, by_tier: &[u32; MAX_TIERS]) -> u32 {
        let blocks = by_tier.iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks));
        blocks.saturating_mul(self.block_size).min(tokens)
    }
}

/// What it costs a worker to compute a prompt, so that a router can speak in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillCost {
    /// For each step, and a prompt takes one per `chunk_tokens`.
    pub step_ns: f64,
    /// The least that a step's tokens and `step_ns` come to: the weights are read even for one token.
    #[serde(default)]
    pub floor_ns: f64,
    pub chunk_tokens: u32,
    pub ns_per_token: f64,
    /// For each pair of a new token and one it attends to.
    pub ns_per_pair: f64,
}

impl PrefillCost {
    /// The time to compute the last `new` tokens of a prompt whose first `cached` are there.
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

/// What it costs a worker to answer a prompt that another has computed.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeCost {
    /// A step with one sequence and no context.
    pub step_ns: f64,
    /// More for each further sequence.
    pub ns_per_seq: f64,
    /// More for each token of context that is read.
    pub ns_per_context_token: f64,
    /// The way of a prompt's KV from the worker that computed it.
    pub handover_latency_ns: f64,
    pub handover_ns_per_token: f64,
}

impl DecodeCost {
    /// A step in which so many sequences decode, over so many tokens of context in all.
    pub fn step(&self, seqs: u32, context: u64) -> Duration {
        let more = f64::from(seqs.saturating_sub(1)) * self.ns_per_seq;
        Duration::from_nanos_f64(self.step_ns + more + context as f64 * self.ns_per_context_token)
    }

    /// Until so many tokens of KV are here.
    pub fn handover(&self, tokens: u32) -> Duration {
        Duration::from_nanos_f64(
            self.handover_latency_ns + f64::from(tokens) * self.handover_ns_per_token,
        )
    }
}

/// What it takes to fetch from another source.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchCost {
    pub latency_ns: f64,
    pub ns_per_block: f64,
}

impl FetchCost {
    pub fn estimate(&self, blocks: u32) -> Duration {
        Duration::from_nanos_f64(self.latency_ns + f64::from(blocks) * self.ns_per_block)
    }
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierCost {
    pub tier: TierId,
    pub latency_ns: f64,
    pub load_ns_per_block: f64,
}
