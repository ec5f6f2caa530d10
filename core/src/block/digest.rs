//! A keyed digest of one block's tokens: a universal hash in the field of the integers modulo 2^127 - 1.
//!
//! Sixteen tokens are a piece of eight words. A piece is the sum of its words, each times a key of its own. A block
//! of several pieces is a polynomial of them, at a point that is a key too. One more key is added at the end. So
//! no step has to wait for the one before it inside a piece. A person who knows the keys finds two blocks with one digest
//! at once; `docs/security.md` has the bounds for those who do not.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

/// The prime. Modulo it, 2^127 is 1.
const P: u128 = (1 << 127) - 1;
const LOW: u128 = u64::MAX as u128;
/// The bits of half a word's key: eight products of such a half and a word add up to less than 2^128.
const HALF: u64 = (1 << 61) - 1;

/// Tokens a piece.
pub(super) const PIECE: usize = 16;
/// Words a piece.
const WORDS: usize = PIECE / 2;

/// The keys of [`Self::digest`].
#[derive(Clone)]
pub(super) struct DigestKeys {
    /// The key of a word is `low + 2^64 * high`.
    words: [WordKey; WORDS],
    /// The point of the polynomial, below [`P`].
    point: u128,
    /// What is added at the end, below [`P`]. It makes any two digests independent of each other, so that not only
    /// they differ: neither do they differ by a mask that was chosen before.
    last: u128,
}

#[derive(Clone, Copy)]
struct WordKey {
    low: u64,
    high: u64,
}

impl DigestKeys {
    /// The keys are what AES makes of the numbers from 0 on.
    pub fn new(key: &[u8; 16]) -> Self {
        let mut bits: [_; WORDS + 2] =
            std::array::from_fn(|number| Array::from((number as u128).to_le_bytes()));
        Aes128Enc::new(&Array(*key)).encrypt_blocks(&mut bits);
        let bits = bits.map(|block| u128::from_le_bytes(block.0));
        let half = |bits: u128| bits as u64 & HALF;
        let words =
            std::array::from_fn(|i| WordKey { low: half(bits[i]), high: half(bits[i] >> 64) });
        let [.., point, last] = bits.map(|bits| canonical(bits & P));
        Self { words, point, last }
    }

    /// The digest of a block, below 2^127 - 1. Blocks of different lengths need different keys: the last piece of a
    /// block may be shorter.
    #[inline]
    pub fn digest(&self, block: &[u32]) -> u128 {
        let (pieces, rest) = block.as_chunks();
        let rest = (!rest.is_empty()).then(|| {
            self.sum(rest.chunks(2).map(|pair| word([pair[0], pair.get(1).copied().unwrap_or(0)])))
        });
        let pieces = pieces.iter().map(|piece| self.piece(piece)).chain(rest);
        let all = pieces.reduce(|before, piece| canonical(times(before, self.point) + piece));
        canonical(all.unwrap_or(0) + self.last)
    }

    /// The digest of a block of one full piece.
    #[inline(always)]
    pub fn digest_piece(&self, piece: &[u32; PIECE]) -> u128 {
        canonical(self.piece(piece) + self.last)
    }

    #[inline(always)]
    fn piece(&self, piece: &[u32; PIECE]) -> u128 {
        self.sum(piece.as_chunks().0.iter().copied().map(word))
    }

    /// The sum of at most [`WORDS`] words, each times its key.
    #[inline(always)]
    fn sum(&self, words: impl Iterator<Item = u64>) -> u128 {
        let (mut low, mut high) = (0, 0);
        for (key, word) in self.words.iter().zip(words) {
            low += u128::from(key.low) * u128::from(word);
            high += u128::from(key.high) * u128::from(word);
        }
        reduced(low, high)
    }
}

#[inline(always)]
fn word([first, second]: [u32; 2]) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// `low + 2^64 * high` modulo [`P`], below it.
#[inline(always)]
const fn reduced(low: u128, high: u128) -> u128 {
    // 2^128 is 2, and what is above bit 127 counts as much less.
    let upper = (low >> 64) + (high & LOW);
    let lower = (low & LOW) + 2 * (high >> 64) + (upper >> 63);
    canonical(((upper & (LOW >> 1)) << 64) + lower)
}

/// The number modulo [`P`], below it. It must be less than `2 * P`.
#[inline(always)]
const fn canonical(number: u128) -> u128 {
    (number + ((number + 1) >> 127)) & P
}

/// The product of two numbers below [`P`], modulo [`P`] and below it.
#[inline(always)]
const fn times(a: u128, b: u128) -> u128 {
    let (a0, a1, b0, b1) = (a & LOW, a >> 64, b & LOW, b >> 64);
    let (low, middle, high) = (a0 * b0, a0 * b1 + a1 * b0, a1 * b1);
    reduced((low & P) + (low >> 127) + 2 * high, middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// By doubling and adding, bit by bit.
    fn slow_times(a: u128, b: u128) -> u128 {
        (0..127).rev().fold(0, |sum, bit| {
            let sum = (sum + sum) % P;
            if b >> bit & 1 == 1 { (sum + a) % P } else { sum }
        })
    }

    #[test]
    fn the_field_counts_modulo_its_prime() {
        let mut rng = Rng::named(1, &[]);
        let mut bits = || u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let ends = [0, 1, 2, P - 1, P - 2, P / 2, LOW, LOW + 1, 1 << 126, (1 << 126) - 1];
        let drawn: Vec<u128> = ends.into_iter().chain((0..40).map(|_| bits() % P)).collect();
        for &a in &drawn {
            for &b in &drawn {
                assert_eq!(times(a, b), slow_times(a, b), "{a:x} * {b:x}");
                assert_eq!(canonical(a + b), (a + b) % P, "{a:x} + {b:x}");
            }
        }
        let any = [0, 1, P, P + 1, u128::MAX, u128::MAX - 1, LOW, LOW << 64, 1 << 127];
        for low in any.into_iter().chain((0..40).map(|_| bits())) {
            for high in any {
                let expected = (low % P + slow_times(1 << 64, high % P)) % P;
                assert_eq!(reduced(low, high), expected, "{low:x} + 2^64 * {high:x}");
            }
        }
    }

    /// The largest keys and tokens must not overflow.
    #[test]
    fn the_largest_sums_fit() {
        let key = WordKey { low: HALF, high: HALF };
        let keys = DigestKeys { words: [key; WORDS], point: P - 1, last: P - 1 };
        let word = u128::from(u64::MAX);
        let key = slow_times(1 << 64, u128::from(HALF)) + u128::from(HALF);
        let piece = slow_times(slow_times(key % P, word), 8);
        let full = [u32::MAX; PIECE];
        assert_eq!(keys.digest(&full), (piece + P - 1) % P);
        assert_eq!(keys.digest(&full), keys.digest_piece(&full));
        // At the point -1, pieces of equal tokens take each other away.
        assert_eq!(keys.digest(&[u32::MAX; 2 * PIECE]), P - 1);
        assert_eq!(keys.digest(&[u32::MAX; 3 * PIECE]), keys.digest(&full));
    }
}
