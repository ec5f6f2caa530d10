//! Our index, fed as from the wire: each event has a chain of its own, with the names from the anchor
//! above its start on.

use super::Index;
use crate::workload::{Event, Stretch, names};
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{SourceId, TierId, WorkerId};
use warmpath_core::rng::mix64;
use warmpath_core::routing::index::{Overlap, PrefixIndex};

const BLOCK: u32 = 512;

/// Without digests, as a simulation has it.
pub struct Ours {
    index: PrefixIndex,
    /// The number of each worker's last batch.
    seqs: Vec<u64>,
    /// Used again for each look-up, as the router does.
    found: Overlap,
}

/// With digests, as the live router has it.
pub struct Digests(Ours);

/// 128 bits, as our names are.
fn named(name: u64) -> BlockHash {
    BlockHash::from_wire(u128::from(mix64(name ^ 0xabcd)) << 64 | u128::from(name))
}

fn run(stretch: &Stretch) -> BlockRun {
    let names = stretch.names.iter().map(|&name| named(name)).collect();
    let end = stretch.base + stretch.names.len() as u32;
    let chain = Chain::from_wire(BLOCK, stretch.base, names);
    BlockRun { chain, start: stretch.start, end }
}

const fn source(worker: u32) -> SourceId {
    SourceId::Worker(WorkerId(worker))
}

impl Ours {
    fn of(mut index: PrefixIndex, workers: u32) -> Self {
        for worker in 0..workers {
            let empty = Snapshot { source: source(worker), epoch: 1, seq: 0, runs: Vec::new() };
            index.replace(&empty).expect("an empty snapshot");
        }
        Self { index, seqs: vec![0; workers as usize], found: Overlap::default() }
    }
}

impl Index for Ours {
    type Event = KvBatch;
    type Query = TokenBlocks;
    type Ready<'a> = &'a TokenBlocks;

    const NAME: &'static str = "warmpath";

    fn new(workers: u32) -> Self {
        Self::of(PrefixIndex::default(), workers)
    }

    fn event(event: &Event) -> KvBatch {
        let tier = TierId::HBM;
        let (worker, events) = match event {
            Event::Stored { worker, stretch, .. } => {
                (worker, vec![KvEvent::Stored { tier, run: run(stretch) }])
            }
            Event::Removed { worker, stretches, .. } => {
                let removed = |stretch| KvEvent::Removed { tier, run: run(stretch) };
                (worker, stretches.iter().map(removed).collect())
            }
        };
        KvBatch { source: source(*worker), epoch: 1, seq: 0, events }
    }

    /// With one block more, which no worker holds, so that all of the others may be reused.
    fn query(contents: &[u64]) -> TokenBlocks {
        let names = names(contents).into_iter().chain([1]).map(named).collect();
        TokenBlocks::whole(Chain::from_wire(BLOCK, 0, names))
    }

    fn read(query: &TokenBlocks) -> u64 {
        let names = (0..query.blocks()).map(|block| query.chain().hash(block).to_wire() as u64);
        names.fold(0, |sum, name| sum ^ name)
    }

    fn ready(query: &TokenBlocks) -> &TokenBlocks {
        query
    }

    fn apply(&mut self, mut batch: KvBatch) {
        let SourceId::Worker(worker) = batch.source else { unreachable!("only workers are fed") };
        let seq = &mut self.seqs[worker.0 as usize];
        *seq += 1;
        batch.seq = *seq;
        self.index.apply(&batch).expect("batches in order");
    }

    fn look_up(&mut self, query: &TokenBlocks) -> usize {
        self.index.overlap(query, &mut self.found);
        self.found.entries().len()
    }

    fn overlap(&mut self, query: &TokenBlocks) -> Vec<(u32, u32)> {
        self.look_up(query);
        let pairs = self.found.entries().iter().map(|entry| match entry.source {
            SourceId::Worker(worker) => (worker.0, entry.blocks()),
            SourceId::Pool(_) => unreachable!("only workers are fed"),
        });
        pairs.collect()
    }
}

impl Index for Digests {
    type Event = KvBatch;
    type Query = TokenBlocks;
    type Ready<'a> = &'a TokenBlocks;

    const NAME: &'static str = "warmpath with digests";

    fn new(workers: u32) -> Self {
        Self(Ours::of(PrefixIndex::with_digests(), workers))
    }

    fn event(event: &Event) -> KvBatch {
        Ours::event(event)
    }

    fn query(contents: &[u64]) -> TokenBlocks {
        Ours::query(contents)
    }

    fn read(query: &TokenBlocks) -> u64 {
        Ours::read(query)
    }

    fn ready(query: &TokenBlocks) -> &TokenBlocks {
        query
    }

    fn apply(&mut self, batch: KvBatch) {
        self.0.apply(batch);
    }

    fn look_up(&mut self, query: &TokenBlocks) -> usize {
        self.0.look_up(query)
    }

    fn overlap(&mut self, query: &TokenBlocks) -> Vec<(u32, u32)> {
        self.0.overlap(query)
    }
}
