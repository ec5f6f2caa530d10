//! Between the wire's words and the core's. Nothing else knows both; generated types go no further
//! than here and the services that send and receive them.
//!
//! Whoever decodes gives the source, since a worker does not know what number a router gave it.

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

/// A message that can't be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("role {0}, expected 0 to 2")]
    Role(i32),
    #[error("tier {tier}, expected below {MAX_TIERS}")]
    Tier { tier: u32 },
    #[error("{bytes} bytes of hashes, expected a multiple of {HASH_BYTES} above 0")]
    Hashes { bytes: usize },
    #[error("run starts at block {start}, its hashes at {base}, expected at {expected}")]
    Base { start: u32, base: u32, expected: u32 },
    #[error("run starts at block {start}, its hashes end at {end}")]
    Start { start: u32, end: u64 },
    #[error("run ends at block {end} of {block_size} tokens, expected below {} tokens", u32::MAX)]
    TooLong { end: u64, block_size: u32 },
    #[error("{got} tiers reported, expected {MAX_TIERS}")]
    Tiers { got: usize },
    #[error("message has no {field}")]
    Missing { field: &'static str },
    #[error("block size is {0}, expected 1 to 65536 tokens")]
    BlockSize(u32),
    #[error(
        "snapshot chunk of epoch {got_epoch} at batch {got}, the one before of {epoch} at {seq}"
    )]
    TornSnapshot { epoch: u64, seq: u64, got_epoch: u64, got: u64 },
}

/// A message of the feed.
pub fn response(message: watch_response::Message) -> WatchResponse {
    WatchResponse { message: Some(message) }
}

/// The names of blocks `from..to` of a chain.
fn hashes_to_wire(chain: &Chain, from: u32, to: u32) -> Vec<u8> {
    let mut hashes = Vec::with_capacity((to - from) as usize * HASH_BYTES);
    for block in from..to {
        hashes.extend_from_slice(&chain.hash(block).to_wire().to_le_bytes());
    }
    hashes
}

/// The chain whose names from `base` on stand there.
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

/// The run's chain must be known from the anchor above it on, as a worker's own chains are.
pub fn run_to_wire(tier: TierId, run: &BlockRun) -> v1::Run {
    let base = anchor_above(run.start);
    let hashes = hashes_to_wire(&run.chain, base, run.end);
    v1::Run { tier: u32::from(tier.0), start: run.start, base, hashes }
}

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

/// The run's chain must be known from its start.
pub fn stretch_to_wire(run: &BlockRun) -> v1::Stretch {
    v1::Stretch { start: run.start, hashes: hashes_to_wire(&run.chain, 0, run.end) }
}

pub fn stretch_from_wire(block_size: u32, stretch: &v1::Stretch) -> Result<BlockRun, DecodeError> {
    let run = prompt_from_wire(block_size, &stretch.hashes)?;
    if run.end <= stretch.start {
        return Err(DecodeError::Start { start: stretch.start, end: run.end.into() });
    }
    Ok(BlockRun { start: stretch.start, ..run })
}

/// The first `blocks` blocks of a prompt.
pub fn prompt_to_wire(chain: &Chain, blocks: u32) -> Vec<u8> {
    hashes_to_wire(chain, 0, blocks)
}

/// May be empty: a prompt without a full block.
pub fn prompt_from_wire(block_size: u32, hashes: &[u8]) -> Result<BlockRun, DecodeError> {
    let chain = chain_from_wire(block_size, 0, hashes)?;
    let end = chain.blocks();
    Ok(BlockRun { chain, start: 0, end })
}

/// What a transfer of these blocks is checked by.
pub fn checksum(run: &BlockRun) -> v1::Digest {
    let mut digest = Digest::default();
    digest.add(TierId::HBM, run);
    digest_to_wire(digest)
}

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

/// A snapshot in messages well below 1 MiB; one at least, and the last one says so.
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
            // A short run also carries the names back to its anchor.
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

/// A snapshot that arrives chunk by chunk.
#[derive(Debug)]
pub struct SnapshotReader {
    block_size: u32,
    snapshot: Snapshot,
    begun: bool,
}

impl SnapshotReader {
    pub fn new(source: impl Into<SourceId>, block_size: u32) -> Self {
        let snapshot = Snapshot { source: source.into(), epoch: 0, seq: 0, runs: Vec::new() };
        Self { block_size, snapshot, begun: false }
    }

    /// Gives the whole back with the last chunk, and begins anew.
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

pub const fn digest_to_wire(digest: Digest) -> v1::Digest {
    v1::Digest { blocks: digest.blocks, xor: digest.xor }
}

pub const fn digest_from_wire(digest: &v1::Digest) -> Digest {
    Digest { blocks: digest.blocks, xor: digest.xor }
}

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

/// What a pool says of itself when a router meets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolInfo {
    pub epoch: u64,
    pub block_size: u32,
    pub total_blocks: u64,
}

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

pub fn check_block_size(hello: &v1::Hello) -> Result<(), DecodeError> {
    match hello.block_size {
        1..=65_536 => Ok(()),
        other => Err(DecodeError::BlockSize(other)),
    }
}

/// What the hello says of the worker itself; scheme, speedup and model are the reader's to compare.
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
