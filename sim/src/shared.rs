//! What the workers of a world share: a pool, and each other's memory.

use crate::faults::{Condition, Faults};
use crate::scenario::Scenario;
use smallvec::SmallVec;
use warmpath_core::block::{BlockRun, TokenBlocks};
use warmpath_core::engine::profile::{PoolLink, Profile};
use warmpath_core::engine::store::Offer;
use warmpath_core::engine::{Engine, FetchError, LoanKey};
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::pool::{Pool, PoolError, PoolOutput, PoolSpec, PoolStats};
use warmpath_core::request::Owner;
use warmpath_core::routing::input::Pull;
use warmpath_core::time::Instant;

/// The one pool of a world.
pub const POOL: PoolId = PoolId(0);

#[derive(Debug)]
pub struct Shared {
    pool: Option<PoolState>,
    /// When there is something to do: asked anew after each call, not at each event.
    wake: Option<Instant>,
}

#[derive(Debug)]
struct PoolState {
    now: Pool,
    /// As it came up, for its next life.
    empty: PoolPlan,
    /// Of its lives before this one.
    before: PoolStats,
    epoch: u64,
    faults: Faults,
    condition: Condition,
    /// What it says in a step. Empty between steps.
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

/// What others hear of the pool.
#[derive(Debug)]
pub enum SharedOutput {
    /// What a worker asked for has left, or will arrive broken.
    Sent {
        at: Instant,
        key: LoanKey,
        result: Result<(), FetchError>,
    },
    /// The connection that a worker had broke.
    Broken {
        at: Instant,
        key: LoanKey,
    },
    Kv {
        at: Instant,
        batch: KvBatch,
    },
    /// Who follows the pool lost it.
    Lost {
        at: Instant,
    },
    /// And met it again.
    Back {
        at: Instant,
        snapshot: Snapshot,
    },
}

impl Shared {
    pub fn new(scenario: &Scenario) -> Result<Self, PoolError> {
        // Whoever has a way to it says what its blocks are; a fleet's links and blocks are alike.
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
        let mut shared = Self { pool, wake: None };
        shared.refresh_wake();
        Ok(shared)
    }

    /// The pool, while there is one.
    pub fn pool(&self) -> Option<&Pool> {
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

    /// A worker asks for blocks. Nobody answers a request to a silent pool.
    pub fn get(&mut self, now: Instant, key: LoanKey, run: &BlockRun) -> Result<(), FetchError> {
        let here = |pool: &&mut PoolState| !pool.condition.gone;
        let pool = self.pool.as_mut().filter(here).ok_or(FetchError::Gone)?;
        if pool.condition.silent {
            return Ok(());
        }
        let sent = pool.now.get(now, key, run);
        self.refresh_wake();
        sent
    }

    pub fn step(&mut self, now: Instant) -> Vec<SharedOutput> {
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
        if let Some(pool) = self.pool() {
            offers.extend(profile.pool_offer(POOL, pool.holds(prompt), pool.ns_per_block()));
        }
        if let Some(Pull { from: SourceId::Worker(peer), blocks }) = pull {
            offers.extend(profile.peer_offer(peer, blocks));
        }
        offers
    }
}

impl PoolState {
    fn step(&mut self, now: Instant, out: &mut Vec<SharedOutput>) {
        self.now.step(now, &mut self.said);
        for output in self.said.drain(..) {
            match output {
                // What a silent pool sends is lost on the way.
                PoolOutput::Sent { .. } if self.condition.silent => {}
                PoolOutput::Sent { at, key } => {
                    let broken = self.faults.breaks(self.condition.corrupt, key);
                    let result = if broken { Err(FetchError::Corrupt) } else { Ok(()) };
                    out.push(SharedOutput::Sent { at, key, result });
                }
                PoolOutput::Kv { at, batch } => out.push(SharedOutput::Kv { at, batch }),
            }
        }
    }

    /// From now on this is wrong with it.
    fn turn(&mut self, at: Instant, condition: Condition, out: &mut Vec<SharedOutput>) {
        let before = core::mem::replace(&mut self.condition, condition);
        if condition.gone && !before.gone {
            self.epoch += 1;
            let next = self.empty.build(self.epoch).expect("it could be built before");
            let last = core::mem::replace(&mut self.now, next);
            out.extend(last.gets().map(|key| SharedOutput::Broken { at, key }));
            self.before = self.before + last.stats();
            out.push(SharedOutput::Lost { at });
        }
        if before.gone && !condition.gone {
            out.push(SharedOutput::Back { at, snapshot: self.now.snapshot() });
        }
        self.now.set_slowness(at, condition.slowness);
    }
}
