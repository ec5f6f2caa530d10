//! Room in HBM: the least recently used blocks leave first, for the host tier if there is one.

use super::BlockStore;
use crate::event::KvEvent;
use crate::id::TierId;
use crate::runs::NodeId;

impl BlockStore {
    /// Throws blocks out of HBM until `blocks` are free.
    pub(super) fn make_room(&mut self, blocks: u32) {
        let Some(capacity) = self.hbm.capacity else { return };
        let free = capacity - self.hbm.resident - self.reserved;
        let mut missing = u64::from(blocks).saturating_sub(free);
        while missing > 0 {
            let id = self.hbm.oldest().expect("room was promised");
            missing -= self.evict(id, missing);
        }
    }

    /// Takes up to `most` blocks off the end of an HBM run; they go to the host tier if there is
    /// one.
    fn evict(&mut self, id: NodeId, most: u64) -> u64 {
        let node = self.tree.get(id);
        let count = u64::from(node.len()).min(most);
        let from = node.end - count as u32;
        self.hbm.resident -= count;
        if self.host.as_ref().is_none_or(|host| host.capacity == Some(0)) {
            self.drop_end(id, from, TierId::HBM);
            return count;
        }
        if from > node.start {
            self.split(id, from);
        }
        self.hbm.keep(id, count as u32);
        self.tree.get_mut(id).value.tier = TierId::HOST;
        let host = self.host.as_mut().expect("a host tier");
        host.resident += count;
        host.let_go(id, count as u32);
        self.moved(id, TierId::HBM, TierId::HOST);
        self.shrink_host();
        count
    }

    fn shrink_host(&mut self) {
        while let Some(host) = &mut self.host {
            let over = host.resident.saturating_sub(host.capacity.unwrap_or(u64::MAX));
            // All of it may be on its way to HBM; then it is over for a moment.
            let Some(id) = host.oldest().filter(|_| over > 0) else { return };
            let node = self.tree.get(id);
            let count = u64::from(node.len()).min(over);
            let from = node.end - count as u32;
            host.resident -= count;
            self.drop_end(id, from, TierId::HOST);
        }
    }

    /// Forgets the end of a run that nobody holds.
    fn drop_end(&mut self, id: NodeId, from: u32, tier: TierId) {
        let node = self.tree.get(id);
        let (start, end) = (node.start, node.end);
        let run = node.run(from, end);
        self.events.push(KvEvent::Removed { tier, run });
        self.tier_mut(tier).forget(id, end - from, from == start);
        self.tree.truncate(id, from);
    }
}
