//! Infers sessions in a trace that names none, from shared prefixes.
//!
//! A request continues an earlier one if two conditions hold. All full blocks of the earlier prompt
//! are at its start. And it is longer than the earlier prompt and answer together, because the next
//! message of a conversation contains both. If several requests qualify, it continues the one with
//! the most shared blocks, then the longest. Each request is continued once: a second continuation
//! is a new session. One shared block is not enough, because it may be a system prompt that all
//! users have.

use crate::hash::Map;
use crate::rng::mix64;
use crate::tokens::Segment;
use std::collections::BTreeSet;

/// The fewest full blocks that must be shared.
const LEAST_BLOCKS: usize = 2;

/// The sessions found so far.
#[derive(Debug)]
pub struct Inference {
    block: u32,
    sessions: u64,
    /// The last request of each session, as (prompt and answer tokens, session), by the hash of its
    /// full blocks. Never iterated, so the order of the map does not matter.
    open: Map<u64, BTreeSet<(u64, u64)>>,
}

impl Inference {
    /// `block`: the tokens of a full block, which is one segment.
    pub fn new(block: u32) -> Self {
        Self { block, sessions: 0, open: Map::default() }
    }

    /// The session of the next request in order of arrival. Takes one look-up for each block.
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

    /// Removes the longest session that ended at this chain and is shorter than `tokens`.
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

    /// A prompt of blocks of 10 tokens with these names, and an own tail.
    fn prompt(ids: &[u64], tail: u32) -> Vec<Segment> {
        let blocks = ids.iter().map(|&seed| Segment::Text { seed, tokens: 10 });
        blocks.chain([Segment::Text { seed: 999, tokens: tail }]).collect()
    }

    #[test]
    fn a_request_continues_the_history_it_contains() {
        let mut infer = Inference::new(10);
        let mut next = |ids: &[u64], tail, output| infer.session_of(&prompt(ids, tail), output);
        assert_eq!(next(&[0, 1], 5, 5), 0);
        assert_eq!(next(&[0, 2], 5, 5), 1, "all requests share block 0");
        assert_eq!(next(&[0, 1, 3], 5, 5), 0, "it continues");
        assert_eq!(next(&[0, 1, 4], 5, 5), 2, "that session is already continued");
        assert_eq!(next(&[0, 1, 3, 7], 0, 1), 3, "too short to contain the answer");
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
        assert_eq!(next(&[0, 1, 6, 7, 8, 9], 0, 1), 0, "more blocks come before longer history");
    }
}
