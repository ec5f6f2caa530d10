//! What a worker says of itself to routers: who it is, how busy, what it holds.

use super::worker::Engine;
use crate::event::{Digest, LoadReport, Snapshot, WorkerInfo};

impl Engine {
    pub fn load_report(&self) -> LoadReport {
        let (waiting, running) = self.scheduler.counts();
        LoadReport {
            worker: self.worker,
            epoch: self.epoch,
            seq: self.seq,
            waiting: waiting + self.front_end.requests(),
            running,
            queued_prefill_tokens: self.scheduler.queued_prefill_tokens()
                + self.front_end.prompt_tokens(),
            blocks_by_tier: self.store.blocks_by_tier(),
            digest: None,
        }
    }

    /// The set summary that belongs to [`Engine::load_report`]'s `seq`, if no change is waiting to
    /// be announced.
    pub fn digest(&self) -> Option<Digest> {
        (!self.store.has_events()).then(|| self.store.digest())
    }

    /// All the store holds as of the last announced batch; None while changes wait to be announced.
    pub fn snapshot(&self) -> Option<Snapshot> {
        (!self.store.has_events()).then(|| Snapshot {
            source: self.worker.into(),
            epoch: self.epoch,
            seq: self.seq,
            runs: self.store.contents(),
        })
    }

    pub fn info(&self) -> WorkerInfo {
        WorkerInfo {
            worker: self.worker,
            epoch: self.epoch,
            block_size: self.profile.block_size,
            total_blocks: self.profile.hbm_blocks(),
            max_num_seqs: self.profile.max_num_seqs,
            prefill: self.profile.prefill_cost(),
            tiers: self.profile.tier_costs(),
            pool: self.profile.pool_cost(),
            peers: self.profile.peer_cost(),
            role: self.handovers.role,
            decode: self.decode_cost(),
        }
    }
}
