//! Hits against caches that keep single blocks, and against all ways to keep them.

use proptest::collection::vec;
use proptest::prelude::*;
use warmpath_bounds::hits::{self, Hits};
use warmpath_bounds::prefixes::{Prefixes, Use};
use warmpath_core::block::{BlockHash, Chain, TokenBlocks};

const BLOCK: u32 = 4;

/// A request by the numbers of its blocks. Equal numbers have equal numbers before them.
#[derive(Clone, Debug)]
struct Plain {
    prompt: Vec<u32>,
    answer: Vec<u32>,
    /// Whether the prompt ends with a block's end.
    whole: bool,
}

impl Plain {
    fn reusable(&self) -> usize {
        self.prompt.len() - usize::from(self.whole && !self.prompt.is_empty())
    }

    fn to_use(&self) -> Use {
        let blocks = self.prompt.iter().chain(&self.answer);
        let hashes = blocks.map(|block| BlockHash::from_wire(u128::from(*block) + 1)).collect();
        let chain = Chain::from_wire(BLOCK, 0, hashes);
        let tokens = chain.tokens();
        Use {
            sequence: TokenBlocks::new(chain, tokens),
            prompt_blocks: self.prompt.len() as u32,
            reusable_blocks: self.reusable() as u32,
        }
    }
}

/// Paths in a small tree: each step goes to one of two children.
fn requests(most: usize, answers: bool) -> impl Strategy<Value = Vec<Plain>> {
    let path = (vec(0..2u32, 1..5), 0..3usize, any::<bool>());
    vec(path, 1..most).prop_map(move |paths| {
        let plain = |(steps, answer, whole): (Vec<u32>, usize, bool)| {
            let mut at = 1;
            let mut blocks: Vec<u32> = steps
                .iter()
                .map(|step| {
                    at = at * 2 + step;
                    at
                })
                .collect();
            let answer = if answers { answer.min(blocks.len()) } else { 0 };
            let answer = blocks.split_off(blocks.len() - answer);
            Plain { prompt: blocks, answer, whole }
        };
        paths.into_iter().map(plain).collect()
    })
}

fn tree(requests: &[Plain]) -> Prefixes {
    Prefixes::new(&requests.iter().map(Plain::to_use).collect::<Vec<_>>())
}

/// The most hits over all ways to keep at most `capacity` blocks after each request. Blocks are numbered from 2 to 31,
/// so a set of them is a number.
fn best(requests: &[Plain], capacity: usize) -> u64 {
    let mut reached = std::collections::BTreeMap::from([(0u32, 0u64)]);
    for request in requests {
        let set = |blocks: &[u32]| blocks.iter().fold(0u32, |set, block| set | 1 << block);
        let reusable = set(&request.prompt[..request.reusable()]);
        let all = set(&request.prompt) | set(&request.answer);
        let mut next = std::collections::BTreeMap::new();
        for (kept, hits) in reached {
            let found = u64::from((kept & reusable).count_ones());
            let from = kept | all;
            let mut part = from;
            loop {
                if part.count_ones() as usize <= capacity {
                    let best = next.entry(part).or_insert(0);
                    *best = (hits + found).max(*best);
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & from;
            }
        }
        reached = next;
    }
    reached.into_values().max().unwrap_or_default()
}

/// An LRU of single blocks. Ends of prompts are older than their starts.
fn lru(requests: &[Plain], capacity: usize) -> u64 {
    let mut kept: Vec<u32> = Vec::new();
    let mut hits = 0;
    for request in requests {
        let reusable = &request.prompt[..request.reusable()];
        hits += reusable.iter().filter(|block| kept.contains(block)).count() as u64;
        for block in request.prompt.iter().chain(&request.answer).rev() {
            kept.retain(|other| other != block);
            kept.push(*block);
        }
        let over = kept.len().saturating_sub(capacity);
        kept.drain(..over);
    }
    hits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_optimum_is_the_best_of_all_ways(requests in requests(6, false), capacity in 0..6usize) {
        let found = hits::optimal(&tree(&requests), capacity as u64);
        prop_assert_eq!(found.cached, best(&requests, capacity));
    }

    #[test]
    fn no_way_passes_the_optimum_where_answers_are_cached_too(
        requests in requests(6, true), capacity in 0..6usize
    ) {
        let found = hits::optimal(&tree(&requests), capacity as u64);
        prop_assert!(best(&requests, capacity) <= found.cached);
    }

    #[test]
    fn the_pooled_cache_is_an_lru(requests in requests(20, true), capacity in 0..12usize) {
        let found = hits::pooled_lru(&tree(&requests), capacity as u64);
        prop_assert_eq!(found.cached, lru(&requests, capacity));
    }

    #[test]
    fn bounds_are_in_order(requests in requests(30, true), capacity in 0..12u64) {
        let tree = tree(&requests);
        let (lru, optimal) = (hits::pooled_lru(&tree, capacity), hits::optimal(&tree, capacity));
        let infinite = hits::infinite(&tree);
        prop_assert!(lru.cached <= optimal.cached && optimal.cached <= infinite.cached);
        let blocks: usize = requests.iter().map(|request| request.prompt.len()).sum();
        prop_assert_eq!(infinite.blocks, blocks as u64);
        prop_assert_eq!(lru.blocks, blocks as u64);
    }

    /// The order of requests does not matter to the infinite cache.
    #[test]
    fn no_order_passes_the_infinite_cache(
        (requests, shuffled) in requests(8, true).prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))
    ) {
        let infinite = hits::infinite(&tree(&requests));
        let turned = tree(&requests).in_order((0..requests.len()).rev());
        prop_assert!(hits::optimal(&turned, 1_000).cached <= infinite.cached);
        prop_assert!(hits::optimal(&tree(&shuffled), 1_000).cached <= infinite.cached);
        prop_assert!(best(&shuffled, 32) <= infinite.cached);
    }
}

/// Tokens that are computed at least, in any order: those that are no hits of the infinite cache, and ends of prompts.
#[test]
fn the_least_work_is_what_no_cache_has() {
    let request = |prompt: &[u32], whole| Plain { prompt: prompt.to_vec(), answer: vec![], whole };
    let requests = [request(&[2, 4], false), request(&[2, 5], true), request(&[2, 4, 8], false)];
    let least = warmpath_bounds::work::least(&tree(&requests), BLOCK, &[9, 8, 15]);
    let sorted = |mut parts: Vec<std::ops::Range<u32>>| {
        parts.retain(|part| !part.is_empty());
        parts.sort_by_key(|part| part.start);
        parts.into_iter().map(|part| (part.start, part.end)).collect::<Vec<_>>()
    };
    let least: Vec<_> = least.into_iter().map(sorted).collect();
    assert_eq!(least, [vec![(0, 4), (4, 8), (8, 9)], vec![(4, 8)], vec![(8, 12), (12, 15)]]);
}

#[test]
fn no_requests_have_no_hits() {
    let none = tree(&[]);
    assert_eq!(hits::infinite(&none), Hits::default());
    assert_eq!(hits::optimal(&none, 5).rate(), 0.0);
}
