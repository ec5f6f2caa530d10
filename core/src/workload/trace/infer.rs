//! Infers sessions from the prompts of a trace without session ids.
//!
//! A request continues an earlier request if its prompt starts with all full blocks of the earlier
//! prompt, and if it is longer than the earlier prompt and answer together (the next message of a
//! conversation contains both). If several earlier requests fit, it continues the one with the most
//! shared blocks, and among those the longest. Each request is continued at most once; a second
//! continuation starts a new session. At least two blocks must be shared, because the first may be a
//! common system prompt.

use crate::hash::Map;
use crate::rng::mix64;
use crate::tokens::Segment;
use std::collections::BTreeSet;

/// The least number of shared full blocks.
const LEAST_BLOCKS: usize = 2;

#[derive(Debug)]
pub struct Inference {
    block: u32,
    sessions: u64,
    /// The requests that can be continued: (tokens of prompt and answer, session), by a hash of the
    /// prompt's full blocks.
    open: Map<u64, BTreeSet<(u64, u64)>>,
}

impl Inference {
    /// `block` is the size of a full block in tokens. Each full block must be one segment.
    pub fn new(block: u32) -> Self {
        Self { block, sessions: 0, open: Map::default() }
    }

    /// The session of the next request by arrival. It takes one look-up for each block.
    pub fn session_of(&mut self, prompt: &[Segment], output_tokens: u32) -> u64 {
        let mut chain = 0;
        let chains: Vec<u64> = prompt
            .iter()
            .map_while(|segment| match *segment {
                Segment::Text { seed, tokens } if tokens == self.block => {
                    chain = mix64(chain ^ mix64(seed));
                    Some(chain)
                }
                _ => None,
            })
            .collect();
        let tokens: u64 = prompt.iter().map(|segment| u64::from(segment.tokens())).sum();
        let shared = chains.get(LEAST_BLOCKS - 1..).unwrap_or_default();
        let session = shared.iter().rev().find_map(|&chain| self.take(chain, tokens));
        let session = session.unwrap_or_else(|| {
            self.sessions += 1;
            self.sessions - 1
        });
        if let Some(&last) = shared.last() {
            let context = tokens + u64::from(output_tokens);
            self.open.entry(last).or_default().insert((context, session));
        }
        session
    }

    /// Takes the longest session that ends with these blocks and has fewer than `tokens` tokens.
    fn take(&mut self, chain: u64, tokens: u64) -> Option<u64> {
        let open = self.open.get_mut(&chain)?;
        let found = *open.range(..(tokens, 0)).next_back()?;
        open.remove(&found);
        if open.is_empty() {
            self.open.remove(&chain);
        }
        Some(found.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt with these blocks of 10 tokens, and a tail.
    fn prompt(ids: &[u64], tail: u32) -> Vec<Segment> {
        let blocks = ids.iter().map(|&seed| Segment::Text { seed, tokens: 10 });
        blocks.chain([Segment::Text { seed: 999, tokens: tail }]).collect()
    }

    #[test]
    fn a_request_continues_the_history_that_it_contains() {
        let mut infer = Inference::new(10);
        let mut next = |ids: &[u64], tail, output| infer.session_of(&prompt(ids, tail), output);
        assert_eq!(next(&[0, 1], 5, 5), 0);
        assert_eq!(next(&[0, 2], 5, 5), 1, "one shared block is not enough");
        assert_eq!(next(&[0, 1, 3], 5, 5), 0, "continues session 0");
        assert_eq!(next(&[0, 1, 4], 5, 5), 2, "session 0 was continued before");
        assert_eq!(next(&[0, 1, 3, 7], 0, 1), 3, "too short for prompt and answer");
        assert_eq!(next(&[0, 1, 3, 8], 1, 5), 0);
        assert_eq!(next(&[0], 5, 5), 4, "one block is not enough");
        assert_eq!(next(&[0], 9, 5), 5);
        assert_eq!(next(&[], 5, 5), 6);
    }

    #[test]
    fn a_request_continues_the_longest_history_that_fits() {
        let mut infer = Inference::new(10);
        let mut next = |ids: &[u64], tail, output| infer.session_of(&prompt(ids, tail), output);
        assert_eq!(next(&[0, 1], 0, 5), 0);
        assert_eq!(next(&[0, 1], 0, 8), 1);
        assert_eq!(next(&[0, 1], 0, 30), 2);
        assert_eq!(next(&[0, 1, 5], 0, 1), 1);
        assert_eq!(next(&[0, 1, 6], 0, 1), 0);
        assert_eq!(next(&[0, 1, 6, 7, 8, 9], 0, 1), 0, "most blocks first, then the longest");
    }
}
