//! Prompts that workers have, by prefix: which worker has a request that begins with which blocks.
//!
//! A router keeps the prompts of dispatched requests whose blocks no event has announced yet. Without
//! them the requests of a burst on one prefix would go to many workers. A rule may keep others, for
//! example the prompts of all requests under way.

use crate::block::{BlockRun, TokenBlocks};
use crate::id::WorkerId;
use crate::routing::index::Overlap;
use crate::runs::{NodeId, RunTree};
use smallvec::SmallVec;

/// The workers that will hold a run, in ascending order, each with its number of requests. A prompt claims all of its
/// path, so a worker that claims a node claims every node above it. Runs come and go with their
/// requests, so that claims have room without an allocation.
type Claims = SmallVec<[(WorkerId, u32); 16]>;

/// The place of a worker; an error says where it would be.
fn place(claims: &Claims, worker: WorkerId) -> Result<usize, usize> {
    claims.binary_search_by_key(&worker, |&(holder, _)| holder)
}

/// Where an added prompt ends: its last run, which stays as long as the prompt does. None if the prompt has no full block.
pub type Place = Option<NodeId>;

/// The prompts that workers have, each as often as it was added.
#[derive(Debug, Default)]
pub struct PendingIndex {
    tree: RunTree<Claims>,
}

impl PendingIndex {
    /// Adds the prompt of a request that was sent to `worker`. Returns the blocks that no other prompt
    /// of the worker has, and the place by which the prompt is removed.
    pub fn add(&mut self, worker: WorkerId, prompt: &TokenBlocks) -> (u32, Place) {
        let (chain, end) = (prompt.chain(), prompt.blocks());
        let (mut depth, mut parent, mut new) = (0, None, 0);
        while depth < end {
            match self.tree.follow(chain, depth, end) {
                // Made-up names, such as a sibling may send: this block stands behind other ones. The prompt
                // ends here, so that what is removed later is what was added.
                Some((id, _)) if self.tree.get(id).parent != parent => break,
                Some((id, agreed)) => {
                    let whole = agreed == self.tree.get(id).end;
                    let part = if whole { id } else { self.tree.split(id, agreed) };
                    let claims = &mut self.tree.get_mut(part).value;
                    match place(claims, worker) {
                        Ok(at) => claims[at].1 += 1,
                        Err(at) => {
                            claims.insert(at, (worker, 1));
                            new += agreed - depth;
                        }
                    }
                    (depth, parent) = (agreed, Some(part));
                }
                None => {
                    let run = BlockRun { chain: chain.clone(), start: depth, end };
                    new += end - depth;
                    depth = end;
                    parent =
                        Some(self.tree.insert(parent, run, Claims::from_slice(&[(worker, 1)])));
                }
            }
        }
        // A run that is split keeps its id for the part with its end.
        (new, parent)
    }

    /// Reverts one `add` of a prompt of the worker that ends there. Panics if there was none. Returns the
    /// blocks that no other prompt of the worker has.
    pub fn remove(&mut self, worker: WorkerId, place_of_end: Place) -> u32 {
        let (mut next, mut gone) = (place_of_end, 0);
        while let Some(id) = next {
            let claims = &mut self.tree.get_mut(id).value;
            let at = place(claims, worker).expect("the worker has this prompt pending");
            claims[at].1 -= 1;
            let last = claims[at].1 == 0;
            if last {
                claims.remove(at);
            }
            let node = self.tree.get(id);
            next = node.parent;
            if last {
                gone += node.end - node.start;
            }
            if node.value.is_empty() && node.children == 0 {
                let start = node.start;
                self.tree.truncate(id, start);
            }
        }
        gone
    }

    /// Adds to `out` the blocks of `prompt` that each worker has, and that a request may reuse.
    pub fn merge_into(&self, prompt: &TokenBlocks, out: &mut Overlap) {
        self.merge_up_to(prompt.reusable_blocks(), prompt, out);
    }

    /// Adds to `out` all full blocks of `prompt` that each worker has.
    pub fn merge_whole_into(&self, prompt: &TokenBlocks, out: &mut Overlap) {
        self.merge_up_to(prompt.blocks(), prompt, out);
    }

