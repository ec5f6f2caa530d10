//! A fixed hasher for tables that are only looked up. Keys are either keyed 128-bit hashes, which
//! are uniform already, or small ids, which one multiplication spreads.

use crate::rng::mix64;
use core::hash::{BuildHasherDefault, Hasher};

pub type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
pub type FixedState = BuildHasherDefault<FixedHasher>;

#[derive(Clone, Copy, Debug, Default)]
pub struct FixedHasher(u64);

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix64(self.0 ^ word);
    }

    fn write_u128(&mut self, word: u128) {
        self.0 ^= (word >> 64) as u64 ^ word as u64;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
