//! How evenly attention kernels spread over the multiprocessors of a device.
//!
//! The form is FlashAttention 3's own way of giving out work (its public heuristics): rows of queries are
//! taken 128 at a time, keys 128 at a time. While sequences decode, each one's keys are split so that no
//! thread block has more than its share; a remainder that no multiprocessor is left for waits for the
//! first that is done. Steps that are not captured split no keys once their tiles fill the device: one
//! thread block then walks all keys of its tile, however long the context.

use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Keys of a block, and rows of a tile.
const BLOCK: u32 = 128;
/// The most splits of a sequence.
const MOST_SPLITS: u32 = 32;
/// The share of multiprocessors from which on tiles fill a device.
const FULL: f64 = 0.8;

/// How heads lie on one device.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tiles {
    pub multiprocessors: f64,
    /// Of keys and values.
    pub heads: f64,
    /// Heads of queries for each of them.
    pub group: f64,
    /// A tile's time for each key, over all layers, in nanoseconds.
    pub per_key: f64,
    /// The share of waiting for the longest thread block that is lost: the others leave it bandwidth.
    pub waiting: f64,
}

impl Tiles {
    /// A tile's time for each key, where a pair of a token and a key takes `pair` over all heads when
    /// the whole device works on it.
    pub fn per_key(pair: f64, heads: f64, multiprocessors: f64) -> f64 {
        f64::from(BLOCK) * pair * multiprocessors / heads
    }

    /// By how much the reading of these contexts takes longer than if it were spread evenly, as a share.
    pub fn unevenness(&self, contexts: impl Iterator<Item = u32> + Clone) -> f64 {
        let blocks = contexts.map(|context| context.div_ceil(BLOCK).max(1));
        let all: u64 = blocks.clone().map(u64::from).sum();
        if all == 0 {
            return 0.0;
        }
        let mean = all as f64 * self.heads / self.multiprocessors;
        let most = (libm::ceil(mean * 1.1) as u32).max(1);
        // Heads have the same work, so each takes its share of the multiprocessors.
        let places = ((self.multiprocessors / self.heads) as usize).max(1);
        let longest = longest(blocks, most, places);
        self.waiting * (f64::from(longest) / mean - 1.0).max(0.0)
    }

    /// The time until the longest walk of an uncaptured step is over: its largest chunk has `new` tokens
    /// behind `before`, and no sequence attends to more than `most` tokens. 0 where keys are split.
    pub fn walk(&self, new: u32, before: u32, most: u32) -> f64 {
        let tiles = self.heads * libm::ceil(self.group * f64::from(new) / f64::from(BLOCK));
        if tiles < FULL * self.multiprocessors {
            return 0.0;
        }
        let (new, before) = (f64::from(new), f64::from(before));
        let waves = libm::ceil(tiles / self.multiprocessors);
        let keys = (waves * (before + new / 2.0)).max(f64::from(most)).max(before + new);
        keys * self.per_key
    }
}

/// Gives out parts of at most `most` blocks in order, each to the place that is free first.
fn longest(blocks: impl Iterator<Item = u32>, most: u32, places: usize) -> u32 {
    let mut first: SmallVec<[u32; 64]> = SmallVec::new();
    let mut busy: BinaryHeap<Reverse<u32>> = BinaryHeap::new();
    let mut longest = 0;
    for count in blocks {
        let parts = count.div_ceil(most).min(MOST_SPLITS);
        let each = count.div_ceil(parts);
        let mut left = count;
        while left > 0 {
            let part = each.min(left);
            left -= part;
            if first.len() < places {
                first.push(part);
                longest = longest.max(part);
                continue;
            }
            if busy.is_empty() {
                busy.extend(first.iter().map(|&load| Reverse(load)));
            }
            let mut least = busy.peek_mut().expect("there is a place");
            least.0 += part;
            longest = longest.max(least.0);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: Tiles =
        Tiles { multiprocessors: 132.0, heads: 8.0, group: 4.0, per_key: 428.0, waiting: 1.0 };

    #[test]
    fn equal_contexts_are_even_and_one_remainder_too_many_waits() {
        // Sixteen sequences of sixteen blocks on sixteen places; then one more.
        let even = LLAMA.unevenness([2048; 16].into_iter());
        assert!((even - (16.0 / (256.0 * 8.0 / 132.0) - 1.0)).abs() < 1e-12, "{even}");
        let odd = LLAMA.unevenness([2048; 17].into_iter());
        assert!((odd - (32.0 / (272.0 * 8.0 / 132.0) - 1.0)).abs() < 1e-12, "{odd}");
        assert_eq!(LLAMA.unevenness([].into_iter()), 0.0);
    }

    #[test]
    fn short_chunks_split_their_keys_and_long_ones_walk() {
        assert_eq!(LLAMA.walk(256, 100_000, 100_256), 0.0);
        // 128 tiles, one each: the longest walks all keys.
        assert_eq!(LLAMA.walk(512, 10_000, 10_512), 428.0 * 10_512.0);
        // 256 tiles: two each.
        assert_eq!(LLAMA.walk(1024, 10_000, 11_024), 428.0 * 21_024.0);
        // Another sequence's context is longer.
        assert_eq!(LLAMA.walk(512, 0, 75_000), 428.0 * 75_000.0);
    }
}
