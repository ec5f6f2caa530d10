//! Conversion between messages and core types. Only this module and the services that send and
//! receive messages use generated types.
//!
//! The reader passes in the source's id, because a worker does not know its number in the router.

use crate::v1::{self, kv_event, watch_response};
use crate::{HASH_SCHEME, v1::WatchResponse};
use std::sync::Arc;
use warmpath_core::block::{BlockHash, BlockRun, Chain};
use warmpath_core::event::{
    DecodeCost, Digest, FetchCost, KvBatch, KvEvent, LoadReport, PrefillCost, Role, Snapshot,
    TierCost, WorkerInfo,
};
use warmpath_core::id::{MAX_TIERS, SourceId, TierId, WorkerId};
use warmpath_core::runs::anchor_above;

const HASH_BYTES: usize = 16;
/// Blocks in one chunk of a snapshot: 512 KiB of hashes.
const CHUNK_BLOCKS: u32 = 32_768;

/// A message with an invalid field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The worker's role is unknown.
    #[error("role: {0}, expected 0 to 2")]
    Role(i32),
    /// A tier's number is too high.
    #[error("tier: {tier}, expected 0 to {}", MAX_TIERS - 1)]
    Tier {
        /// The number that was sent.
        tier: u32,
    },
    /// A list of hashes has a wrong length.
    #[error("hashes: {bytes} bytes, expected a multiple of {HASH_BYTES} above 0")]
    Hashes {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The hashes of a run do not start at its anchor.
    #[error("base: {base} for a run from block {start}, expected {expected}")]
    Base {
        /// The first block of the run.
        start: u32,
        /// The first block with a hash.
        base: u32,
        /// The anchor of the run.
        expected: u32,
    },
    /// The hashes of a run end before its first block.
    #[error("start: {start} with hashes up to block {end}, expected a smaller start")]
    Start {
        /// The first block of the run.
        start: u32,
        /// The block after the last hash.
        end: u64,
    },
    /// A run ends after 2^32 tokens.
    #[error("run of {end} blocks of {block_size} tokens, expected at most {} tokens", u32::MAX)]
    TooLong {
        /// The block after the last one.
        end: u64,
        /// Tokens a block.
        block_size: u32,
    },
    /// A load report has a wrong number of tiers.
    #[error("blocks_by_tier: {got} tiers, expected {MAX_TIERS}")]
    Tiers {
        /// The number that was sent.
        got: usize,
    },
    /// A field is missing.
    #[error("{field}: missing, expected a value")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The block size is out of range.
    #[error("block_size: {0}, expected 1 to 65536 tokens")]
    BlockSize(u32),
    /// A chunk does not belong to the chunks before it.
    #[error(
        "snapshot chunk of epoch {got_epoch}, batch {got}, expected epoch {epoch}, batch {seq} as \
         in the chunk before"
    )]
    TornSnapshot {
        /// The epoch of the chunks before.
        epoch: u64,
        /// The batch of the chunks before.
        seq: u64,
        /// The epoch that was sent.
        got_epoch: u64,
        /// The batch that was sent.
        got: u64,
    },
}

/// Wraps a message of the feed.
pub fn response(message: watch_response::Message) -> WatchResponse {
    WatchResponse { message: Some(message) }
}

/// The hashes of blocks `from..to` of a chain.
fn hashes_to_wire(chain: &Chain, from: u32, to: u32) -> Vec<u8> {
    let mut hashes = Vec::with_capacity((to - from) as usize * HASH_BYTES);
    for block in from..to {
        hashes.extend_from_slice(&chain.hash(block).to_wire().to_le_bytes());
    }
    hashes
}

/// The chain with these hashes from block `base` on.
fn chain_from_wire(block_size: u32, base: u32, hashes: &[u8]) -> Result<Arc<Chain>, DecodeError> {
    if !hashes.len().is_multiple_of(HASH_BYTES) {
        return Err(DecodeError::Hashes { bytes: hashes.len() });
    }
    let end = u64::from(base) + (hashes.len() / HASH_BYTES) as u64;
    if end * u64::from(block_size) > u64::from(u32::MAX) {
        return Err(DecodeError::TooLong { end, block_size });
    }
    let named = hashes.chunks_exact(HASH_BYTES).map(|bytes| {
        let bits = bytes.iter().rev().fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
        BlockHash::from_wire(bits)
    });
    Ok(Arc::new(Chain::from_wire(block_size, base, named.collect())))
}

/// Encodes a run. Its chain must have the hashes from the anchor above the run on, as the chains of a
/// worker do.
pub fn run_to_wire(tier: TierId, run: &BlockRun) -> v1::Run {
    let base = anchor_above(run.start);
    let hashes = hashes_to_wire(&run.chain, base, run.end);
    v1::Run { tier: u32::from(tier.0), start: run.start, base, hashes }
}

