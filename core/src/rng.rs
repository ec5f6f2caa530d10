//! A small random generator. It is written here, because golden files must not change with a new
//! version of a library.
//!
//! xoshiro256** seeded through SplitMix64, both by Blackman and Vigna
//! (<https://prng.di.unimi.it/>, public domain).

/// One step of SplitMix64 as a hash: a bijection of 64 bits that mixes well.
pub const fn mix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of several words, for random values that depend on names and not on the order of draws.
pub fn hash_words(words: &[u64]) -> u64 {
    words.iter().fold(0x5157_41a5_0c0f_fee5, |state, &word| hash_on(state, word))
}

/// The hash of words whose hash is `state` and of one word after them.
pub const fn hash_on(state: u64, word: u64) -> u64 {
    mix64(state ^ mix64(word))
}

/// A xoshiro256** generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A separate stream for each `(seed, name...)`. A draw from one stream never shifts another.
    pub fn named(seed: u64, name: &[u64]) -> Self {
        let mut state = [0; 4];
        let base = mix64(seed) ^ hash_words(name);
        for (i, word) in state.iter_mut().enumerate() {
            *word = mix64(base.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..n. Panics if n is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a draw from an empty range");
        // Multiply-shift; its bias is below n / 2^64.
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }

    /// Log-normal with this mean and coefficient of variation.
    pub fn lognormal(&mut self, mean: f64, cv: f64) -> f64 {
        let variance = libm::log(1.0 + cv * cv);
        mean * libm::exp(libm::sqrt(variance) * self.normal() - variance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_pinned() {
        let mut rng = Rng::named(7, &[1, 2]);
        let first: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        let mut again = Rng::named(7, &[1, 2]);
        assert_eq!(first, (0..3).map(|_| again.next_u64()).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::named(7, &[2, 1]).next_u64());
        // SplitMix64's published first output for seed 0 (mix64 adds the increment first).
        assert_eq!(mix64(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut rng = Rng::named(1, &[]);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.lognormal(100.0, 0.5)).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
        assert!((mean - 100.0).abs() < 1.0, "{mean}");
        assert!((libm::sqrt(variance) / mean - 0.5).abs() < 0.02, "{variance}");
        let exponential = (0..n).map(|_| rng.exponential(3.0)).sum::<f64>() / n as f64;
        assert!((exponential - 3.0).abs() < 0.05, "{exponential}");
    }
}
