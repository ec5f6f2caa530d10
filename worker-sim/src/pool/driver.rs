//! The pool on its thread. It alone times the blocks that it sends.

use super::command::Command;
use super::config::PoolConfig;
use crate::feed::{Announces, Feed, FeedItem, Intervals};
use crate::lateness::Lateness;
use crate::metrics::PoolMetrics;
use crate::sending::{Holds, Sending};
use crate::surroundings::Surroundings;
use crate::turns::{self, Commands, Timed};
use std::time::{Duration, Instant as WallInstant};
use tokio::sync::oneshot;
use warmpath_core::event::{Digest, KvBatch, KvEvent, LoadReport, Snapshot};
use warmpath_core::id::{MAX_TIERS, PoolId, WorkerId};
use warmpath_core::pool::{Pool, PoolOutput};
use warmpath_proto::clock::{ModelClock, now};
use warmpath_proto::convert::PoolInfo;

/// A pool's own number. A router numbers its pools itself.
const ITSELF: PoolId = PoolId(0);

struct Driver {
    pool: Pool,
    info: PoolInfo,
    clock: ModelClock,
    sending: Sending,
    outputs: Vec<PoolOutput>,
    feed: Feed,
    /// Of all blocks that were announced. It is kept up to date: a pool holds too many blocks to
    /// add them up each time.
    digest: Digest,
    metrics: PoolMetrics,
    lateness: Lateness,
    drain_until: Option<WallInstant>,
}

/// Starts the pool; see [`turns::start`]. The configuration must have been checked.
pub fn start(
    config: &PoolConfig,
    around: &Surroundings,
    done: oneshot::Sender<()>,
) -> std::io::Result<Commands<Command>> {
    let profile = &config.profile;
    let link = profile.pool.expect("a checked configuration");
    let pool =
        Pool::new(ITSELF, &config.spec, profile.block_size, profile.block_bytes(), link.gb_s);
    let heartbeat = Duration::from_millis(config.heartbeat_ms);
    let intervals = Intervals {
        report: heartbeat,
        heartbeat,
        digest: Duration::from_millis(config.digest_interval_ms),
    };
    let driver = Driver {
        pool: pool.expect("a checked configuration").with_epoch(around.epoch),
        info: PoolInfo {
            epoch: around.epoch,
            block_size: profile.block_size,
            total_blocks: config.spec.tokens / u64::from(profile.block_size),
        },
        clock: ModelClock::starting_now(config.speedup),
        sending: Sending::default(),
        outputs: Vec::new(),
        feed: Feed::new(now(), intervals),
        digest: Digest::default(),
        metrics: PoolMetrics::new(&config.name, config.speedup),
        lateness: around.lateness.clone(),
        drain_until: None,
    };
    turns::start((format!("pool-{}", config.name), around.place), driver, done)
}

impl Timed for Driver {
    type Command = Command;

    fn next_wake(&self) -> Option<WallInstant> {
        let pool = self.pool.next_wake().map(|due| self.clock.wall(due));
        [pool, self.feed.next_wake(), self.drain_until].into_iter().flatten().min()
    }

    fn advance(&mut self) {
        let wall = now();
        if let Some(due) = self.pool.next_wake().map(|due| self.clock.wall(due))
            && due <= wall
        {
            self.metrics.lateness(wall - due);
            self.lateness.add(wall - due);
        }
        self.pool.step(self.clock.at(wall), &mut self.outputs);
        for output in self.outputs.drain(..) {
            match output {
                PoolOutput::Sent { at, key } => self.sending.end(at, key),
                PoolOutput::Kv { batch, .. } => {
                    take_into_account(&mut self.digest, &batch);
                    self.metrics.batch(&batch);
                    self.feed.batch(batch);
                }
            }
        }
    }

    fn handle(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Put(run, owner) => self.pool.put_of(now, &run, owner),
            Command::Get { run, reply } => {
                let pool = &mut self.pool;
                self.sending.begin(now, reply, |key| pool.get(now, key, &run));
            }
            Command::Lookup { prompt, reply } => {
                let blocks = self.pool.present(&prompt).min(prompt.end);
                // The caller may be gone.
                let _ = reply.send(Holds { blocks, ns_per_block: self.pool.ns_per_block() });
            }
            Command::Watch(watcher) => {
                let own = Own { pool: &self.pool, info: self.info, digest: self.digest };
                self.feed.add(&own, watcher);
            }
            Command::Drain(until) => {
                self.feed.drain();
                self.drain_until = Some(until);
            }
        }
        self.feed.touch();
    }

    fn end_turn(&mut self) -> bool {
        let wall = now();
        if self.feed.next_wake().is_some_and(|due| due <= wall) {
            let own = Own { pool: &self.pool, info: self.info, digest: self.digest };
            self.feed.tick(wall, &own);
        }
        self.metrics.observe(&self.pool, &self.feed);
        !self.drain_until.is_some_and(|until| self.pool.sending() == 0 || until <= wall)
    }
}

fn take_into_account(digest: &mut Digest, batch: &KvBatch) {
    for event in &batch.events {
        let mut part = Digest::default();
        match event {
            KvEvent::Stored { tier, run } => {
                part.add(*tier, run);
                digest.blocks += part.blocks;
            }
            KvEvent::Removed { tier, run } => {
                part.add(*tier, run);
                digest.blocks -= part.blocks;
            }
            KvEvent::Cleared => *digest = Digest::default(),
        }
        digest.xor ^= part.xor;
    }
}

/// A pool, as its watchers see it.
struct Own<'a> {
    pool: &'a Pool,
    info: PoolInfo,
    digest: Digest,
}

