//! SMG's index, the crate kv-index.

use super::Index;
use crate::workload::Event;
use kv_index::{ChainBlockMap, ChainIndex, ContentHash, SequenceHash, StoredBlock};

/// Its chain index, asked through `score_into`, which allocates nothing.
pub struct KvIndex {
    index: ChainIndex,
    /// What each worker holds, which the caller keeps.
    held: Vec<ChainBlockMap>,
    /// Used again for each look-up.
    found: Vec<(u32, u32)>,
}

/// Its form of an event.
pub enum Change {
    Stored(u32, Option<SequenceHash>, Vec<StoredBlock>),
    Removed(u32, Vec<SequenceHash>),
}

impl Index for KvIndex {
    type Event = Change;
    type Query = Vec<ContentHash>;
    type Ready<'a> = &'a [ContentHash];

    const NAME: &'static str = "kv-index 2.0.0";

    fn new(workers: u32) -> Self {
        let index = ChainIndex::with_max_workers(workers as usize);
        for worker in 0..workers {
            let number = index.intern_worker(&format!("worker-{worker}")).expect("room for it");
            assert_eq!(number, worker, "workers are numbered in order");
        }
        let held = (0..workers).map(|_| ChainBlockMap::new()).collect();
        Self { index, held, found: Vec::new() }
    }

    fn event(event: &Event) -> Change {
        match event {
            Event::Stored { worker, parent, contents, names, .. } => {
                let block = |(&content, &name)| StoredBlock {
                    seq_hash: SequenceHash(name),
                    content_hash: ContentHash(content),
                };
                let blocks = contents.iter().zip(names).map(block).collect();
                Change::Stored(*worker, parent.map(SequenceHash), blocks)
            }
            Event::Removed { worker, names, .. } => {
                Change::Removed(*worker, names.iter().copied().map(SequenceHash).collect())
            }
        }
    }

    fn query(contents: &[u64]) -> Vec<ContentHash> {
        contents.iter().copied().map(ContentHash).collect()
    }

    fn read(query: &Vec<ContentHash>) -> u64 {
        query.iter().fold(0, |sum, content| sum ^ content.0)
    }

    fn ready(query: &Vec<ContentHash>) -> &[ContentHash] {
        query
    }

    fn apply(&mut self, event: Change) {
        match event {
            Change::Stored(worker, parent, blocks) => {
                let held = &mut self.held[worker as usize];
                let stored = self.index.apply_stored(worker, &blocks, parent, held);
                stored.expect("the parent is stored");
            }
            Change::Removed(worker, names) => {
                self.index.apply_removed(worker, &names, &mut self.held[worker as usize]);
            }
        }
    }

    fn look_up(&mut self, query: &[ContentHash]) -> usize {
        self.found.clear();
        let report = |worker, blocks| self.found.push((worker, blocks));
        self.index.score_into(query, |content| content.0, false, report);
        self.found.len()
    }

    fn overlap(&mut self, query: &[ContentHash]) -> Vec<(u32, u32)> {
        self.look_up(query);
        let mut found = self.found.clone();
        found.sort_unstable();
        found
    }
}
