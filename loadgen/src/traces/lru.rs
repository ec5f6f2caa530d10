//! One LRU cache of any size over a sequence of prompts: how recently each block was used, counted in
//! other blocks. A block is found in a cache of `n` blocks if fewer than `n` others were used since.
//!
//! The blocks of a prompt are used from its end to its start, so its end is evicted first. The blocks
//! that were last used by one prompt are then a stretch of it up to its end, since later prompts
//! shared its start. So it is enough to count, for each prompt, the blocks that it used last.

use std::collections::HashMap;
use warmpath_core::request::Request;

#[derive(Debug)]
pub struct Lru {
    /// The sizes of caches, in blocks, ascending.
    sizes: Vec<u64>,
    /// The last prompt that used a block, by the block's name.
    last: HashMap<u64, u32>,
    /// The blocks that each prompt used last, as sums over ranges (a Fenwick tree).
    sums: Vec<u64>,
    prompts: u32,
}

/// What one prompt finds.
#[derive(Debug, Default)]
pub struct Found {
    /// Blocks that any earlier prompt had.
    pub ever: u64,
    /// Blocks in a cache of each size.
    pub within: Vec<u64>,
}

impl Lru {
    /// For at most `prompts` prompts.
    pub fn new(sizes: Vec<u64>, prompts: usize) -> Self {
        Self { sizes, last: HashMap::new(), sums: vec![0; prompts + 1], prompts: 0 }
    }

    /// The number of different blocks so far.
    pub fn blocks(&self) -> u64 {
        self.last.len() as u64
    }

    /// Uses a prompt's blocks.
    pub fn use_prompt(&mut self, request: &Request) -> Found {
        let prompt = &request.prompt;
        let now = self.prompts;
        self.prompts += 1;
        let mut found = Found { ever: 0, within: vec![0; self.sizes.len()] };
        let reusable = u64::from(prompt.reusable_blocks());
        let mut used_after = 0;
        let mut stretches: Vec<(u32, u64)> = Vec::new();
        for block in 0..prompt.blocks() {
            let (depth, hash) = (u64::from(block), prompt.chain().hash(block));
            // 64 of the name's 128 bits tell the blocks of one trace apart.
            let Some(before) = self.last.insert(hash.to_wire() as u64, now) else { continue };
            match stretches.last_mut() {
                Some((last, blocks)) if *last == before => *blocks += 1,
                _ => {
                    used_after = self.used_after(before);
                    stretches.push((before, 1));
                }
            }
            if depth >= reusable {
                continue;
            }
            found.ever += 1;
            let in_stretch = stretches.last().map_or(0, |(_, blocks)| blocks - 1);
            let since = used_after + in_stretch;
            for (size, count) in self.sizes.iter().zip(&mut found.within) {
                *count += u64::from(since < *size);
            }
        }
        for (before, blocks) in stretches {
            self.add(before, blocks.wrapping_neg());
        }
        self.add(now, u64::from(prompt.blocks()));
        found
    }

    /// Blocks that prompts after this one used last.
    fn used_after(&self, prompt: u32) -> u64 {
        self.sum(self.prompts).wrapping_sub(self.sum(prompt + 1))
    }

    fn sum(&self, prompts: u32) -> u64 {
        let (mut i, mut sum) = (prompts as usize, 0_u64);
        while i > 0 {
            sum = sum.wrapping_add(self.sums[i]);
            i &= i - 1;
        }
        sum
    }

    fn add(&mut self, prompt: u32, blocks: u64) {
        let mut i = prompt as usize + 1;
        while i < self.sums.len() {
            self.sums[i] = self.sums[i].wrapping_add(blocks);
            i += i & i.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use warmpath_core::block::{ScopePlan, hash_segments};
    use warmpath_core::id::RequestId;
    use warmpath_core::request::{TokenSource, Work};
    use warmpath_core::rng::Rng;
    use warmpath_core::tokens::Segment;

    fn request(ids: &[u64]) -> Request {
        let text = |&seed: &u64| Segment::Text { seed, tokens: 4 };
        let segments: Vec<Segment> =
            ids.iter().map(text).chain([Segment::Text { seed: 0, tokens: 2 }]).collect();
        let chain = Arc::new(hash_segments(&ScopePlan::new("", "", "", 4), &segments));
        let tokens = (ids.len() as u32 * 4 + 1, 1);
        Work::new(RequestId(0), None, &chain, tokens, TokenSource::default()).request
    }

    /// A list of blocks, the last used one first.
    fn by_hand(used: &mut Vec<Vec<u64>>, ids: &[u64], size: usize) -> u64 {
        let paths = (1..=ids.len()).map(|end| ids[..end].to_vec());
        let hits = paths.clone().take_while(|path| used.iter().take(size).any(|at| at == path));
        let hits = hits.count() as u64;
        for path in paths.rev() {
            used.retain(|at| *at != path);
            used.insert(0, path);
        }
        hits
    }

    #[test]
    fn it_finds_what_a_list_in_order_of_use_finds() {
        let mut rng = Rng::named(3, &[]);
        let sizes = [1, 5, 12, 40];
        let mut lru = Lru::new(sizes.to_vec(), 300);
        let mut lists = vec![Vec::new(); sizes.len()];
        for i in 0..300 {
            let ids: Vec<u64> = (0..1 + rng.below(8)).map(|_| 1 + rng.below(2)).collect();
            let found = lru.use_prompt(&request(&ids));
            for ((size, list), within) in sizes.iter().zip(&mut lists).zip(&found.within) {
                assert_eq!(
                    by_hand(list, &ids, *size as usize),
                    *within,
                    "prompt {i}, {size} blocks"
                );
            }
        }
        assert_eq!(lru.blocks(), lists[0].len() as u64);
    }
}
