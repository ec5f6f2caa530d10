//! One tier: its room, what leaves it first, and the links to and from it.

use super::eviction::{Eviction, EvictionRule, Idle};
use crate::engine::profile::{Fill, Loads, Profile, TierSpec};
use crate::id::TransferId;
use crate::link::FairLink;
use crate::time::{Duration, Instant};
use serde::Serialize;

/// How much may wait to be written to a tier. What would wait longer is not written: a cache that
/// falls behind sheds.
const LONGEST_BACKLOG: Duration = Duration::from_millis(1_000);

/// What has crossed a tier's links since the engine began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Traffic {
    pub loaded_blocks: u64,
    pub stored_blocks: u64,
    /// Blocks that were turned away for the backlog, or for want of room that nobody holds.
    pub shed_blocks: u64,
    /// Time in which at least one load was under way.
    pub loading: Duration,
}

#[derive(Debug)]
pub(super) struct Tier {
    /// In blocks; None: without limit.
    pub capacity: Option<u64>,
    /// Blocks with a name.
    pub resident: u64,
    /// Of those, blocks that nobody holds.
    pub idle: u64,
    /// Empty until something had to leave for the first time: many a pool is never full.
    pub order: Box<dyn Eviction>,
    pub was_full: bool,
    pub fill: Fill,
    pub loads: Loads,
    pub link: FairLink<TransferId>,
    pub latency: Duration,
    pub load_ns_per_block: f64,
    store_ns_per_block: f64,
    /// When all that waits to be written is written.
    written_at: Instant,
    pub traffic: Traffic,
}

impl Tier {
    /// Room alone, without links.
    pub fn room(capacity: Option<u64>, eviction: EvictionRule, block_size: u32) -> Self {
        Self {
            capacity,
            resident: 0,
            idle: 0,
            order: eviction.build(capacity, block_size),
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

    pub fn over(&self) -> u64 {
        self.resident.saturating_sub(self.capacity.unwrap_or(u64::MAX))
    }

    pub fn put(&mut self, run: Idle) {
        self.idle += u64::from(run.blocks);
        if self.was_full {
            self.order.put(run);
        }
    }

    pub fn take(&mut self, run: &Idle) {
        self.idle -= u64::from(run.blocks);
        if self.was_full {
            self.order.take(run);
        }
    }

    /// Whether it wants, fits and keeps up with copies of new blocks.
    pub fn takes_copy(&self, now: Instant, blocks: u32) -> bool {
        let held = self.resident - self.idle + u64::from(blocks);
        let fits = self.capacity.is_none_or(|capacity| held <= capacity);
        self.fill == Fill::WriteThrough && fits && self.keeps_up(now)
    }

    pub fn keeps_up(&self, now: Instant) -> bool {
        self.written_at.since(now) < LONGEST_BACKLOG
    }

    /// Books the writing of so many blocks, and says when they are there.
    pub fn write(&mut self, now: Instant, blocks: u32) -> Instant {
        self.traffic.stored_blocks += u64::from(blocks);
        let span = Duration::from_nanos_f64(f64::from(blocks) * self.store_ns_per_block);
        self.written_at = self.written_at.max(now) + span;
        self.written_at
    }

    /// Nanoseconds until so many blocks would be here.
    pub fn load_estimate(&self, now: Instant, blocks: u32) -> f64 {
        let work = f64::from(blocks) * self.load_ns_per_block;
        self.link.estimate(now, work) + self.latency.as_nanos() as f64
    }
}
