//! Dynamo's radix tree, of the crate dynamo-kv-router.

use super::Index;
use crate::workload::Event;
use dynamo_kv_router::RadixTree;
use dynamo_kv_router::protocols::{
    ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheRemoveData, KvCacheStoreData,
    KvCacheStoredBlockData, LocalBlockHash, RouterEvent,
};

/// Its radix tree of one thread.
pub struct Dynamo(RadixTree);

impl Index for Dynamo {
    type Event = RouterEvent;
    type Query = Vec<LocalBlockHash>;
    /// A look-up takes a list of its own.
    type Ready<'a> = Vec<LocalBlockHash>;

    const NAME: &'static str = "dynamo-kv-router 1.6.1";

    fn new(_workers: u32) -> Self {
        Self(RadixTree::new())
    }

    fn event(event: &Event) -> RouterEvent {
        let (worker, data) = match event {
            Event::Stored { worker, parent, contents, names, .. } => {
                let block = |(&content, &name)| KvCacheStoredBlockData {
                    block_hash: ExternalSequenceBlockHash(name),
                    tokens_hash: LocalBlockHash(content),
                    mm_extra_info: None,
                };
                let data = KvCacheStoreData {
                    parent_hash: parent.map(ExternalSequenceBlockHash),
                    start_position: None,
                    blocks: contents.iter().zip(names).map(block).collect(),
                };
                (*worker, KvCacheEventData::Stored(data))
            }
            Event::Removed { worker, names, .. } => {
                let block_hashes = names.iter().copied().map(ExternalSequenceBlockHash).collect();
                (*worker, KvCacheEventData::Removed(KvCacheRemoveData { block_hashes }))
            }
        };
        // The tree does not read the event's number.
        let event = KvCacheEvent { event_id: 0, data, dp_rank: 0 };
        RouterEvent::new(u64::from(worker), event)
    }

    fn query(contents: &[u64]) -> Vec<LocalBlockHash> {
        contents.iter().copied().map(LocalBlockHash).collect()
    }

    fn read(query: &Vec<LocalBlockHash>) -> u64 {
        query.iter().fold(0, |sum, content| sum ^ content.0)
    }

    fn ready(query: &Vec<LocalBlockHash>) -> Vec<LocalBlockHash> {
        query.clone()
    }

    fn apply(&mut self, event: RouterEvent) {
        self.0.apply_event(event).expect("the parent is stored");
    }

    fn look_up(&mut self, query: Vec<LocalBlockHash>) -> usize {
        self.0.find_matches(query, false).scores.len()
    }

    fn overlap(&mut self, query: Vec<LocalBlockHash>) -> Vec<(u32, u32)> {
        let scores = self.0.find_matches(query, false).scores;
        let pair = |(worker, blocks): (_, u32)| {
            let worker: dynamo_kv_router::protocols::WorkerWithDpRank = worker;
            (worker.worker_id as u32, blocks)
        };
        let mut found: Vec<(u32, u32)> = scores.into_iter().map(pair).collect();
        found.sort_unstable();
        found
    }
}
