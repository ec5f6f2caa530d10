//! Bounds on cached prompt blocks.

use crate::prefixes::{Node, Prefixes};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Blocks of all prompts together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hits {
    /// Full blocks of prompts.
    pub blocks: u64,
    /// Those of them that were cached.
    pub cached: u64,
}

impl Hits {
    /// The cached share, 0 to 1.
    pub fn rate(&self) -> f64 {
        if self.blocks == 0 { 0.0 } else { self.cached as f64 / self.blocks as f64 }
    }
}

/// The cached blocks that no rule, no order of requests and no memory can pass.
///
/// A block is computed at least once. If that can be for an answer, or for the last token of a prompt, all prompts
/// that can find it in a cache may; else all but one.
pub fn infinite(prefixes: &Prefixes) -> Hits {
    let mut hits = Hits::default();
    for (request, cached) in infinite_of_each(prefixes).into_iter().enumerate() {
        hits.add(prefixes, request, cached);
    }
    hits
}

/// The same, for each request.
pub fn infinite_of_each(prefixes: &Prefixes) -> Vec<u64> {
    let mut known = vec![false; prefixes.nodes()];
    for request in 0..prefixes.len() {
        let free = prefixes.answer(request).chain(prefixes.computed(request));
        free.for_each(|node| known[node as usize] = true);
    }
    let mut of = |request| {
        let mut cached = 0;
        for node in prefixes.reusable(request) {
            if std::mem::replace(&mut known[node as usize], true) {
                cached += u64::from(prefixes.blocks(node));
            }
        }
        cached
    };
    (0..prefixes.len()).map(&mut of).collect()
}

/// One cache of `capacity` blocks for all requests, which evicts what was not used for longest. Of a prompt its
/// end leaves first. An answer is cached right behind its prompt.
///
/// It is no bound, but what one worker with the memory of all of them would have.
pub fn pooled_lru(prefixes: &Prefixes, capacity: u64) -> Hits {
    let mut cache = Cache::new(prefixes, capacity);
    let mut hits = Hits::default();
    for request in 0..prefixes.len() {
        let cached = prefixes.reusable(request).map(|node| cache.cached(node)).sum();
        hits.add(prefixes, request, cached);
        let all = prefixes.answer(request).chain(prefixes.prompt(request));
        for node in all {
            // The smallest key stays: what was used last, and of that the start.
            cache.put(node, (Reverse(request), prefixes.range(node).end));
        }
        cache.evict();
    }
    hits
}

/// The most cached blocks of one cache of `capacity` blocks for all requests in this order, if it knew the
/// future (Belady, with the choice not to cache a block at all).
///
/// A fleet whose caches have that many blocks together cannot have more, whatever it does.
/// The first use of a block that an answer left is free: it is a hit, and took no memory until then.
pub fn optimal(prefixes: &Prefixes, capacity: u64) -> Hits {
    let uses = Uses::new(prefixes);
    let mut at = vec![0; prefixes.nodes()];
    let mut left = vec![false; prefixes.nodes()];
    let mut cache = Cache::new(prefixes, capacity);
    let mut hits = Hits::default();
    for request in 0..prefixes.len() {
        let mut cached = 0;
        for node in prefixes.reusable(request) {
            cached += match std::mem::take(&mut left[node as usize]) {
                true => u64::from(prefixes.blocks(node)),
                false => cache.cached(node),
            };
            at[node as usize] += 1;
        }
        for node in prefixes.prompt(request) {
            match uses.of(node).get(at[node as usize]) {
                Some(next) => cache.put(node, *next),
                None => cache.remove(node),
            }
        }
        hits.add(prefixes, request, cached);
        cache.evict();
        prefixes.answer(request).for_each(|node| left[node as usize] = true);
    }
    hits
}

impl Hits {
    fn add(&mut self, prefixes: &Prefixes, request: usize, cached: u64) {
        self.blocks += u64::from(prefixes.prompt_blocks(request));
        self.cached += cached;
    }
}

/// The requests that can find a node in a cache, in order.
struct Uses {
    starts: Vec<usize>,
    requests: Vec<u32>,
}

impl Uses {
    fn new(prefixes: &Prefixes) -> Self {
        let mut starts = vec![0; prefixes.nodes() + 1];
        for request in 0..prefixes.len() {
            prefixes.reusable(request).for_each(|node| starts[node as usize + 1] += 1);
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut requests = vec![0; starts.last().copied().unwrap_or_default()];
        for request in 0..prefixes.len() {
            for node in prefixes.reusable(request) {
                requests[next[node as usize]] = request as u32;
                next[node as usize] += 1;
            }
        }
        Self { starts, requests }
    }

    fn of(&self, node: Node) -> &[u32] {
        &self.requests[self.starts[node as usize]..self.starts[node as usize + 1]]
    }
}

/// A cache that evicts the blocks of the node with the largest key first. All blocks of a node have the same
/// key, so it matters only how many of them are cached.
struct Cache<'a, K> {
    prefixes: &'a Prefixes,
    capacity: u64,
    used: u64,
    kept: Vec<Option<(K, u32)>>,
    /// An entry counts if its key is that of its node.
    order: BinaryHeap<(K, Node)>,
}

impl<'a, K: Copy + Ord> Cache<'a, K> {
    fn new(prefixes: &'a Prefixes, capacity: u64) -> Self {
        let kept = vec![None; prefixes.nodes()];
        Self { prefixes, capacity, used: 0, kept, order: BinaryHeap::new() }
    }

    fn cached(&self, node: Node) -> u64 {
        self.kept[node as usize].map_or(0, |(_, blocks)| blocks.into())
    }

    fn put(&mut self, node: Node, key: K) {
        self.remove(node);
        let blocks = self.prefixes.blocks(node);
        self.used += u64::from(blocks);
        self.kept[node as usize] = Some((key, blocks));
        self.order.push((key, node));
    }

    fn remove(&mut self, node: Node) {
        self.used -= self.cached(node);
        self.kept[node as usize] = None;
    }

    fn evict(&mut self) {
        while self.used > self.capacity {
            let (key, node) = self.order.peek().copied().expect("what is cached has an entry");
            let kept = &mut self.kept[node as usize];
            match kept {
                Some((of_node, blocks)) if *of_node == key => {
                    let over = u32::try_from(self.used - self.capacity).unwrap_or(u32::MAX);
                    let evicted = over.min(*blocks);
                    self.used -= u64::from(evicted);
                    *blocks -= evicted;
                    if *blocks > 0 {
                        return;
                    }
                    *kept = None;
                }
                _ => {}
            }
            self.order.pop();
        }
    }
}
