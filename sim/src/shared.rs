//! What the workers of a world share: a pool, and each other's memory.

use crate::scenario::Scenario;
use smallvec::SmallVec;
use warmpath_core::block::{BlockRun, TokenBlocks};
use warmpath_core::engine::profile::{PoolLink, Profile};
use warmpath_core::engine::store::Offer;
use warmpath_core::engine::{Engine, FetchError, LoanKey};
use warmpath_core::id::{PoolId, SourceId};
use warmpath_core::pool::{Pool, PoolError, PoolOutput, PoolSpec};
use warmpath_core::routing::input::Pull;
use warmpath_core::time::Instant;

/// The one pool of a world.
pub const POOL: PoolId = PoolId(0);

#[derive(Debug)]
pub struct Shared {
    pool: Option<Pool>,
    /// When the pool has something to do: asked anew after each call, not at each event.
    wake: Option<Instant>,
}

impl Shared {
    pub fn new(scenario: &Scenario) -> Result<Self, PoolError> {
        let new = |(spec, (profile, link)): (&PoolSpec, (&Profile, PoolLink))| {
            Pool::new(POOL, spec, profile.block_size, profile.block_bytes(), link.gb_s)
        };
        // Whoever has a way to it says what its blocks are; a fleet's links and blocks are alike.
        let user = scenario
            .each_worker()
            .find_map(|(_, group)| group.profile.pool.map(|link| (&group.profile, link)));
        let pool = scenario.pool.as_ref().zip(user).map(new).transpose()?;
        Ok(Self { pool, wake: None })
    }

    pub const fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    pub const fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    pub fn put(&mut self, now: Instant, run: &BlockRun) {
        if let Some(pool) = &mut self.pool {
            pool.put(now, run);
            self.wake = pool.next_wake();
        }
    }

    pub fn get(&mut self, now: Instant, key: LoanKey, run: &BlockRun) -> Result<(), FetchError> {
        let pool = self.pool.as_mut().ok_or(FetchError::Gone)?;
        let sent = pool.get(now, key, run);
        self.wake = pool.next_wake();
        sent
    }

    pub fn step(&mut self, now: Instant) -> Vec<PoolOutput> {
        let mut out = Vec::new();
        if let Some(pool) = &mut self.pool {
            pool.step(now, &mut out);
            self.wake = pool.next_wake();
        }
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
        if let Some(pool) = &self.pool {
            offers.extend(profile.pool_offer(POOL, pool.holds(prompt), pool.ns_per_block()));
        }
        if let Some(Pull { from: SourceId::Worker(peer), blocks }) = pull {
            offers.extend(profile.peer_offer(peer, blocks));
        }
        offers
    }
}
