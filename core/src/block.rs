//! Blocks of tokens and their hashes.
//!
//! A [`BlockHash`] identifies a block and everything before it, inside one sharing scope. It is a
//! keyed function of (hash of the previous block, tokens), so equal hashes mean equal prefixes in
//! the same scope. A [`Chain`] is the sequence of those hashes for one text. The turns of a session
//! are views ([`TokenBlocks`]) of one chain, and caches and indexes keep parts of it
//! ([`BlockRun`]), so hashes are not copied.
//!
//! Each hash covers its whole prefix. Two chains that agree at block `i` agree at every block
//! before it, so a binary search finds where they part.

mod chain;
mod described;
mod digest;
mod hash;
mod namer;
mod scope;
mod view;

pub use chain::Chain;
pub(crate) use chain::until;
pub use hash::BlockHash;
pub use namer::Namer;
pub use scope::ScopePlan;
pub use view::{BlockRun, TokenBlocks};

use crate::tokens::Segment;
use chain::Form;
use described::SegmentState;
use scope::KeyUse;

/// Hashes every full block of a text given as token ids. Panics at 2^32 tokens or more.
pub fn hash_blocks(scope: &ScopePlan, tokens: &[u32]) -> Chain {
    let size = scope.block_size();
    let (public, own) = tokens.split_at(tokens.len().min(scope.public_tokens() as usize));
    // Keys are not expanded for nothing.
    let namer = |part: &[u32], from| {
        (part.len() >= size as usize).then(|| Namer::of(scope.at(from).0, size))
    };
    let public_namer = namer(public, 0);
    let own_namer = namer(own, scope.public_tokens());
    chain_of(size, [(public_namer.as_ref(), public), (own_namer.as_ref(), own)])
}

/// As [`hash_blocks`], with keys that are expanded already: those of the scope are in `own`. `public` names the first
/// tokens, whole blocks, in a scope of its own.
pub fn hash_blocks_by(own: &Namer, public: Option<(&Namer, u32)>, tokens: &[u32]) -> Chain {
    let until = public.map_or(0, |(namer, until)| {
        assert_eq!(namer.block_size(), own.block_size(), "two block sizes in one chain");
        assert_eq!(until % own.block_size(), 0, "whole blocks are public");
        until as usize
    });
    let (first, rest) = tokens.split_at(tokens.len().min(until));
    let namer = public.map(|(namer, _)| namer);
    chain_of(own.block_size(), [(namer, first), (Some(own), rest)])
}

/// The chain of a text in two parts. A part without a namer has no full block.
fn chain_of(size: u32, parts: [(Option<&Namer>, &[u32]); 2]) -> Chain {
    let tokens: usize = parts.iter().map(|(_, part)| part.len()).sum();
    let mut hashes = Vec::with_capacity(tokens / size as usize);
    for (namer, part) in parts {
        if let Some(namer) = namer {
            namer.extend(&mut hashes, part);
        }
    }
    let form = Form::Listed { base: 0, hashes: hashes.into() };
    let tokens = u32::try_from(tokens).expect("a text of fewer than 2^32 tokens");
    Chain { block_size: size, tokens, form }
}

