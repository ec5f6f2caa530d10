//! A shared pool of KV blocks that all workers of a group can fetch.
//!
//! A pool has room, an eviction rule, and a network that its users share fairly. Workers put blocks
//! into it ([`Pool::put`]) and fetch them ([`Pool::get`]). It announces its contents in the same
//! batches of events as a worker, so a router follows both in the same way. The pool alone times
//! what it sends.

use crate::block::{BlockRun, TokenBlocks};
use crate::engine::store::eviction::EvictionRule;
use crate::engine::store::{BlockStore, Lease, NoRoom};
use crate::engine::{FetchError, FetchKey};
use crate::event::{Digest, KvBatch, Snapshot};
use crate::id::{MAX_TIERS, PoolId, SourceId, TenantId};
use crate::link::FairLink;
use crate::request::Owner;
use crate::runs::Tally;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The size and speed of a pool, as in a scenario file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Room, in tokens of the workers' model.
    pub tokens: u64,
    /// Bandwidth out of the pool in GB/s (10^9 bytes), shared by all fetches under way.
    pub gb_s: f64,
    /// Bandwidth into the pool, in GB/s.
    pub store_gb_s: f64,
    /// Which blocks leave first.
    pub eviction: EvictionRule,
    /// The part of the room that each tenant is guaranteed, more than 0 and at most 1. None: no
    /// guarantee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_quota: Option<f64>,
}

/// A field of a pool that is out of range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct PoolError {
    /// The field.
    pub field: &'static str,
    /// The value, and what was expected.
    pub why: String,
}

impl PoolSpec {
    /// Checks all values.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self, block_size: u32) -> Result<(), PoolError> {
        let err = |field, why: String| Err(PoolError { field, why });
        if self.tokens < u64::from(block_size) {
            let why = format!("{}, expected at least one block of {block_size}", self.tokens);
            return err("tokens", why);
        }
        for (field, rate) in [("gb_s", self.gb_s), ("store_gb_s", self.store_gb_s)] {
            if !(rate > 0.0 && rate.is_finite()) {
                return err(field, format!("{rate}, expected more than 0"));
            }
        }
        match self.tenant_quota {
            Some(share) if !(share > 0.0 && share <= 1.0) => {
                let why = format!("{share}, expected a share of the room: more than 0, at most 1");
                err("tenant_quota", why)
            }
            Some(share) if self.share_of(block_size, share) == 0 => {
                let why = format!("{share}, expected at least one block of {block_size}");
                err("tenant_quota", why)
            }
            _ => Ok(()),
        }
    }

    /// A part of the room, in blocks.
    fn share_of(&self, block_size: u32, share: f64) -> u64 {
        ((self.tokens / u64::from(block_size)) as f64 * share) as u64
    }
}

/// A result of [`Pool::step`].
#[derive(Clone, Debug)]
pub enum PoolOutput {
    /// The blocks of a fetch have left.
    Sent {
        /// When.
        at: Instant,
        /// The fetch.
        key: FetchKey,
    },
    /// The contents changed.
    Kv {
        /// When.
        at: Instant,
        /// The changes since the previous batch.
        batch: KvBatch,
    },
}

/// Counts since the pool started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct PoolStats {
    /// Blocks sent to workers.
    pub sent_blocks: u64,
    /// New blocks stored.
    pub stored_blocks: u64,
    /// Blocks put that were stored already, because another worker was first.
    pub known_blocks: u64,
    /// Blocks put that had no room, or came faster than they could be written.
    pub refused_blocks: u64,
    /// Fetches of blocks that had been evicted.
    pub missing: u64,
    /// Time with at least one fetch under way.
    pub sending: Duration,
}

impl core::ops::Add for PoolStats {
    type Output = Self;

    /// Sums the counts before and after a restart.
    fn add(self, other: Self) -> Self {
        Self {
            sent_blocks: self.sent_blocks + other.sent_blocks,
            stored_blocks: self.stored_blocks + other.stored_blocks,
            known_blocks: self.known_blocks + other.known_blocks,
            refused_blocks: self.refused_blocks + other.refused_blocks,
            missing: self.missing + other.missing,
            sending: self.sending + other.sending,
        }
    }
}

/// The longest backlog of writes. A put beyond it is refused.
const LONGEST_BACKLOG: Duration = Duration::from_millis(1_000);

