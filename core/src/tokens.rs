//! Generated token ids. A prompt follows from seeds, an answer from all tokens before it.
//!
//! A workload describes its text as [`Segment`]s. In virtual time that is enough, because block
//! hashes follow from the segments. For a live run the same segments become token ids.

use crate::rng::mix64;
use serde::{Deserialize, Serialize};

/// Generated token ids are below this number, the vocabulary size of Llama 3.1.
pub const VOCABULARY: u32 = 128_256;

/// A part of a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Segment {
    /// The first tokens of the text with this seed. Equal seeds give equal tokens everywhere.
    Text {
        /// The seed of the text.
        seed: u64,
        /// The length in tokens.
        tokens: u32,
    },
    /// The model's answer to everything before this segment.
    Answer {
        /// The length in tokens.
        tokens: u32,
    },
}

impl Segment {
    /// The length in tokens.
    pub const fn tokens(&self) -> u32 {
        match *self {
            Self::Text { tokens, .. } | Self::Answer { tokens } => tokens,
        }
    }
}

/// The rolling hash of a sequence of tokens, from which the next token is generated.
///
/// The next token depends on every token before it. A request that is retried with its prompt and
/// the tokens so far continues the same way on any worker, and a client can check that no token was
/// lost, repeated or moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenStream(u64);

impl TokenStream {
    /// Appends a token.
    pub fn push(&mut self, token: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(token)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Appends several tokens.
    pub fn extend(&mut self, tokens: &[u32]) {
        for &token in tokens {
            self.push(token);
        }
    }

    /// Generates the next token and appends it.
    pub fn generate(&mut self) -> u32 {
        let token = (mix64(self.0) % u64::from(VOCABULARY)) as u32;
        self.push(token);
        token
    }
}

/// The ids of the first `limit` tokens of a text.
pub fn materialize(segments: &[Segment], limit: u32) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(limit as usize);
    let mut stream = TokenStream::default();
    for segment in segments {
        let count = segment.tokens().min(limit - tokens.len() as u32);
        for i in 0..count {
            tokens.push(match *segment {
                Segment::Text { seed, .. } => {
                    let token = (mix64(seed ^ mix64(u64::from(i))) % u64::from(VOCABULARY)) as u32;
                    stream.push(token);
                    token
                }
                Segment::Answer { .. } => stream.generate(),
            });
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_continues_the_same_after_any_token() {
        let text = [Segment::Text { seed: 3, tokens: 20 }, Segment::Answer { tokens: 30 }];
        let all = materialize(&text, 50);
        for cut in 20..50 {
            let mut stream = TokenStream::default();
            stream.extend(&all[..cut]);
            let rest: Vec<u32> = (cut..50).map(|_| stream.generate()).collect();
            assert_eq!(rest, all[cut..]);
        }
        assert!(all.iter().all(|&token| token < VOCABULARY));
    }

    #[test]
    fn a_shorter_segment_is_a_prefix_of_the_longer_one() {
        let long = materialize(&[Segment::Text { seed: 9, tokens: 64 }], 64);
        let short = materialize(&[Segment::Text { seed: 9, tokens: 10 }], 10);
        assert_eq!(short, long[..10]);
        assert_eq!(materialize(&[Segment::Text { seed: 9, tokens: 64 }], 10), short);
    }
}
