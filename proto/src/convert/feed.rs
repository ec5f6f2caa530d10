//! The messages of a feed after its hello: batches, snapshots and load reports.

use super::digest::{digest_from_wire, digest_to_wire};
use super::error::DecodeError;
use super::runs::{run_from_wire, run_to_wire};
use crate::v1::{self, WatchResponse, kv_event, watch_response};
use warmpath_core::block::BlockRun;
use warmpath_core::event::{KvBatch, KvEvent, LoadReport, Snapshot};
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::runs::anchor_above;

/// Blocks in one chunk of a snapshot: 512 KiB of hashes.
const CHUNK_BLOCKS: u32 = 32_768;

/// Wraps a message of the feed.
pub fn response(message: watch_response::Message) -> WatchResponse {
    WatchResponse { message: Some(message) }
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
            let part = BlockRun { chain: run.chain.clone(), start, end };
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
        blocks_in_use: report.blocks_in_use,
        digest: report.digest.map(digest_to_wire),
    }
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
        blocks_in_use: report.blocks_in_use,
        digest: report.digest.as_ref().map(digest_from_wire),
    })
}
