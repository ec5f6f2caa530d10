//! What a worker reports to routers: its costs, its load, its cache.

use super::gauges::Gauges;
use super::store::Hit;
use super::worker::Engine;
use crate::event::{Digest, LoadReport, Snapshot, WorkerInfo};
use crate::id::RequestId;

impl Engine {
    /// A step was planned. `runs`: it has work to do.
    pub(super) fn step_planned(&mut self, runs: bool) {
        self.gauges.left_waiting = self.scheduler.counts().0;
        if !runs {
            self.step_taken_in();
        }
    }

    /// The output of a step was taken in.
    pub(super) fn step_taken_in(&mut self) {
        let (waiting, running) = (self.gauges.left_waiting, self.scheduler.counts().1);
        let blocks_in_use = self.store.held_blocks();
        self.gauges = Gauges { waiting, running, blocks_in_use, left_waiting: waiting };
    }

    /// The gauges now. Steps that only decode are played as one: their gauges are those of now.
    fn gauges(&self) -> Gauges {
        if self.iteration.as_ref().is_none_or(|steps| steps.steps <= 1) {
            return self.gauges;
        }
        let (waiting, running) = (self.gauges.left_waiting, self.scheduler.counts().1);
        Gauges { waiting, running, blocks_in_use: self.store.held_blocks(), ..self.gauges }
    }

    /// The load as of the last step, and the cache of now. `seq` is that of the last batch of cache
    /// changes.
    pub fn load_report(&self) -> LoadReport {
        let Gauges { waiting, running, blocks_in_use, .. } = self.gauges();
        LoadReport {
            worker: self.worker,
            epoch: self.epoch,
            seq: self.seq,
            waiting,
            running,
            queued_prefill_tokens: self.scheduler.queued_prefill_tokens()
                + self.front_end.prompt_tokens(),
            blocks_by_tier: self.store.blocks_by_tier(),
            blocks_in_use,
            digest: None,
        }
    }

    /// Requests that wait for loads, fetches or a KV transfer.
    pub const fn loading(&self) -> u32 {
        self.scheduler.loading()
    }

    /// What was found of a request's prompt when it was admitted, by origin. None: it is not in the engine.
    pub fn hit(&self, id: RequestId) -> Option<Hit> {
        let &key = self.ids.get(&id)?;
        Some(self.scheduler.hit(key))
    }

    /// A digest of the cache as of `seq` in [`Engine::load_report`]; None while changes wait to be
    /// announced.
    pub fn digest(&self) -> Option<Digest> {
        (!self.store.has_events()).then(|| self.store.digest())
    }

    /// The whole cache as of the last announced batch; None while changes wait to be announced.
    pub fn snapshot(&self) -> Option<Snapshot> {
        (!self.store.has_events()).then(|| Snapshot {
            source: self.worker.into(),
            epoch: self.epoch,
            seq: self.seq,
            runs: self.store.contents(),
        })
    }

    /// The constant facts: block size, room, limits, and costs for a router's estimates.
    pub fn info(&self) -> WorkerInfo {
        WorkerInfo {
            worker: self.worker,
            epoch: self.epoch,
            block_size: self.profile.block_size,
            total_blocks: self.profile.hbm_blocks(),
            constant_blocks: self.profile.constant_blocks(),
            max_num_seqs: self.profile.max_num_seqs,
            prefill: self.profile.prefill_cost(),
            tiers: self.profile.tier_costs(),
            pool: self.profile.pool_cost(),
            peers: self.profile.peer_cost(),
            role: self.kv_transfers.role,
            decode: self.decode_cost(),
        }
    }
}
