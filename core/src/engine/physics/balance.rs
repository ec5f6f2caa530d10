//! How evenly attention kernels spread over the multiprocessors of a device.
//!
//! The form is FlashAttention 3's own way of giving out work (its public heuristics): rows of queries are
//! taken 128 at a time, keys 128 at a time. While sequences decode, each one's keys are split so that no
//! thread block has more than its share; a remainder that no multiprocessor is left for waits for the
//! first that is done. Steps that are not captured split no keys once their tiles fill the device: one
//! thread block then walks all keys of its tile, however long the context.

use smallvec::SmallVec;

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
        let places = ((self.multiprocessors / self.heads) as u32).max(1);
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

/// Gives out parts of at most `most` blocks in order, each to the place that is free first. Returns the
/// blocks of the place that has the most.
fn longest(blocks: impl Iterator<Item = u32> + Clone, most: u32, places: u32) -> u32 {
    let Some(longest_text) = blocks.clone().max() else { return 0 };
    let widest = most.max(longest_text.div_ceil(MOST_SPLITS)).min(longest_text);
    // Only their loads tell places apart. No load is more than a part above the least, which never
    // falls: so a ring that counts the places of each load is enough.
    let ring = (widest + 1).next_power_of_two();
    let mut room = SmallVec::<[u32; 256]>::new();
    room.resize(ring as usize, 0);
    let of_load = &mut room[..];
    let at = |load: u32| (load & (ring - 1)) as usize;
    of_load[0] = places;
    let (mut least, mut longest) = (0, 0);
    let mut give = |part: u32| {
        while of_load[at(least)] == 0 {
            least += 1;
        }
        of_load[at(least)] -= 1;
        of_load[at(least + part)] += 1;
        longest = longest.max(least + part);
    };
    for count in blocks {
        if count <= most {
            give(count);
            continue;
        }
        let each = count.div_ceil(count.div_ceil(most).min(MOST_SPLITS));
        let mut left = count;
        while left > 0 {
            let part = each.min(left);
            left -= part;
            give(part);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

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

    /// The same with a heap of the places' loads.
    fn longest_by_heap(blocks: &[u32], most: u32, places: usize) -> u32 {
        let mut busy: BinaryHeap<Reverse<u32>> = (0..places).map(|_| Reverse(0)).collect();
        for &count in blocks {
            let parts = count.div_ceil(most).min(MOST_SPLITS);
            let each = count.div_ceil(parts);
            let mut left = count;
            while left > 0 {
                let part = each.min(left);
                left -= part;
                busy.peek_mut().expect("there is a place").0 += part;
            }
        }
        busy.iter().map(|load| load.0).max().unwrap_or(0)
    }

    #[test]
    fn the_ring_of_loads_gives_out_parts_as_a_heap_does() {
        let mut rng = Rng::named(5, &[]);
        for case in 0..2_000 {
            let widest = [1, 3, 40, 900, 40_000][case % 5];
            let blocks: Vec<u32> =
                (0..rng.below(90)).map(|_| 1 + rng.below(widest) as u32).collect();
            let (most, places) = (1 + rng.below(widest) as u32, 1 + rng.below(70) as u32);
            let found = longest(blocks.iter().copied(), most, places);
            assert_eq!(found, longest_by_heap(&blocks, most, places as usize), "case {case}");
        }
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
