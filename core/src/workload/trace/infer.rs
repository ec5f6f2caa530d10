//! Sessions for a trace that names none, from its prefix chains.
//!
//! The rule: a request goes on with an earlier one if all full blocks of that prompt begin its own,
//! and if it is longer than that prompt and its answer together, since a conversation's next message
//! holds both. Of several it goes on with the one that shares most blocks, and among those with the
//! longest. Whoever has been gone on with can't be again: a second continuation is a session of its
//! own. One shared block is not enough, because it may be the system prompt of everybody.

use crate::hash::Map;
use crate::rng::mix64;
use crate::tokens::Segment;
use std::collections::BTreeSet;

/// Full blocks that must be shared.
const LEAST_BLOCKS: usize = 2;

#[derive(Debug)]
pub struct Inference {
    block: u32,
    sessions: u64,
    /// By the chain of its full blocks: (prompt and answer, session) of each last request. Only
    /// looked up.
    open: Map<u64, BTreeSet<(u64, u64)>>,
}

impl Inference {
    /// `block`: the tokens of a full block; each is a segment of its own.
    pub fn new(block: u32) -> Self {
        Self { block, sessions: 0, open: Map::default() }
    }

    /// The session of the next request, in the order in which they came. One look-up a block.
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

    /// The longest session that ended at this chain and is shorter than `tokens`.
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

    /// A prompt of blocks of 10 with these names, and a tail of its own.
    fn prompt(ids: &[u64], tail: u32) -> Vec<Segment> {
        let blocks = ids.iter().map(|&seed| Segment::Text { seed, tokens: 10 });
        blocks.chain([Segment::Text { seed: 999, tokens: tail }]).collect()
    }

    #[test]
    fn a_request_goes_on_with_the_history_that_it_holds() {
        let mut infer = Inference::new(10);
        let mut next = |ids: &[u64], tail, output| infer.session_of(&prompt(ids, tail), output);
        assert_eq!(next(&[0, 1], 5, 5), 0);
        assert_eq!(next(&[0, 2], 5, 5), 1, "block 0 alone is shared by all");
        assert_eq!(next(&[0, 1, 3], 5, 5), 0, "goes on");
        assert_eq!(next(&[0, 1, 4], 5, 5), 2, "gone on with already");
        assert_eq!(next(&[0, 1, 3, 7], 0, 1), 3, "too short for what was answered");
        assert_eq!(next(&[0, 1, 3, 8], 1, 5), 0);
        assert_eq!(next(&[0], 5, 5), 4, "one block says nothing");
        assert_eq!(next(&[0], 9, 5), 5);
        assert_eq!(next(&[], 5, 5), 6);
    }

    #[test]
    fn of_several_histories_the_longest_that_fits() {
        let mut infer = Inference::new(10);
        let mut next = |ids: &[u64], tail, output| infer.session_of(&prompt(ids, tail), output);
        assert_eq!(next(&[0, 1], 0, 5), 0);
        assert_eq!(next(&[0, 1], 0, 8), 1);
        assert_eq!(next(&[0, 1], 0, 30), 2);
        assert_eq!(next(&[0, 1, 5], 0, 1), 1);
        assert_eq!(next(&[0, 1, 6], 0, 1), 0);
        assert_eq!(next(&[0, 1, 6, 7, 8, 9], 0, 1), 0, "more blocks win over longer");
    }
}
