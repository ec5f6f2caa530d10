//! A context-memory pool: blocks that belong to no worker and that all of a group can have.
//!
//! A pool has room, a rule for what leaves first, and a network that its users share fairly. It is
//! told what to keep ([`Pool::put`]), sends what is asked for ([`Pool::get`]), and says what it holds
//! in the same batches of events as a worker does, so a router follows both alike. It alone times
//! what it sends.

use crate::block::{BlockRun, TokenBlocks};
use crate::engine::store::eviction::EvictionRule;
use crate::engine::store::{BlockStore, Lease, NoRoom};
use crate::engine::{FetchError, LoanKey};
use crate::event::{Digest, KvBatch, Snapshot};
use crate::id::{MAX_TIERS, PoolId, SourceId, TenantId};
use crate::link::FairLink;
use crate::request::Owner;
use crate::runs::Tally;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A pool as a row of numbers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Room, in tokens of the workers' model.
    pub tokens: u64,
    /// Out of it, in GB/s, shared by all that are served at a time.
    pub gb_s: f64,
    /// Into it, in GB/s.
    pub store_gb_s: f64,
    pub eviction: EvictionRule,
    /// The share of the room that each tenant has a right to, more than 0 and at most 1. None: all
    /// of it is anybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_quota: Option<f64>,
}

/// A field of a pool that can't be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct PoolError {
    pub field: &'static str,
    pub why: String,
}

impl PoolSpec {
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

    /// In blocks.
    fn share_of(&self, block_size: u32, share: f64) -> u64 {
        ((self.tokens / u64::from(block_size)) as f64 * share) as u64
    }
}

#[derive(Clone, Debug)]
pub enum PoolOutput {
    /// The blocks of a get have left for who asked.
    Sent {
        at: Instant,
        key: LoanKey,
    },
    Kv {
        at: Instant,
        batch: KvBatch,
    },
}

/// What happened to a pool since it began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct PoolStats {
    pub sent_blocks: u64,
    pub stored_blocks: u64,
    /// Blocks put that it had already: another worker was first.
    pub known_blocks: u64,
    /// Blocks put that came too fast to be written, or for which there was no room.
    pub refused_blocks: u64,
    /// Gets for blocks that were gone.
    pub missing: u64,
    /// Time in which it sent anything.
    pub sending: Duration,
}

impl core::ops::Add for PoolStats {
    type Output = Self;

    /// Of two lives of a pool.
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

/// Writes that may wait before more are refused.
const LONGEST_BACKLOG: Duration = Duration::from_millis(1_000);

#[derive(Debug)]
pub struct Pool {
    id: PoolId,
    epoch: u64,
    seq: u64,
    store: BlockStore,
    has_quota: bool,
    link: FairLink<LoanKey>,
    send_ns_per_block: f64,
    /// How many times slower than that it sends.
    slowness: f64,
    store_ns_per_block: f64,
    /// Blocks on their way in, in order.
    writing: VecDeque<(Instant, BlockRun, Option<Owner>)>,
    written_at: Instant,
    sending: BTreeMap<LoanKey, Lease>,
    stats: PoolStats,
}

impl Pool {
    /// `block_bytes`: of one block of the workers' model; `user_gb_s`: of each user's own link to it.
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

    /// Another life of it: a restart has a higher epoch than the one before. 1 unless told.
    #[must_use]
    pub fn with_epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Blocks of nobody to keep.
    pub fn put(&mut self, now: Instant, run: &BlockRun) {
        self.put_of(now, run, None);
    }

    /// Blocks to keep, and whose they are. What is there already is not written again; what comes before them on their
    /// path and is not there is written too, since nobody could reach them without it.
    pub fn put_of(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        let known = self.known(run);
        self.stats.known_blocks += u64::from(known.max(run.start) - run.start);
        if known >= run.end {
            return;
        }
        let rest = BlockRun { chain: Arc::clone(&run.chain), start: known, end: run.end };
        if self.written_at.since(now) > LONGEST_BACKLOG {
            self.stats.refused_blocks += u64::from(rest.len());
            return;
        }
        let span = Duration::from_nanos_f64(f64::from(rest.len()) * self.store_ns_per_block);
        self.written_at = self.written_at.max(now) + span;
        self.writing.push_back((self.written_at, rest, owner));
    }

    /// How much of a run's path is here or on its way in.
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