    fn merge_up_to(&self, limit: u32, prompt: &TokenBlocks, out: &mut Overlap) {
        let chain = prompt.chain();
        let mut depth = 0;
        while let Some((id, agreed)) = self.tree.follow(chain, depth, limit) {
            let node = self.tree.get(id);
            out.raise_all(node.value.iter().map(|&(worker, _)| worker), agreed);
            depth = agreed;
            if agreed < node.end {
                break;
            }
        }
    }

    /// Whether there is no prompt.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockHash, Chain, ScopePlan, hash_blocks};
    use crate::id::{PoolId, SourceId};
    use crate::rng::Rng;

    fn view(tokens: &[u32]) -> TokenBlocks {
        TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", 2), tokens))
    }

    #[test]
    fn several_workers_are_raised_as_one_after_the_other() {
        for seed in 0..300 {
            let mut rng = Rng::named(seed, &[]);
            let (mut together, mut in_turn) = (Overlap::default(), Overlap::default());
            let size = 1 + rng.below(40);
            for _ in 0..4 {
                let pool = SourceId::Pool(PoolId(0));
                let source = WorkerId(rng.below(size) as u32).into();
                let source = if rng.below(4) == 0 { pool } else { source };
                let blocks = rng.below(9) as u32;
                for overlap in [&mut together, &mut in_turn] {
                    overlap.raise_stored(source, blocks);
                }
                let asked = |_: &u64| rng.below(3) == 0;
                let workers: Vec<_> =
                    (0..size).filter(asked).map(|id| WorkerId(id as u32)).collect();
                let blocks = rng.below(9) as u32;
                together.raise_all(workers.iter().copied(), blocks);
                workers.iter().for_each(|&id| in_turn.raise(id.into(), blocks));
                assert_eq!(together, in_turn, "seed {seed}");
            }
        }
    }

    /// Names of another process are not checked to be a chain: here the second block of a prompt is one that stands
    /// behind another first block.
    #[test]
    fn a_prompt_whose_names_are_no_chain_ends_where_it_is_none() {
        let named = |names: [u128; 2]| {
            let names = names.map(BlockHash::from_wire).to_vec();
            TokenBlocks::whole(Chain::from_wire(2, 0, names))
        };
        let mut pending = PendingIndex::default();
        let (a, b) = (WorkerId(0), WorkerId(1));
        let prompts = [(a, [1, 11]), (a, [1, 12]), (b, [2, 21]), (b, [2, 22]), (b, [2, 11])];
        let added = prompts.map(|(worker, names)| (worker, pending.add(worker, &named(names))));
        let new = added.map(|(_, (new, _))| new);
        assert_eq!(new, [2, 1, 2, 1, 0]);
        let gone = added.map(|(worker, (_, end))| pending.remove(worker, end));
        assert_eq!(gone.iter().sum::<u32>(), new.iter().sum::<u32>());
        assert!(pending.is_empty());
    }

    #[test]
    fn a_prompt_is_pending_as_long_as_one_of_its_requests() {
        let mut pending = PendingIndex::default();
        let long = view(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let short = view(&[1, 2, 3, 4]);
        let (a, b) = (WorkerId(0), WorkerId(1));
        let (_, end_of_long) = pending.add(a, &long);
        let [(two, end_of_short), (none, again)] = [(); 2].map(|()| pending.add(b, &short));
        assert_eq!((two, none), (2, 0), "new blocks");
        assert_eq!(end_of_short, again);
        let held = |pending: &PendingIndex| {
            let mut overlap = Overlap::default();
            pending.merge_into(&view(&[1, 2, 3, 4, 5, 6, 9, 9, 9]), &mut overlap);
            overlap.entries().iter().map(|e| (e.source, e.blocks())).collect::<Vec<_>>()
        };
        assert_eq!(held(&pending), [(SourceId::Worker(a), 3), (SourceId::Worker(b), 2)]);
        assert_eq!(pending.remove(b, end_of_short), 0);
        assert_eq!(held(&pending).len(), 2, "the second request of b still counts");
        assert_eq!(pending.remove(b, end_of_short), 2);
        assert_eq!(held(&pending), [(SourceId::Worker(a), 3)]);
        pending.remove(a, end_of_long);
        assert!(pending.is_empty());
    }
}