impl Announces for Own<'_> {
    fn hello(&self) -> FeedItem {
        FeedItem::PoolHello(self.info)
    }

    fn snapshot(&self) -> Snapshot {
        self.pool.snapshot()
    }

    /// A report has the fields of a worker's. Running requests are gets that are being sent.
    fn report(&self) -> LoadReport {
        let (epoch, seq) = self.pool.position();
        let mut blocks_by_tier = [0; MAX_TIERS];
        blocks_by_tier[0] = self.pool.blocks();
        LoadReport {
            worker: WorkerId(0),
            epoch,
            seq,
            waiting: 0,
            running: self.pool.sending() as u32,
            queued_prefill_tokens: 0,
            blocks_by_tier,
            blocks_in_use: 0,
            digest: None,
        }
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::profile;
    use warmpath_core::block::BlockRun;
    use warmpath_core::block::hash_blocks;
    use warmpath_core::engine::profile::{Fill, Loads, PoolLink};
    use warmpath_core::engine::store::eviction::EvictionRule;
    use warmpath_core::id::TenantId;
    use warmpath_core::pool::PoolSpec;
    use warmpath_core::request::Owner;
    use warmpath_core::routing::index::PrefixIndex;
    use warmpath_core::runs::ANCHOR;
    use warmpath_core::time::Instant;
    use warmpath_proto::convert::{self, SnapshotReader};
    use warmpath_proto::generate::scope;

    /// A put from the wire names its whole text. Only the names that its own blocks need are kept.
    #[test]
    fn kept_names_grow_linearly_with_the_text() {
        let spec = PoolSpec {
            tokens: 1_000_000,
            gb_s: 1.0,
            store_gb_s: 1e9,
            eviction: EvictionRule::Lru,
            tenant_quota: None,
        };
        for tenant_quota in [None, Some(0.5)] {
            let spec = PoolSpec { tenant_quota, ..spec.clone() };
            let mut pool = Pool::new(ITSELF, &spec, 16, 1.0, 1.0).unwrap();
            let owner = Some(Owner { tenant: TenantId(1), public_blocks: 3 });
            let mut index = PrefixIndex::default();
            let (mut now, mut outputs) = (Instant::START, Vec::new());
            let mut put = |tokens: &[u32], start: u32| {
                let chain = hash_blocks(&scope("", "m", 16), tokens);
                let run = BlockRun { end: chain.blocks(), chain, start };
                let sent = convert::stretch_to_wire(&run);
                pool.put_of(now, &convert::stretch_from_wire(16, &sent).unwrap(), owner);
                now = now + warmpath_core::time::Duration::from_millis(1);
                pool.step(now, &mut outputs);
            };
            let text: Vec<u32> = (0..32_000).collect();
            for start in (0..2_000).step_by(8) {
                put(&text[..(start as usize + 8) * 16], start);
            }
            // Texts that branch off in the middle of the blocks that were put.
            for block in (3..2_000).step_by(100) {
                let other = [&text[..block * 16], &[1; 160]].concat();
                put(&other, block as u32 - 2);
            }
            let snapshot = pool.snapshot();
            let blocks: u32 = snapshot.runs.iter().map(|(_, run)| run.len()).sum();
            assert_eq!(blocks, 2_000 + 20 * 10);
            let kept: u32 = snapshot.runs.iter().map(|(_, run)| run.end - run.chain.base()).sum();
            let most = blocks + ANCHOR * snapshot.runs.len() as u32;
            assert!(kept <= most, "{kept} names for {blocks} blocks in {}", snapshot.runs.len());
            // And a router that follows the pool needs no more.
            let mut reader = SnapshotReader::new(ITSELF, 16);
            for chunk in convert::snapshot_to_wire(&snapshot) {
                if let Some(read) = reader.push(&chunk).unwrap() {
                    index.replace(&read).unwrap();
                }
            }
            assert_eq!(index.digest(ITSELF.into()), pool.digest());
        }
    }

    /// Blocks come and go, and the kept digest is always the digest of the store.
    #[test]
    fn the_kept_digest_is_that_of_the_store() {
        let spec = PoolSpec {
            tokens: 320,
            gb_s: 1.0,
            store_gb_s: 1.0,
            eviction: EvictionRule::Lru,
            tenant_quota: None,
        };
        let link = PoolLink {
            gb_s: 1.0,
            latency_us: 0.0,
            fill: Fill::WriteThrough,
            loads: Loads::Always,
            timeout_ms: 1.0,
        };
        let block_bytes = profile().block_bytes();
        let mut pool = Pool::new(ITSELF, &spec, 16, block_bytes, link.gb_s).unwrap();
        let (mut digest, mut outputs, mut removed) = (Digest::default(), Vec::new(), false);
        for i in 0..30_u32 {
            let tokens: Vec<u32> = (0..80).map(|token| token + 1_000 * (i % 7)).collect();
            let chain = hash_blocks(&scope("", "m", 16), &tokens);
            let run = BlockRun { end: chain.blocks(), chain, start: 0 };
            let now = Instant::from_nanos(u64::from(i) * 1_000_000_000);
            pool.put(now, &run);
            pool.step(now + warmpath_core::time::Duration::from_millis(900), &mut outputs);
            for output in outputs.drain(..) {
                let PoolOutput::Kv { batch, .. } = output else { continue };
                removed |= batch.events.iter().any(|e| matches!(e, KvEvent::Removed { .. }));
                take_into_account(&mut digest, &batch);
            }
            assert_eq!(digest, pool.digest());
        }
        assert!(removed, "20 blocks of room for 35");
    }
}
