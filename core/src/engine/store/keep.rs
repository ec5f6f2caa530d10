//! A store that keeps what others computed: a pool's. It is told where a run goes on from what it
//! has, so it finds the place by name instead of walking the path.

use super::load::Plan;
use super::{Acquired, BlockStore, NoRoom};
use crate::block::BlockRun;
use crate::runs::anchor_above;
use crate::time::Instant;

impl BlockStore {
    /// Keeps a run and the path before it, which counts as used: how many blocks are new. For a
    /// memory with nothing behind it.
    pub fn keep(&mut self, now: Instant, run: &BlockRun) -> Result<u32, NoRoom> {
        let found = self.find(&run.chain, run.start, run.end);
        let plan = Plan { end: found.coming, offer: None };
        // The place is found: of what lies before it only what an event must name is kept.
        let chain = run.chain.named_from(anchor_above(found.coming));
        match self.hold_planned(now, &chain, &found, &plan, run.end) {
            Acquired::Ready { mut lease, .. } => {
                self.commit(now, &mut lease, run.end);
                self.release(lease);
                Ok(run.end - found.coming)
            }
            Acquired::NoRoom => Err(NoRoom),
            Acquired::Waiting { .. } => unreachable!("there is nothing behind it"),
        }
    }
}
