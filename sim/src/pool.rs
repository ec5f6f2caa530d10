//! The pool of a world, with the faults that befall it.

use crate::faults::{Condition, Faults};
use crate::scenario::Scenario;
use smallvec::SmallVec;
use warmpath_core::block::{BlockRun, TokenBlocks};
use warmpath_core::engine::profile::{PoolLink, Profile};
use warmpath_core::engine::store::Offer;
use warmpath_core::engine::{Engine, FetchError, FetchKey};
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::pool::{Pool, PoolError, PoolOutput, PoolSpec, PoolStats};
use warmpath_core::request::Owner;
use warmpath_core::routing::input::Pull;
use warmpath_core::time::Instant;

/// The one pool of a world.
pub const POOL: PoolId = PoolId(0);

/// The pool, if the scenario has one.
#[derive(Debug)]
pub struct WorldPool {
    pool: Option<PoolState>,
    /// When the pool next has something to do. Updated after each call, since asking the pool at
    /// each event is slow.
    wake: Option<Instant>,
}

#[derive(Debug)]
struct PoolState {
    now: Pool,
    /// What an empty pool is made from, after a crash.
    empty: PoolPlan,
    /// The statistics from before its last crash.
    before: PoolStats,
    epoch: u64,
    faults: Faults,
    condition: Condition,
    /// What it sends in a step. Empty between steps.
    said: Vec<PoolOutput>,
}

/// What a pool is made from.
#[derive(Debug)]
struct PoolPlan {
    spec: PoolSpec,
    block_size: u32,
    block_bytes: f64,
    user_gb_s: f64,
}

impl PoolPlan {
    fn build(&self, epoch: u64) -> Result<Pool, PoolError> {
        let Self { spec, block_size, block_bytes, user_gb_s } = self;
        let pool = Pool::new(POOL, spec, *block_size, *block_bytes, *user_gb_s)?;
        Ok(pool.with_epoch(epoch))
    }
}

/// What the pool sends, and what becomes of its connections.
#[derive(Debug)]
pub enum PoolMessage {
    /// The blocks that a worker asked for have left, or will arrive broken.
    Sent {
        at: Instant,
        key: FetchKey,
        result: Result<(), FetchError>,
    },
    /// A worker's connection broke.
    Broken {
        at: Instant,
        key: FetchKey,
    },
    Kv {
        at: Instant,
        batch: KvBatch,
    },
    /// The router's connection broke.
    Lost {
        at: Instant,
    },
    /// The router is connected again.
    Back {
        at: Instant,
        snapshot: Snapshot,
    },
}

impl WorldPool {
    pub fn new(scenario: &Scenario) -> Result<Self, PoolError> {
        // Any worker with a link to it says how large its blocks are: a fleet's links and blocks are
        // alike.
        let user = scenario
            .each_worker()
            .find_map(|(_, group)| group.profile.pool.map(|link| (&group.profile, link)));
        let new = |(spec, (profile, link)): (&PoolSpec, (&Profile, PoolLink))| {
            let empty = PoolPlan {
                spec: spec.clone(),
                block_size: profile.block_size,
                block_bytes: profile.block_bytes(),
                user_gb_s: link.gb_s,
            };
            Ok(PoolState {
                now: empty.build(1)?,
                empty,
                before: PoolStats::default(),
                epoch: 1,
                faults: Faults::new(&scenario.faults, scenario.seed),
                condition: Condition::SOUND,
                said: Vec::new(),
            })
        };
        let pool = scenario.pool.as_ref().zip(user).map(new).transpose()?;
        let mut world_pool = Self { pool, wake: None };
        world_pool.refresh_wake();
        Ok(world_pool)
    }

    /// The pool, unless there is none or it is gone.
    pub fn now(&self) -> Option<&Pool> {
        self.pool.as_ref().filter(|pool| !pool.condition.gone).map(|pool| &pool.now)
    }

    pub fn stats(&self) -> Option<PoolStats> {
        self.pool.as_ref().map(|pool| pool.before + pool.now.stats())
    }

    pub const fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    fn refresh_wake(&mut self) {
        self.wake = self.pool.as_ref().and_then(|pool| {
            let all = [pool.now.next_wake(), pool.faults.next_change()];
            all.into_iter().flatten().min()
        });
    }

    pub fn put(&mut self, now: Instant, run: &BlockRun, owner: Option<Owner>) {
        let takes = |pool: &&mut PoolState| !pool.condition.gone && !pool.condition.silent;
        if let Some(pool) = self.pool.as_mut().filter(takes) {
            pool.now.put_of(now, run, owner);
            self.refresh_wake();
        }
    }

    /// A worker asks for blocks. A silent pool does not answer.
    pub fn get(&mut self, now: Instant, key: FetchKey, run: &BlockRun) -> Result<(), FetchError> {
        let here = |pool: &&mut PoolState| !pool.condition.gone;
        let pool = self.pool.as_mut().filter(here).ok_or(FetchError::Gone)?;
        if pool.condition.silent {
            return Ok(());
        }
        let sent = pool.now.get(now, key, run);
        self.refresh_wake();
        sent
    }

    pub fn step(&mut self, now: Instant) -> Vec<PoolMessage> {
        let mut out = Vec::new();
        if let Some(pool) = &mut self.pool {
            pool.step(now, &mut out);
            while let Some((at, condition)) = pool.faults.change(now) {
                pool.turn(at, condition, &mut out);
            }
        }
        self.refresh_wake();
        out
    }

    /// What an engine is told when a request reaches it: what the pool has of the prompt, and the
    /// peer that the router named.
    pub fn offers(
        &self,
        engine: &Engine,
        prompt: &TokenBlocks,
        pull: Option<Pull>,
    ) -> SmallVec<[Offer; 2]> {
        let profile = engine.profile();
        let mut offers = SmallVec::new();
        if let Some(pool) = self.now() {
            offers.extend(profile.pool_offer(POOL, pool.holds(prompt), pool.ns_per_block()));
        }
        if let Some(Pull { from: SourceId::Worker(peer), blocks }) = pull {
            offers.extend(profile.peer_offer(peer, blocks));
        }
        offers
    }
}

impl PoolState {
    fn step(&mut self, now: Instant, out: &mut Vec<PoolMessage>) {
        self.now.step(now, &mut self.said);
        for output in self.said.drain(..) {
            match output {
                // What a silent pool sends is lost on the way.
                PoolOutput::Sent { .. } if self.condition.silent => {}
                PoolOutput::Sent { at, key } => {
                    let broken = self.faults.breaks(self.condition.corrupt, key);
                    let result = if broken { Err(FetchError::Corrupt) } else { Ok(()) };
                    out.push(PoolMessage::Sent { at, key, result });
                }
                PoolOutput::Kv { at, batch } => out.push(PoolMessage::Kv { at, batch }),
            }
        }
    }

    /// The pool's faults change.
    fn turn(&mut self, at: Instant, condition: Condition, out: &mut Vec<PoolMessage>) {
        let before = core::mem::replace(&mut self.condition, condition);
        if condition.gone && !before.gone {
            self.epoch += 1;
            let next = self.empty.build(self.epoch).expect("it could be built before");
            let last = core::mem::replace(&mut self.now, next);
            out.extend(last.gets().map(|key| PoolMessage::Broken { at, key }));
            self.before = self.before + last.stats();
            out.push(PoolMessage::Lost { at });
        }
        if before.gone && !condition.gone {
            out.push(PoolMessage::Back { at, snapshot: self.now.snapshot() });
        }
        self.now.set_slowness(at, condition.slowness);
    }
}
