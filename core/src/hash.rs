//! A fixed hasher for tables that are looked up but never walked. Keys are 128-bit block hashes,
//! which are uniform already, or small ids, which one mix spreads.

use crate::rng::mix64;
use core::hash::{BuildHasherDefault, Hasher};

/// A hash map with [`FixedHasher`]: the same on every run and machine.
pub type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// The hasher state of [`Map`], which has no random seed.
pub type FixedState = BuildHasherDefault<FixedHasher>;

/// A hasher without a random seed. It does not resist keys chosen to collide, so keys from outside
/// must be keyed hashes.
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
