//! Emptying a store on an operator's wish.

use super::block_store::BlockStore;
use super::run::{HBM, tiers_of};
use crate::runs::NodeId;
use std::collections::BTreeMap;

impl BlockStore {
    /// Drops the blocks that no lease holds: from HBM, or with `external` from all tiers. What cannot be
    /// reached any more in a farther tier goes too. Nothing is written to another tier or to the pool.
    /// Returns the number of copies that were dropped.
    pub fn reset(&mut self, external: bool) -> u64 {
        let mut nodes: Vec<(u32, NodeId)> =
            self.tree.iter().map(|(id, node)| (node.start, id)).collect();
        nodes.sort_unstable();
        let mut kept: BTreeMap<NodeId, u8> = BTreeMap::new();
        for &(_, id) in &nodes {
            let node = self.tree.get(id);
            let mut tiers = node.value.tiers;
            if node.value.pins == 0 {
                tiers &= if external { 0 } else { !(1 << HBM) };
                // A run is never nearer than its parent.
                let parent = node.parent.filter(|&parent| self.tree.get(parent).value.pins == 0);
                if let Some(above) = parent.map(|parent| kept[&parent]) {
                    tiers &= u8::MAX.checked_shl(above.trailing_zeros()).unwrap_or(0);
                }
            }
            kept.insert(id, tiers);
        }
        let pool = core::mem::take(&mut self.pool);
        let dropped = nodes.iter().rev().map(|&(_, id)| self.leave(id, kept[&id])).sum();
        self.pool = pool;
        dropped
    }

    /// Drops the copies of a run in all tiers but these. A run without copies has no children left.
    fn leave(&mut self, id: NodeId, kept: u8) -> u64 {
        let node = self.tree.get(id);
        let (start, len) = (node.start, u64::from(node.len()));
        let left = node.value.tiers & !kept;
        if left == 0 {
            return 0;
        }
        let last = left.ilog2() as usize;
        let other = if kept == 0 { left & !(1 << last) } else { left };
        self.take_from_orders(id);
        tiers_of(other).for_each(|tier| self.drop_tier(id, tier));
        self.put_into_orders(id);
        if kept == 0 {
            self.forget_end(id, start, last);
        }
        len * u64::from(left.count_ones())
    }
}
