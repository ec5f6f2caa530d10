//! A store that keeps what others computed: a pool's. It is told where a run goes on from what it
//! has, so it finds the place by name instead of walking the path.

use super::load::Plan;
use super::{Acquired, BlockStore, NoRoom};
use crate::block::BlockRun;
use crate::time::Instant;

impl BlockStore {
    /// Keeps a run and the path before it, which counts as used: how many blocks are new. For a
    /// memory with nothing behind it.
    pub fn keep(&mut self, now: Instant, run: &BlockRun) -> Result<u32, NoRoom> {
        let found = self.find(&run.chain, run.start, run.end);
        let plan = Plan { end: found.coming, offer: None };
        match self.hold_planned(now, &run.chain, &found, &plan, run.end) {
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
