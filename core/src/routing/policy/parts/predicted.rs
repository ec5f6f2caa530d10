//! An index made of predictions: what a router believes workers hold that gets no events from them. It
//! assumes that a worker holds what was sent to it, until so much else was sent there, or so much time
//! has passed, that it may be gone.

use crate::block::{BlockHash, TokenBlocks};
use crate::hash::{FixedState, Map};
use crate::id::{SourceId, WorkerId};
use crate::request::Request;
use crate::routing::index::Overlap;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::choices;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use lru::LruCache;
use smallvec::SmallVec;
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

choices! {
    /// Where a rule has it from what workers hold.
    pub enum Index {
        /// From the workers' events.
        Exact = "exact",
        /// From what was sent to them.
        Predicted = "predicted",
    }
}

/// How predictions are made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Prediction {
    /// Tokens of a block of this index. It is rounded up to whole blocks of the prompt.
    pub block_tokens: u32,
    /// Blocks of a prompt that are looked at, from its start.
    pub most_blocks: u32,
    /// Blocks that a worker is believed to hold at most; those sent longest ago are forgotten.
    pub capacity: u32,
    /// A block is forgotten when it was not sent for this time. None: never.
    pub ttl: Option<Duration>,
}

/// The workers to which a block was sent, and when last.
type Holders = SmallVec<[(WorkerId, Instant); 2]>;

/// What each worker is believed to hold.
#[derive(Debug)]
pub struct Predicted {
    how: Prediction,
    holders: Map<BlockHash, Holders>,
    /// The blocks of each worker in the order of their last use.
    order: BTreeMap<WorkerId, LruCache<BlockHash, (), FixedState>>,
    /// The result of a look-up, kept for its memory.
    found: RefCell<Overlap>,
}

impl Predicted {
    /// Without blocks.
    pub fn new(how: Prediction) -> Self {
        Self { how, holders: Map::default(), order: BTreeMap::new(), found: RefCell::default() }
    }

