//! What memories hold and how busy links were, for an observer.

use super::state::World;
use crate::observers::Memories;
use warmpath_core::time::Instant;

impl World<'_> {
    /// Tells the observer, if it is due. Without one it is never due.
    pub(super) fn look(&mut self, now: Instant) {
        if self.next_look.is_none_or(|at| now < at) {
            return;
        }
        let memories = self.memories();
        self.next_look = self.observers.memories.as_mut().map(|look| look(now, &memories));
    }

    fn memories(&self) -> Memories {
        let mut all = Memories::default();
        for engine in &self.engines {
            let held = engine.store().blocks_by_tier();
            all.blocks.iter_mut().zip(held).for_each(|(all, held)| *all += held);
            for (all, tier) in all.loading.iter_mut().skip(1).zip(engine.store().traffic()) {
                *all += tier.loading;
            }
            all.peers += engine.peer_send_stats().sending;
            all.kv_transfers += engine.kv_transfer_stats().sending;
        }
        all.pool_blocks = self.pool.now().map_or(0, |pool| pool.blocks());
        all.pool = self.pool.stats().map(|pool| pool.sending).unwrap_or_default();
        all
    }
}