/// A shared pool of KV blocks.
#[derive(Debug)]
pub struct Pool {
    id: PoolId,
    epoch: u64,
    seq: u64,
    store: BlockStore,
    has_quota: bool,
    link: FairLink<FetchKey>,
    send_ns_per_block: f64,
    /// Factor on the time to send, at least 1.
    slowness: f64,
    store_ns_per_block: f64,
    /// Blocks being written, with the time at which they are stored and their owner. In order of
    /// time.
    writing: VecDeque<(Instant, BlockRun, Option<Owner>)>,
    written_at: Instant,
    sending: BTreeMap<FetchKey, Lease>,
    stats: PoolStats,
}

impl Pool {
    /// An empty pool. `block_bytes`: size of a block of `block_size` tokens. `user_gb_s`: bandwidth
    /// of each user's own link to the pool.
    ///
    /// # Errors
    /// If a value of `spec` is out of range.
    pub fn new(
        id: PoolId,
        spec: &PoolSpec,
        block_size: u32,
        block_bytes: f64,
        user_gb_s: f64,
    ) -> Result<Self, PoolError> {
        spec.check(block_size)?;
        let blocks = spec.tokens / u64::from(block_size);
        let store = BlockStore::flat(blocks, spec.eviction, block_size);
        let store = match spec.tenant_quota {
            Some(share) => store.with_quota(spec.share_of(block_size, share)),
            None => store,
        };
        Ok(Self {
            id,
            epoch: 1,
            seq: 0,
            store,
            has_quota: spec.tenant_quota.is_some(),
            link: FairLink::filled_by(spec.gb_s / user_gb_s),
            send_ns_per_block: block_bytes / spec.gb_s,
            slowness: 1.0,
            store_ns_per_block: block_bytes / spec.store_gb_s,
            writing: VecDeque::new(),
            written_at: Instant::START,
            sending: BTreeMap::new(),
            stats: PoolStats::default(),
        })
    }

    /// Sets the epoch, which must grow with each restart. It is 1 at first.
    #[must_use]
    pub fn with_epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Puts blocks without an owner into the pool.
    pub fn put(&mut self, now: Instant, run: &BlockRun) {
        self.put_of(now, run, None);
    }

    /// Puts blocks with their owner into the pool. Stored blocks are not written again. Blocks
    /// before `run` on its path are written too if they are missing, because no prompt could use
    /// `run` without them.
    pub fn put_of(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        let known = self.known(run);
        self.stats.known_blocks += u64::from(known.max(run.start) - run.start);
        if known >= run.end {
            return;
        }
        let rest = BlockRun { chain: run.chain.clone(), start: known, end: run.end };
        if self.written_at.since(now) > LONGEST_BACKLOG {
            self.stats.refused_blocks += u64::from(rest.len());
            return;
        }
        let span = Duration::from_nanos_f64(f64::from(rest.len()) * self.store_ns_per_block);
        self.written_at = self.written_at.max(now) + span;
        self.writing.push_back((self.written_at, rest, owner));
    }

    /// How many blocks of a run's path are stored or being written.
    fn known(&self, run: &BlockRun) -> u32 {
        let mut known = self.store.present(run);
        loop {
            let further = |(_, queued, _): &(Instant, BlockRun, Option<Owner>)| {
                let end = queued.end.min(run.end);
                let follows = queued.start <= known && known < end;
                follows.then(|| queued.chain.agree_until(&run.chain, known, end))
            };
            match self.writing.iter().filter_map(further).max().filter(|&end| end > known) {
                Some(end) => known = end,
                None => return known,
            }
        }
    }

    /// Starts a fetch. The pool holds the blocks until a [`PoolOutput::Sent`] reports that they
    /// have left.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if any of the blocks is not stored.
    pub fn get(&mut self, now: Instant, key: FetchKey, run: &BlockRun) -> Result<(), FetchError> {
        let Some(lease) = self.store.lease_run(run) else {
            self.stats.missing += 1;
            return Err(FetchError::Missing);
        };
        self.stats.sent_blocks += u64::from(run.len());
        self.link.start(now, key, f64::from(run.len()) * self.send_ns_per_block);
        self.sending.insert(key, lease);
        Ok(())
    }

    /// Nanoseconds to send a block in one more fetch, if those under way continue.
    pub fn ns_per_block(&self) -> f64 {
        self.send_ns_per_block * self.slowness * (self.sending.len() + 1) as f64
    }

    /// Multiplies the time to send from `now` on by `slowness`. For fault injection.
    pub fn set_slowness(&mut self, now: Instant, slowness: f64) {
        self.link.set_slowness(now, slowness);
        self.slowness = slowness;
    }

