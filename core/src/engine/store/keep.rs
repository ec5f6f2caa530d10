//! A store that keeps what others computed: a pool's. It is told where a run goes on from what it
//! has, so it finds the place by name instead of walking the path.

use super::find::Path;
use super::{BlockStore, HBM, NoRoom, Run};
use crate::block::BlockRun;
use crate::runs::{NodeId, anchor_above};
use crate::time::Instant;
use smallvec::SmallVec;
use std::sync::Arc;

type Parts = SmallVec<[NodeId; 16]>;

impl BlockStore {
    /// Keeps a run and the path before it, which counts as used: how many blocks are new. For a
    /// memory with nothing behind it.
    pub fn keep(&mut self, now: Instant, run: &BlockRun) -> Result<u32, NoRoom> {
        let path = self.path(&run.chain, run.start, run.end);
        let here = path.last().map_or(0, |&(_, end)| end);
        let new = run.end.saturating_sub(here);
        // What comes before the new blocks does not make room for them.
        if u64::from(new) + self.idle_of(&path) > self.available() {
            return Err(NoRoom);
        }
        let held: Parts = path.iter().map(|&(id, end)| self.hold(id, end)).collect();
        self.make_room(now, new);
        self.releases += 1;
        for &part in &held {
            self.let_go(part);
        }
        if new > 0 {
            // The place is found: of what lies before it only what an event must name is kept.
            let chain = run.chain.named_from(anchor_above(here));
            let rest = BlockRun { chain, start: here, end: run.end };
            self.add(held.last().copied(), rest);
        }
        Ok(new)
    }

    /// Blocks of a path that nobody holds.
    fn idle_of(&self, path: &Path) -> u64 {
        let (mut idle, mut start) = (0, 0);
        for &(id, end) in path {
            let held = self.tree.get(id).value.pins > 0;
            idle += if held { 0 } else { u64::from(end - start) };
            start = end;
        }
        idle
    }

    /// New blocks of nobody below a run; they lengthen it where nobody could tell.
    fn add(&mut self, parent: Option<NodeId>, run: BlockRun) {
        let (start, end) = (run.start, run.end);
        let lengthens = |&id: &NodeId| {
            let node = self.tree.get(id);
            node.value.pins == 0 && node.children == 0 && Arc::ptr_eq(&node.chain, &run.chain)
        };
        let id = if let Some(id) = parent.filter(lengthens) {
            self.take_from_orders(id);
            self.tree.extend(id, end);
            self.came(id, start, HBM);
            id
        } else {
            let value = Run { pins: 0, used: self.releases, ..Run::new() };
            let id = self.tree.insert(parent, run, value);
            self.add_tier(id, HBM);
            id
        };
        self.put_into_orders(id);
    }
}