    /// Asks for blocks; they are held until they have left, which a [`PoolOutput::Sent`] says.
    pub fn get(&mut self, now: Instant, key: LoanKey, run: &BlockRun) -> Result<(), FetchError> {
        let Some(lease) = self.store.lend(run) else {
            self.stats.missing += 1;
            return Err(FetchError::Missing);
        };
        self.stats.sent_blocks += u64::from(run.len());
        self.link.start(now, key, f64::from(run.len()) * self.send_ns_per_block);
        self.sending.insert(key, lease);
        Ok(())
    }

    /// How fast a block would leave now, in nanoseconds, if what is sent goes on.
    pub fn ns_per_block(&self) -> f64 {
        self.send_ns_per_block * self.slowness * (self.sending.len() + 1) as f64
    }

    /// From now on it sends so many times slower than it could.
    pub fn set_slowness(&mut self, now: Instant, slowness: f64) {
        self.link.set_slowness(now, slowness);
        self.slowness = slowness;
    }

    /// Who waits for blocks.
    pub fn gets(&self) -> impl Iterator<Item = LoanKey> {
        self.sending.keys().copied()
    }

    /// How much of a prompt is here, in blocks from its start.
    pub fn holds(&self, prompt: &TokenBlocks) -> u32 {
        let end = prompt.reusable_blocks();
        self.present(&BlockRun { chain: Arc::clone(prompt.chain()), start: 0, end })
    }

    /// How far the path of a run is here, in blocks from the start of its text.
    pub fn present(&self, run: &BlockRun) -> u32 {
        self.store.present(run)
    }

    pub fn source(&self) -> SourceId {
        self.id.into()
    }

    /// Blocks it holds.
    pub fn blocks(&self) -> u64 {
        self.store.blocks_by_tier()[0]
    }

    /// Gets that are being sent.
    pub fn sending(&self) -> usize {
        self.sending.len()
    }

    /// A summary of what it holds as of the last batch.
    pub fn digest(&self) -> Digest {
        self.store.digest()
    }

    /// The batch that was last announced: (epoch, sequence number).
    pub const fn position(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }

    pub fn next_wake(&self) -> Option<Instant> {
        let written = self.writing.front().map(|&(at, ..)| at);
        [written, self.link.next_end()].into_iter().flatten().min()
    }

    /// Does all that is due by `now`.
    pub fn step(&mut self, now: Instant, out: &mut Vec<PoolOutput>) {
        while let Some(due) = self.next_wake().filter(|&due| due <= now) {
            while let Some((_, run, owner)) = self.writing.pop_front_if(|(at, ..)| *at <= due) {
                self.keep(due, &run, owner);
            }
            while let Some((at, key)) = self.link.pop_ended(due) {
                self.store.release(self.sending.remove(&key).expect("it was sent"));
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

    /// Where tenants have shares, the public beginning of a text is nobody's and the rest its
    /// tenant's.
    fn keep_of(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        let public = owner.map_or(run.end, |owner| owner.public_blocks.min(run.end));
        for (end, owner) in [(public, None), (run.end, owner)] {
            let here = self.store.present(&BlockRun { end, ..run.clone() });
            if here < end {
                let part = BlockRun { chain: Arc::clone(&run.chain), start: here, end };
                let new = self.store.keep_of(now, &part, owner).unwrap_or(0);
                self.stats.stored_blocks += u64::from(new);
                if new < part.len() {
                    break;
                }
            }
        }
        self.stats.refused_blocks += u64::from(run.end - self.store.present(run));
    }

    /// Blocks of each tenant that has any; of none where there is no quota.
    pub fn blocks_by_tenant(&self) -> BTreeMap<TenantId, u64> {
        self.store.blocks_by_tenant()
    }

    pub fn stats(&self) -> PoolStats {
        PoolStats { sending: self.link.busy(), ..self.stats }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            source: self.id.into(),
            epoch: self.epoch,
            seq: self.seq,
            runs: self.store.contents(),
        }
    }

    /// What it holds, to be compared with what others believe.
    pub fn tallies(&self) -> [Tally; MAX_TIERS] {
        self.store.tallies()
    }

    pub fn check_at_rest(&self) {
        assert!(self.sending.is_empty() && self.writing.is_empty(), "transfers are left");
        assert_eq!(self.store.leases(), 0, "an idle pool holds leases");
        if cfg!(debug_assertions) {
            self.store.check();
        }
    }
}