    /// The fetches under way.
    pub fn gets(&self) -> impl Iterator<Item = FetchKey> {
        self.sending.keys().copied()
    }

    /// How many blocks of a prompt are stored, from its start.
    pub fn holds(&self, prompt: &TokenBlocks) -> u32 {
        let end = prompt.reusable_blocks();
        self.present(&BlockRun { chain: prompt.chain().clone(), start: 0, end })
    }

    /// How many blocks of a run's path are stored, from the start of its chain.
    pub fn present(&self, run: &BlockRun) -> u32 {
        self.store.present(run)
    }

    /// The pool's id among the sources of blocks.
    pub fn source(&self) -> SourceId {
        self.id.into()
    }

    /// Stored blocks.
    pub fn blocks(&self) -> u64 {
        self.store.blocks_by_tier()[0]
    }

    /// Number of fetches under way.
    pub fn sending(&self) -> usize {
        self.sending.len()
    }

    /// A digest of the contents as of the last batch.
    pub fn digest(&self) -> Digest {
        self.store.digest()
    }

    /// Epoch and sequence number of the last batch.
    pub const fn position(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }

    /// When to call [`Pool::step`] next; None while there is nothing to do.
    pub fn next_wake(&self) -> Option<Instant> {
        let written = self.writing.front().map(|&(at, ..)| at);
        [written, self.link.next_end()].into_iter().flatten().min()
    }

    /// Does all work that is due by `now`, and appends its results to `out`.
    pub fn step(&mut self, now: Instant, out: &mut Vec<PoolOutput>) {
        while let Some(due) = self.next_wake().filter(|&due| due <= now) {
            while let Some((_, run, owner)) = self.writing.pop_front_if(|(at, ..)| *at <= due) {
                self.keep(due, &run, owner);
            }
            while let Some((at, key)) = self.link.pop_ended(due) {
                self.store
                    .release(self.sending.remove(&key).expect("the lease of a fetch under way"));
                out.push(PoolOutput::Sent { at, key });
            }
            if self.store.has_events() {
                self.seq += 1;
                let (source, epoch, seq) = (self.id.into(), self.epoch, self.seq);
                let events = self.store.take_events();
                out.push(PoolOutput::Kv { at: due, batch: KvBatch { source, epoch, seq, events } });
            }
        }
    }

    fn keep(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        if self.has_quota {
            return self.keep_of(now, run, owner);
        }
        match self.store.keep(now, run) {
            Ok(new) => self.stats.stored_blocks += u64::from(new),
            Err(NoRoom) => {
                self.stats.refused_blocks += u64::from(run.end - self.store.present(run));
            }
        }
    }

    /// Stores a run in a pool with quotas. Its public blocks have no owner, the rest belongs to the
    /// tenant.
    fn keep_of(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        let public = owner.map_or(run.end, |owner| owner.public_blocks.min(run.end));
        for (end, owner) in [(public, None), (run.end, owner)] {
            let here = self.store.present(&BlockRun { end, ..run.clone() });
            if here < end {
                let part = BlockRun { chain: run.chain.clone(), start: here, end };
                let new = self.store.keep_of(now, &part, owner).unwrap_or(0);
                self.stats.stored_blocks += u64::from(new);
                if new < part.len() {
                    break;
                }
            }
        }
        self.stats.refused_blocks += u64::from(run.end - self.store.present(run));
    }

    /// Blocks of each tenant that has any; empty without quotas.
    pub fn blocks_by_tenant(&self) -> BTreeMap<TenantId, u64> {
        self.store.blocks_by_tenant()
    }

    /// Counts since the pool started.
    pub fn stats(&self) -> PoolStats {
        PoolStats { sending: self.link.busy(), ..self.stats }
    }

    /// The whole contents as of the last batch.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            source: self.id.into(),
            epoch: self.epoch,
            seq: self.seq,
            runs: self.store.contents(),
        }
    }

    /// A summary of the contents, to compare with a router's index.
    pub fn tallies(&self) -> [Tally; MAX_TIERS] {
        self.store.tallies()
    }

    /// Panics unless the pool is idle, holds no lease, and all its counts are right. For tests.
    pub fn check_at_rest(&self) {
        assert!(self.sending.is_empty() && self.writing.is_empty(), "transfers are left over");
        assert_eq!(self.store.leases(), 0, "an idle pool holds leases");
        if cfg!(debug_assertions) {
            self.store.check();
        }
    }
}