/// Decodes a run of a source with this block size.
pub fn run_from_wire(block_size: u32, run: &v1::Run) -> Result<(TierId, BlockRun), DecodeError> {
    let &v1::Run { tier, start, base, ref hashes } = run;
    if tier as usize >= MAX_TIERS {
        return Err(DecodeError::Tier { tier });
    }
    if hashes.is_empty() || !hashes.len().is_multiple_of(HASH_BYTES) {
        return Err(DecodeError::Hashes { bytes: hashes.len() });
    }
    if base != anchor_above(start) {
        return Err(DecodeError::Base { start, base, expected: anchor_above(start) });
    }
    let end = u64::from(base) + (hashes.len() / HASH_BYTES) as u64;
    if end <= u64::from(start) {
        return Err(DecodeError::Start { start, end });
    }
    let chain = chain_from_wire(block_size, base, hashes)?;
    Ok((TierId(tier as u8), BlockRun { chain, start, end: end as u32 }))
}

/// Encodes a run with all hashes of its text up to its end. Its chain must have all of them.
pub fn stretch_to_wire(run: &BlockRun) -> v1::Stretch {
    v1::Stretch { start: run.start, hashes: hashes_to_wire(&run.chain, 0, run.end) }
}

/// Decodes a run with all hashes of its text.
pub fn stretch_from_wire(block_size: u32, stretch: &v1::Stretch) -> Result<BlockRun, DecodeError> {
    let run = prompt_from_wire(block_size, &stretch.hashes)?;
    if run.end <= stretch.start {
        return Err(DecodeError::Start { start: stretch.start, end: run.end.into() });
    }
    Ok(BlockRun { start: stretch.start, ..run })
}

/// Encodes the hashes of a prompt's first `blocks` blocks.
pub fn prompt_to_wire(chain: &Chain, blocks: u32) -> Vec<u8> {
    hashes_to_wire(chain, 0, blocks)
}

/// Decodes the hashes of a prompt. The run is empty for a prompt without a full block.
pub fn prompt_from_wire(block_size: u32, hashes: &[u8]) -> Result<BlockRun, DecodeError> {
    let chain = chain_from_wire(block_size, 0, hashes)?;
    let end = chain.blocks();
    Ok(BlockRun { chain, start: 0, end })
}

/// The digest by which the receiver of these blocks checks the transfer.
pub fn checksum(run: &BlockRun) -> v1::Digest {
    let mut digest = Digest::default();
    digest.add(TierId::HBM, run);
    digest_to_wire(digest)
}

/// Encodes a batch.
pub fn batch_to_wire(batch: &KvBatch) -> v1::KvBatch {
    let event = |event: &KvEvent| v1::KvEvent {
        event: Some(match event {
            KvEvent::Stored { tier, run } => kv_event::Event::Stored(run_to_wire(*tier, run)),
            KvEvent::Removed { tier, run } => kv_event::Event::Removed(run_to_wire(*tier, run)),
            KvEvent::Cleared => kv_event::Event::Cleared(v1::Cleared {}),
        }),
    };
    let events = batch.events.iter().map(event).collect();
    v1::KvBatch { epoch: batch.epoch, seq: batch.seq, events }
}

/// Decodes a batch of `source`.
pub fn batch_from_wire(
    source: impl Into<SourceId>,
    block_size: u32,
    batch: &v1::KvBatch,
) -> Result<KvBatch, DecodeError> {
    let event = |event: &v1::KvEvent| match &event.event {
        Some(kv_event::Event::Stored(run)) => {
            run_from_wire(block_size, run).map(|(tier, run)| KvEvent::Stored { tier, run })
        }
        Some(kv_event::Event::Removed(run)) => {
            run_from_wire(block_size, run).map(|(tier, run)| KvEvent::Removed { tier, run })
        }
        Some(kv_event::Event::Cleared(_)) => Ok(KvEvent::Cleared),
        None => Err(DecodeError::Missing { field: "event" }),
    };
    let events = batch.events.iter().map(event).collect::<Result<_, _>>()?;
    Ok(KvBatch { source: source.into(), epoch: batch.epoch, seq: batch.seq, events })
}