/// Hashes the blocks of a text given as segments. Each segment costs one BLAKE3. Block hashes
/// inside a segment are mixed from it on demand, so the block size does not change the cost.
///
/// Two segment lists have equal hashes exactly where their tokens are equal. The hashes differ from
/// those that [`hash_blocks`] gives for the same tokens. Panics at 2^32 tokens or more.
pub fn hash_segments(scope: &ScopePlan, segments: &[Segment]) -> Chain {
    let mut start = 0u32;
    let mut before = 0u128;
    let mut states = Vec::with_capacity(segments.len());
    for segment in segments {
        let (mut key_use, seed) = match *segment {
            Segment::Text { seed, .. } => (KeyUse::Text, seed),
            Segment::Answer { .. } => (KeyUse::Answer, 0),
        };
        let end = start.checked_add(segment.tokens()).expect("a text of fewer than 2^32 tokens");
        // A segment that crosses the end of the public part is hashed in two pieces.
        while start < end {
            let (keys, until) = scope.at(start);
            let mut bytes = [0; 24];
            bytes[..16].copy_from_slice(&before.to_le_bytes());
            bytes[16..].copy_from_slice(&seed.to_le_bytes());
            let state = SegmentState::new(start, BlockHash::from_wire(keys.hash(key_use, &bytes)));
            states.push(state);
            before = state.name(end.min(until) - start).to_wire();
            start = end.min(until);
            key_use = KeyUse::Rest;
        }
    }
    let form = Form::Described { length: described::common_length(&states), states: states.into() };
    Chain { block_size: scope.block_size(), tokens: start, form }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::materialize;

    fn scope(salt: &str, block_size: u32) -> ScopePlan {
        ScopePlan::new(salt, "m", "", block_size)
    }

    #[test]
    fn a_hash_depends_on_prefix_and_scope() {
        let tokens: Vec<u32> = (0..64).collect();
        let chain = hash_blocks(&scope("a", 16), &tokens);
        assert_eq!(chain.blocks(), 4);
        let mut other = tokens.clone();
        other[20] = 99;
        let changed = hash_blocks(&scope("a", 16), &other);
        assert_eq!(chain.hash(0), changed.hash(0));
        assert!((1..4).all(|i| chain.hash(i) != changed.hash(i)));
        let mut wide = tokens.clone();
        wide[63] = (1 << 24) + 63;
        assert_ne!(chain.hash(3), hash_blocks(&scope("a", 16), &wide).hash(3));
        let elsewhere = hash_blocks(&scope("b", 16), &tokens);
        assert!((0..4).all(|i| chain.hash(i) != elsewhere.hash(i)));
    }

    #[test]
    fn blocks_that_are_hashed_one_by_one_have_the_same_hashes() {
        let mut tokens: Vec<u32> = (0..64).collect();
        tokens[40] = 1 << 25;
        let plan = scope("a", 16);
        let chain = hash_blocks(&plan, &tokens);
        let (namer, mut parent) = (Namer::new(&plan), None);
        for (i, block) in tokens.chunks(16).enumerate() {
            parent = Some(namer.next(parent, block));
            assert_eq!(parent, Some(chain.hash(i as u32)));
        }
    }

    #[test]
    fn expanded_keys_name_as_their_scopes_do() {
        let tokens: Vec<u32> = (0..100).collect();
        for size in [16, 7] {
            let (own, public) = (scope("a", size), scope("p", size));
            let (by_own, by_public) = (Namer::new(&own), Namer::new(&public));
            for blocks in [0, 1, 3, 100] {
                let plan = own.clone().behind(&public, blocks * size);
                let chain = hash_blocks(&plan, &tokens);
                let first = (blocks > 0).then_some((&by_public, blocks * size));
                let by = hash_blocks_by(&by_own, first, &tokens);
                assert_eq!((by.tokens(), by.blocks()), (chain.tokens(), chain.blocks()));
                assert_eq!(by.agree_until(&chain, 0, chain.blocks()), chain.blocks());
            }
        }
    }

    #[test]
    fn moving_a_letter_between_scope_fields_gives_another_scope() {
        assert_ne!(ScopePlan::new("ab", "c", "", 16), ScopePlan::new("a", "bc", "", 16));
        assert_ne!(ScopePlan::new("a", "b", "c", 16), ScopePlan::new("a", "bc", "", 16));
    }

    #[test]
    fn only_full_blocks_have_hashes() {
        for (tokens, blocks, reusable) in [(0, 0, 0), (1, 0, 0), (15, 0, 0), (16, 1, 0), (17, 1, 1)]
        {
            let view = TokenBlocks::whole(hash_blocks(&scope("", 16), &vec![5; tokens]));
            assert_eq!((view.blocks(), view.reusable_blocks()), (blocks, reusable), "{tokens}");
        }
    }

    /// A text given as segments must have the same equal prefixes as its token ids.
    #[test]
    fn segments_and_tokens_agree_on_equal_prefixes() {
        let text = |seed, tokens| Segment::Text { seed, tokens };
        let texts: Vec<Vec<Segment>> = vec![
            vec![text(1, 40), text(2, 24), Segment::Answer { tokens: 30 }],
            vec![text(1, 40), text(2, 24), Segment::Answer { tokens: 12 }],
            vec![text(1, 40), text(3, 24), Segment::Answer { tokens: 30 }],
            vec![text(1, 40), text(2, 10)],
            vec![text(4, 64)],
            vec![text(1, 40), text(2, 24), Segment::Answer { tokens: 30 }, text(5, 7)],
        ];
        for size in [1, 4, 7, 16] {
            let plan = scope("x", size);
            let described: Vec<_> = texts.iter().map(|t| hash_segments(&plan, t)).collect();
            let written: Vec<_> = texts
                .iter()
                .map(|t| {
                    let total = t.iter().map(Segment::tokens).sum();
                    hash_blocks(&plan, &materialize(t, total))
                })
                .collect();
            for i in 0..texts.len() {
                for j in 0..texts.len() {
                    let to = described[i].blocks().min(described[j].blocks());
                    assert_eq!(
                        described[i].agree_until(&described[j], 0, to),
                        written[i].agree_until(&written[j], 0, to),
                        "texts {i} and {j} in blocks of {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_view_is_written_and_read_back() {
        let view = TokenBlocks::whole(hash_blocks(&scope("", 4), &[1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let text = serde_json::to_string(&view).unwrap();
        let back: TokenBlocks = serde_json::from_str(&text).unwrap();
        assert_eq!((back.tokens(), back.blocks()), (9, 2));
        assert!((0..2).all(|i| back.chain().hash(i) == view.chain().hash(i)));
        let torn = text.replace("\"tokens\":9", "\"tokens\":90");
        assert!(serde_json::from_str::<TokenBlocks>(&torn).is_err());
    }
}