    /// Learns from what happened: a prompt that is sent is believed held from now on, and a worker that
    /// is lost or begins anew holds nothing. A rule calls it with each thing that it observes.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request, decision } => {
                self.insert(now, decision.worker, &request.prompt);
            }
            Observed::Lost(SourceId::Worker(worker)) => self.forget(worker),
            Observed::Joined(info) => self.forget(info.worker),
            _ => {}
        }
    }

    /// Believes that `worker` holds a prompt from now on.
    pub fn insert(&mut self, now: Instant, worker: WorkerId, prompt: &TokenBlocks) {
        let (step, count) = self.steps(prompt);
        let capacity = self.how.capacity;
        let order = self.order.entry(worker).or_insert_with(|| bounded(capacity));
        // From the end, so that the end of a prompt is forgotten before its start.
        for i in (0..count).rev() {
            let block = prompt.chain().hash((i + 1) * step - 1);
            if let Some((gone, ())) = order.push(block, ())
                && gone != block
            {
                forget(&mut self.holders, gone, worker);
            }
            let holders = self.holders.entry(block).or_default();
            match holders.iter_mut().find(|(holder, _)| *holder == worker) {
                Some((_, at)) => *at = now,
                None => holders.push((worker, now)),
            }
        }
        if let Some(ttl) = self.how.ttl {
            while let Some((&oldest, ())) = order.peek_lru()
                && let Some(holders) = self.holders.get(&oldest)
                && holders.iter().any(|&(holder, at)| holder == worker && now.since(at) >= ttl)
            {
                order.pop_lru();
                forget(&mut self.holders, oldest, worker);
            }
        }
    }

    /// What each worker holds of a request's prompt: by the fleet's events, or as believed here. What
    /// is believed counts as stored.
    pub fn overlap<'a>(
        &'a self,
        index: Index,
        request: &Request,
        view: &'a FleetView<'_>,
    ) -> Ref<'a, Overlap> {
        match index {
            Index::Exact => view.overlap(&request.prompt),
            Index::Predicted => self.find(view.now(), &request.prompt),
        }
    }

    /// The blocks of a prompt that each worker is believed to hold, counted from its start without a
    /// gap.
    pub fn find(&self, now: Instant, prompt: &TokenBlocks) -> Ref<'_, Overlap> {
        let mut found = self.found.borrow_mut();
        self.find_into(now, prompt, &mut found);
        drop(found);
        self.found.borrow()
    }

    fn find_into(&self, now: Instant, prompt: &TokenBlocks, out: &mut Overlap) {
        out.clear();
        let (step, count) = self.steps(prompt);
        for i in 0..count {
            let Some(holders) = self.holders.get(&prompt.chain().hash((i + 1) * step - 1)) else {
                return;
            };
            let mut goes_on = false;
            for &(worker, at) in holders {
                let is_fresh = self.how.ttl.is_none_or(|ttl| now.since(at) < ttl);
                let so_far = out.get(worker.into()).map_or(0, |entry| entry.blocks());
                if is_fresh && so_far == i * step {
                    out.raise_stored(worker.into(), (i + 1) * step);
                    goes_on = true;
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    /// From now on a worker is believed to hold at most this many blocks, in blocks of this index.
    pub fn bound(&mut self, worker: WorkerId, capacity: u32) {
        let order = self.order.entry(worker).or_insert_with(|| bounded(capacity));
        while order.len() > capacity.max(1) as usize
            && let Some((gone, ())) = order.pop_lru()
        {
            forget(&mut self.holders, gone, worker);
        }
        order.resize(non_zero(capacity));
    }

    /// Forgets a worker that is gone, or begins anew.
    pub fn forget(&mut self, worker: WorkerId) {
        let blocks = self.order.remove(&worker);
        for (block, ()) in blocks.iter().flatten() {
            forget(&mut self.holders, *block, worker);
        }
    }

    /// How many blocks a worker is believed to hold, in blocks of this index.
    pub fn blocks(&self, worker: WorkerId) -> usize {
        self.order.get(&worker).map_or(0, LruCache::len)
    }

    /// Blocks of the prompt for each block of this index, and how many of the latter are looked at.
    fn steps(&self, prompt: &TokenBlocks) -> (u32, u32) {
        let step = self.how.block_tokens.div_ceil(prompt.block_size()).max(1);
        (step, (prompt.blocks() / step).min(self.how.most_blocks))
    }
}

fn non_zero(capacity: u32) -> NonZeroUsize {
    NonZeroUsize::new(capacity as usize).unwrap_or(NonZeroUsize::MIN)
}

fn bounded(capacity: u32) -> LruCache<BlockHash, (), FixedState> {
    let mut order = LruCache::unbounded_with_hasher(FixedState::default());
    order.resize(non_zero(capacity));
    order
}

fn forget(holders: &mut Map<BlockHash, Holders>, block: BlockHash, worker: WorkerId) {
    if let Some(of_block) = holders.get_mut(&block) {
        of_block.retain(|&mut (holder, _)| holder != worker);
        if of_block.is_empty() {
            holders.remove(&block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{ScopePlan, hash_blocks};

    fn prompt(tokens: &[u32]) -> TokenBlocks {
        TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", 2), tokens))
    }

    fn found(predicted: &Predicted, now: u64, prompt: &TokenBlocks) -> Vec<(u32, u32)> {
        let out = predicted.find(Instant::from_nanos(now), prompt);
        let worker = |entry: &crate::routing::index::SourceOverlap| match entry.source {
            crate::id::SourceId::Worker(id) => (id.0, entry.blocks()),
            other @ crate::id::SourceId::Pool(_) => panic!("{other}"),
        };
        out.entries().iter().map(worker).collect()
    }

    /// Blocks of two tokens; a worker holds four of them, for 100 ns.
    #[test]
    fn the_end_of_the_oldest_prompt_is_forgotten_first() {
        let ttl = Some(Duration::from_nanos(100));
        let how = Prediction { block_tokens: 2, most_blocks: 9, capacity: 4, ttl };
        let mut predicted = Predicted::new(how);
        let at = Instant::from_nanos;
        let (long, other) = (prompt(&[1, 2, 3, 4, 5, 6]), prompt(&[7, 7, 8, 8]));
        predicted.insert(at(0), WorkerId(0), &long);
        predicted.insert(at(10), WorkerId(1), &prompt(&[1, 2, 3, 4]));
        assert_eq!(found(&predicted, 20, &long), [(0, 3), (1, 2)]);
        predicted.insert(at(20), WorkerId(0), &other);
        assert_eq!(found(&predicted, 20, &long), [(0, 2), (1, 2)], "five blocks do not fit");
        assert_eq!(found(&predicted, 20, &other), [(0, 2)]);
        assert_eq!(found(&predicted, 105, &long), [(1, 2)], "sent to w0 more than 100 ns ago");
        predicted.insert(at(130), WorkerId(1), &other);
        assert_eq!((predicted.blocks(WorkerId(1)), predicted.blocks(WorkerId(0))), (2, 4));
        predicted.forget(WorkerId(0));
        assert_eq!(found(&predicted, 130, &other), [(1, 2)]);
    }

    #[test]
    fn a_block_of_the_index_may_be_several_of_the_prompt() {
        let how = Prediction { block_tokens: 3, most_blocks: 1, capacity: 9, ttl: None };
        let mut predicted = Predicted::new(how);
        predicted.insert(Instant::START, WorkerId(0), &prompt(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 9]));
        // Four tokens are two blocks; one block of the index is looked at.
        assert_eq!(found(&predicted, 1, &prompt(&[1, 2, 3, 4, 5, 6, 7, 8])), [(0, 2)]);
        assert_eq!(found(&predicted, 1, &prompt(&[1, 2, 3])), [], "a block is not full");
    }
}