/// Encodes a snapshot as chunks well below 1 MiB. There is at least one; the last one is marked.
pub fn snapshot_to_wire(snapshot: &Snapshot) -> Vec<v1::SnapshotChunk> {
    let Snapshot { epoch, seq, .. } = *snapshot;
    let mut chunks = Vec::new();
    let (mut runs, mut room) = (Vec::new(), CHUNK_BLOCKS);
    for (tier, run) in &snapshot.runs {
        let mut start = run.start;
        while start < run.end {
            let end = run.end.min(start + room);
            let part = BlockRun { chain: Arc::clone(&run.chain), start, end };
            runs.push(run_to_wire(*tier, &part));
            // A run also carries the hashes from its anchor on, so count them too.
            room = room.saturating_sub(end - anchor_above(start));
            start = end;
            if room == 0 {
                let full = std::mem::take(&mut runs);
                chunks.push(v1::SnapshotChunk { epoch, seq, runs: full, last: false });
                room = CHUNK_BLOCKS;
            }
        }
    }
    chunks.push(v1::SnapshotChunk { epoch, seq, runs, last: true });
    chunks
}

/// Joins the chunks of a snapshot.
#[derive(Debug)]
pub struct SnapshotReader {
    block_size: u32,
    snapshot: Snapshot,
    begun: bool,
}

impl SnapshotReader {
    /// A reader for the snapshots of a source with this block size.
    pub fn new(source: impl Into<SourceId>, block_size: u32) -> Self {
        let snapshot = Snapshot { source: source.into(), epoch: 0, seq: 0, runs: Vec::new() };
        Self { block_size, snapshot, begun: false }
    }

    /// Adds a chunk. After the last chunk, returns the snapshot and starts a new one.
    pub fn push(&mut self, chunk: &v1::SnapshotChunk) -> Result<Option<Snapshot>, DecodeError> {
        let Snapshot { epoch, seq, .. } = self.snapshot;
        if self.begun && (chunk.epoch, chunk.seq) != (epoch, seq) {
            let (got_epoch, got) = (chunk.epoch, chunk.seq);
            return Err(DecodeError::TornSnapshot { epoch, seq, got_epoch, got });
        }
        self.begun = true;
        (self.snapshot.epoch, self.snapshot.seq) = (chunk.epoch, chunk.seq);
        for run in &chunk.runs {
            self.snapshot.runs.push(run_from_wire(self.block_size, run)?);
        }
        if !chunk.last {
            return Ok(None);
        }
        self.begun = false;
        let runs = std::mem::take(&mut self.snapshot.runs);
        Ok(Some(Snapshot { runs, ..self.snapshot.clone() }))
    }
}

/// Encodes a load report.
pub fn load_to_wire(report: &LoadReport) -> v1::LoadReport {
    v1::LoadReport {
        epoch: report.epoch,
        seq: report.seq,
        waiting: report.waiting,
        running: report.running,
        queued_prefill_tokens: report.queued_prefill_tokens,
        blocks_by_tier: report.blocks_by_tier.to_vec(),
        digest: report.digest.map(digest_to_wire),
    }
}

/// Encodes a digest.
pub const fn digest_to_wire(digest: Digest) -> v1::Digest {
    v1::Digest { blocks: digest.blocks, xor: digest.xor }
}

/// Decodes a digest.
pub const fn digest_from_wire(digest: &v1::Digest) -> Digest {
    Digest { blocks: digest.blocks, xor: digest.xor }
}

/// Decodes a load report of `worker`.
pub fn load_from_wire(
    worker: WorkerId,
    report: &v1::LoadReport,
) -> Result<LoadReport, DecodeError> {
    let tiers = report.blocks_by_tier.as_slice();
    Ok(LoadReport {
        worker,
        epoch: report.epoch,
        seq: report.seq,
        waiting: report.waiting,
        running: report.running,
        queued_prefill_tokens: report.queued_prefill_tokens,
        blocks_by_tier: tiers.try_into().map_err(|_| DecodeError::Tiers { got: tiers.len() })?,
        digest: report.digest.as_ref().map(digest_from_wire),
    })
}

/// Encodes a worker's description. `speedup` is in model seconds a wall second.
pub fn hello_to_wire(info: &WorkerInfo, model: &str, speedup: f64) -> v1::Hello {
    let tier = |cost: &TierCost| v1::TierCost {
        tier: u32::from(cost.tier.0),
        latency_ns: cost.latency_ns,
        load_ns_per_block: cost.load_ns_per_block,
    };
    v1::Hello {
        epoch: info.epoch,
        model: model.to_owned(),
        block_size: info.block_size,
        hash_scheme: HASH_SCHEME.to_owned(),
        speedup,
        total_blocks: info.total_blocks,
        max_num_seqs: info.max_num_seqs,
        prefill: Some(v1::PrefillCost {
            step_ns: info.prefill.step_ns,
            floor_ns: info.prefill.floor_ns,
            chunk_tokens: info.prefill.chunk_tokens,
            ns_per_token: info.prefill.ns_per_token,
            ns_per_pair: info.prefill.ns_per_pair,
        }),
        tiers: info.tiers.iter().map(tier).collect(),
        pool: info.pool.map(fetch_cost_to_wire),
        peers: info.peers.map(fetch_cost_to_wire),
        role: role_to_wire(info.role).into(),
        decode: info.decode.map(decode_cost_to_wire),
    }
}

