//! What a worker holds, as SMG's KV events, with the worker's load beside them.

use super::load::engine_load;
use crate::front::grpc::status::of_refusal;
use crate::kv_events::{KvEvents, Numbered, Part};
use crate::worker::WorkerState;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Duration, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use warmpath_core::event::LoadReport;
use warmpath_kv_events::event::{EngineHash, Event, ExtraKey, Removed, Stored, medium};
use warmpath_proto::clock::life;
use warmpath_proto::engine::common::{
    KvBlock, KvBlockExtraKey, KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvCacheEvent,
    KvCacheTier, KvEventBatch, KvSnapshotChunk, kv_block_extra_key::Key, kv_cache_event::Data,
};

/// How often the load is looked at. It is sent if it changed, and else each [`QUIET`] looks.
const LOOK: Duration = Duration::from_millis(200);
const QUIET: u32 = 5;
/// Messages that may wait for a subscriber.
const WAITING: usize = 64;

type Item = Result<KvEventBatch, Status>;

/// The stream of one subscriber. `early`: it takes load records before the first batch.
pub fn subscribe(
    worker: &Arc<WorkerState>,
    events: &KvEvents,
    early: bool,
) -> ReceiverStream<Item> {
    let (sender, receiver) = channel(WAITING);
    let relay = Relay {
        worker: Arc::clone(worker),
        batches: events.follow(),
        out: sender,
        last: if early { Some(0) } else { None },
        samples: 0,
        told: 0,
    };
    // It ends with the subscriber: then nothing can be sent.
    tokio::spawn(relay.run());
    ReceiverStream::new(receiver)
}

struct Relay {
    worker: Arc<WorkerState>,
    batches: Receiver<Arc<Numbered>>,
    out: Sender<Item>,
    /// The number of the last batch sent. None: a load record cannot be numbered yet.
    last: Option<u64>,
    samples: u64,
    /// Events sent so far.
    told: u64,
}

impl Relay {
    async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Option<LoadReport> = None;
        let mut quiet = 0;
        loop {
            let sent = tokio::select! {
                biased;
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.pass_on(&batch).await,
                    None => {
                        let why = "fell too far behind; subscribe again";
                        drop(self.out.send(Err(Status::aborted(why))).await);
                        return;
                    }
                },
                () = self.out.closed() => return,
                _ = looks.tick() => {
                    let report = match self.worker.load().await {
                        Ok(report) => report,
                        Err(refusal) => {
                            drop(self.out.send(Err(of_refusal(refusal))).await);
                            return;
                        }
                    };
                    quiet += 1;
                    let is_same = before.as_ref().is_some_and(|before| is_alike(before, &report));
                    if is_same && quiet < QUIET {
                        continue;
                    }
                    quiet = 0;
                    before = Some(report.clone());
                    self.tell_load(&report).await
                }
            };
            if !sent {
                return;
            }
        }
    }

    /// Returns whether the subscriber is still there.
    async fn pass_on(&mut self, batch: &Numbered) -> bool {
        let first = self.told + 1;
        self.told += batch.events.len() as u64;
        let is_part = batch.part.is_some();
        let number = |(event, at)| numbered(event, if is_part { 0 } else { at });
        let message = KvEventBatch {
            sequence_number: batch.number,
            timestamp: batch.ts,
            events: batch.events.iter().zip(first..).map(number).collect(),
            dp_rank: Some(0),
            snapshot: batch.part.map(|Part { index, count, blocks }| KvSnapshotChunk {
                index,
                count,
                blocks,
                unknown_before: 0,
            }),
            load: None,
        };
        self.last = Some(batch.number);
        self.out.send(Ok(message)).await.is_ok()
    }

    async fn tell_load(&mut self, report: &LoadReport) -> bool {
        let Some(last) = self.last else { return true };
        let mut load = engine_load(&self.worker.config, report, self.samples);
        load.load_only = true;
        self.samples += 1;
        let timestamp = life() as f64 / 1e9;
        let message = KvEventBatch {
            sequence_number: last,
            timestamp,
            dp_rank: Some(0),
            load: Some(load),
            ..Default::default()
        };
        self.out.send(Ok(message)).await.is_ok()
    }
}

/// Whether a subscriber would read the same.
fn is_alike(one: &LoadReport, other: &LoadReport) -> bool {
    let told = |report: &LoadReport| {
        (report.running, report.waiting, report.queued_prefill_tokens, report.blocks_in_use)
    };
    told(one) == told(other)
}

fn numbered(event: &Event, event_id: u64) -> KvCacheEvent {
    let data = match event {
        Event::Stored(stored) => Data::Stored(of_stored(stored)),
        Event::Removed(removed) => Data::Removed(of_removed(removed)),
        Event::Cleared => Data::Cleared(KvCacheCleared {}),
    };
    KvCacheEvent { event_id, data: Some(data) }
}

fn of_stored(stored: &Stored) -> KvBlocksStored {
    let (tier, level) = place(stored.medium.as_deref());
    let keys = stored.extra_keys.as_deref().unwrap_or_default();
    let tokens = stored.token_ids.chunks(stored.block_size.max(1) as usize);
    let block = |(place, (hash, tokens)): (usize, (&EngineHash, &[u32]))| KvBlock {
        block_hash: short(hash),
        token_ids: tokens.to_vec(),
        block_size: stored.block_size as i32,
        cache_level: Some(level),
        extra_keys: keys
            .get(place)
            .and_then(Option::as_ref)
            .map_or_else(Vec::new, |keys| texts_of(keys)),
    };
    KvBlocksStored {
        blocks: stored.hashes.iter().zip(tokens).enumerate().map(block).collect(),
        parent_block_hash: stored.parent.as_ref().map(short),
        tier: Some(tier.into()),
        medium: stored.medium.clone(),
    }
}

/// A salt of a block. The empty salt is none.
fn texts_of(keys: &[ExtraKey]) -> Vec<KvBlockExtraKey> {
    let text = |key: &ExtraKey| match key {
        ExtraKey::Text(text) if !text.is_empty() => {
            Some(KvBlockExtraKey { key: Some(Key::Text(text.clone())) })
        }
        _ => None,
    };
    keys.iter().filter_map(text).collect()
}

fn of_removed(removed: &Removed) -> KvBlocksRemoved {
    let (tier, level) = place(removed.medium.as_deref());
    KvBlocksRemoved {
        block_hashes: removed.hashes.iter().map(short).collect(),
        cache_level: Some(level),
        tier: Some(tier.into()),
        medium: removed.medium.clone(),
    }
}

/// The tier of a medium, and its number for older readers.
fn place(name: Option<&str>) -> (KvCacheTier, i32) {
    match name {
        Some(medium::CPU) => (KvCacheTier::Host, 1),
        Some(medium::STORAGE) => (KvCacheTier::Disk, 2),
        _ => (KvCacheTier::Device, 0),
    }
}

/// A block's name in 64 bits: of a longer one the first.
fn short(hash: &EngineHash) -> i64 {
    match hash {
        EngineHash::Int(hash) => *hash as i64,
        EngineHash::Bytes(bytes) => {
            let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
            i64::from_be_bytes(first)
        }
    }
}
