//! One tier: its room, its eviction order, and the links to and from HBM.

use super::eviction::{self, Eviction, EvictionRule, Idle};
use crate::engine::profile::{Fill, Loads, Profile, TierSpec};
use crate::id::TransferId;
use crate::link::FairLink;
use crate::time::{Duration, Instant};
use serde::Serialize;

/// The longest backlog of writes to a tier. A write beyond it is dropped.
const LONGEST_BACKLOG: Duration = Duration::from_millis(1_000);

/// Blocks that have moved between a tier and HBM since the engine started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Traffic {
    /// Blocks loaded to HBM.
    pub loaded_blocks: u64,
    /// Blocks written to the tier.
    pub stored_blocks: u64,
    /// Blocks that were not written, because the backlog was too long or all room was pinned.
    pub shed_blocks: u64,
    /// Time with at least one load under way.
    pub loading: Duration,
}

/// One tier of a store.
#[derive(Debug)]
pub(super) struct Tier {
    /// In blocks; None: no limit.
    pub capacity: Option<u64>,
    /// Named blocks.
    pub resident: u64,
    /// The part of them that no lease holds.
    pub idle: u64,
    /// The eviction order. Empty until the tier is full for the first time, which many never are.
    pub order: Box<dyn Eviction>,
    pub was_full: bool,
    pub fill: Fill,
    pub loads: Loads,
    pub link: FairLink<TransferId>,
    pub latency: Duration,
    pub load_ns_per_block: f64,
    store_ns_per_block: f64,
    /// When all queued writes are done.
    written_at: Instant,
    pub traffic: Traffic,
}

impl Tier {
    /// A memory without links, of `capacity` blocks.
    pub fn room(capacity: Option<u64>, eviction: EvictionRule, block_size: u32) -> Self {
        Self {
            capacity,
            resident: 0,
            idle: 0,
            order: eviction::build(eviction, capacity, block_size),
            was_full: false,
            fill: Fill::Spill,
            loads: Loads::Always,
            link: FairLink::default(),
            latency: Duration::ZERO,
            load_ns_per_block: 0.0,
            store_ns_per_block: 0.0,
            written_at: Instant::START,
            traffic: Traffic::default(),
        }
    }

    /// A tier behind HBM.
    pub fn behind(spec: &TierSpec, profile: &Profile) -> Self {
        let block_size = profile.block_size;
        let capacity = Some(spec.tokens / u64::from(block_size));
        let begin = profile.begin_ns_per_block(spec);
        Self {
            fill: spec.fill,
            loads: spec.loads,
            latency: Duration::from_nanos_f64(spec.latency_us * 1e3),
            load_ns_per_block: profile.block_bytes() / spec.load_gb_s + begin,
            store_ns_per_block: profile.block_bytes() / spec.store_gb_s + begin,
            ..Self::room(capacity, spec.eviction, block_size)
        }
    }

    /// Blocks above the capacity.
    pub fn over(&self) -> u64 {
        self.resident.saturating_sub(self.capacity.unwrap_or(u64::MAX))
    }

    /// Adds a run that no lease holds to the order.
    pub fn put(&mut self, run: Idle) {
        self.idle += u64::from(run.blocks);
        if self.was_full {
            self.order.put(run);
        }
    }

    /// Removes a run from the order.
    pub fn take(&mut self, run: &Idle) {
        self.idle -= u64::from(run.blocks);
        if self.was_full {
            self.order.take(run);
        }
    }

    /// Whether the tier takes copies of `blocks` new blocks: it is written through, they fit, and
    /// its writes are not behind.
    pub fn takes_copy(&self, now: Instant, blocks: u32) -> bool {
        let held = self.resident - self.idle + u64::from(blocks);
        let fits = self.capacity.is_none_or(|capacity| held <= capacity);
        self.fill == Fill::WriteThrough && fits && self.keeps_up(now)
    }

    /// Whether the backlog of writes is short enough for more.
    pub fn keeps_up(&self, now: Instant) -> bool {
        self.written_at.since(now) < LONGEST_BACKLOG
    }

    /// Queues a write of `blocks` blocks. Returns when it is done.
    pub fn write(&mut self, now: Instant, blocks: u32) -> Instant {
        self.traffic.stored_blocks += u64::from(blocks);
        let span = Duration::from_nanos_f64(f64::from(blocks) * self.store_ns_per_block);
        self.written_at = self.written_at.max(now) + span;
        self.written_at
    }

    /// Nanoseconds to load `blocks` blocks from now.
    pub fn load_estimate(&self, now: Instant, blocks: u32) -> f64 {
        let work = f64::from(blocks) * self.load_ns_per_block;
        self.link.estimate(now, work) + self.latency.as_nanos() as f64
    }
}