const fn fetch_cost_to_wire(cost: FetchCost) -> v1::FetchCost {
    v1::FetchCost { latency_ns: cost.latency_ns, ns_per_block: cost.ns_per_block }
}

fn fetch_cost_from_wire(cost: &v1::FetchCost) -> FetchCost {
    FetchCost { latency_ns: cost.latency_ns, ns_per_block: cost.ns_per_block }
}

const fn role_to_wire(role: Role) -> v1::Role {
    match role {
        Role::Both => v1::Role::Both,
        Role::Prefill => v1::Role::Prefill,
        Role::Decode => v1::Role::Decode,
    }
}

fn role_from_wire(role: i32) -> Result<Role, DecodeError> {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Both) => Ok(Role::Both),
        Ok(v1::Role::Prefill) => Ok(Role::Prefill),
        Ok(v1::Role::Decode) => Ok(Role::Decode),
        Err(_) => Err(DecodeError::Role(role)),
    }
}

const fn decode_cost_to_wire(cost: DecodeCost) -> v1::DecodeCost {
    v1::DecodeCost {
        step_ns: cost.step_ns,
        ns_per_seq: cost.ns_per_seq,
        ns_per_context_token: cost.ns_per_context_token,
        handover_latency_ns: cost.handover_latency_ns,
        handover_ns_per_token: cost.handover_ns_per_token,
    }
}

const fn decode_cost_from_wire(cost: &v1::DecodeCost) -> DecodeCost {
    DecodeCost {
        step_ns: cost.step_ns,
        ns_per_seq: cost.ns_per_seq,
        ns_per_context_token: cost.ns_per_context_token,
        handover_latency_ns: cost.handover_latency_ns,
        handover_ns_per_token: cost.handover_ns_per_token,
    }
}

/// A pool's description of itself, sent when a router connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolInfo {
    /// The number of the pool's life. It is higher after a restart.
    pub epoch: u64,
    /// Tokens a block.
    pub block_size: u32,
    /// Blocks that fit into the pool.
    pub total_blocks: u64,
}

/// Encodes a pool's description.
pub fn pool_hello_to_wire(info: &PoolInfo, model: &str, speedup: f64) -> v1::Hello {
    v1::Hello {
        epoch: info.epoch,
        model: model.to_owned(),
        block_size: info.block_size,
        hash_scheme: HASH_SCHEME.to_owned(),
        speedup,
        total_blocks: Some(info.total_blocks),
        ..Default::default()
    }
}

/// Checks that the block size is 1 to 65,536 tokens.
pub fn check_block_size(hello: &v1::Hello) -> Result<(), DecodeError> {
    match hello.block_size {
        1..=65_536 => Ok(()),
        other => Err(DecodeError::BlockSize(other)),
    }
}

/// Decodes a worker's description. The caller must compare hash scheme, speedup and model with its
/// own.
pub fn hello_from_wire(worker: WorkerId, hello: &v1::Hello) -> Result<WorkerInfo, DecodeError> {
    check_block_size(hello)?;
    let prefill = hello.prefill.as_ref().ok_or(DecodeError::Missing { field: "prefill" })?;
    let tier = |cost: &v1::TierCost| {
        if cost.tier as usize >= MAX_TIERS {
            return Err(DecodeError::Tier { tier: cost.tier });
        }
        let (latency_ns, load_ns_per_block) = (cost.latency_ns, cost.load_ns_per_block);
        Ok(TierCost { tier: TierId(cost.tier as u8), latency_ns, load_ns_per_block })
    };
    Ok(WorkerInfo {
        worker,
        epoch: hello.epoch,
        block_size: hello.block_size,
        total_blocks: hello.total_blocks,
        max_num_seqs: hello.max_num_seqs,
        prefill: PrefillCost {
            step_ns: prefill.step_ns,
            floor_ns: prefill.floor_ns,
            chunk_tokens: prefill.chunk_tokens,
            ns_per_token: prefill.ns_per_token,
            ns_per_pair: prefill.ns_per_pair,
        },
        tiers: hello.tiers.iter().map(tier).collect::<Result<_, _>>()?,
        pool: hello.pool.as_ref().map(fetch_cost_from_wire),
        peers: hello.peers.as_ref().map(fetch_cost_from_wire),
        role: role_from_wire(hello.role)?,
        decode: hello.decode.as_ref().map(decode_cost_from_wire),
    })
}
