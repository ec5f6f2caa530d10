//! A router's index that follows a store's events, and nothing else.

use warmpath_core::engine::store::BlockStore;
use warmpath_core::event::{KvBatch, Snapshot};
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::routing::index::PrefixIndex;

pub const SOURCE: SourceId = SourceId::Worker(WorkerId(0));

pub struct Follower {
    pub index: PrefixIndex,
    seq: u64,
}

impl Default for Follower {
    fn default() -> Self {
        let mut index = PrefixIndex::default();
        index.replace(&Snapshot { source: SOURCE, epoch: 0, seq: 0, runs: Vec::new() }).unwrap();
        Self { index, seq: 0 }
    }
}

impl Follower {
    /// Applies the store's events. The index must then have the store's contents.
    pub fn follow(&mut self, store: &mut BlockStore) {
        self.seq += 1;
        let events = store.take_events();
        self.index.apply(&KvBatch { source: SOURCE, epoch: 0, seq: self.seq, events }).unwrap();
        self.index.check();
        assert_eq!(self.index.digest(SOURCE), store.digest(), "events against contents");
    }
}
