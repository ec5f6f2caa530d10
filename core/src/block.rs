//! Blocks of tokens and their names.
//!
//! A [`BlockHash`] names a block together with everything before it, inside one sharing scope: it
//! is a keyed BLAKE3 over (name of the block before, tokens), so equal hashes mean equal prefixes
//! of equal scope. A [`Chain`] is the sequence of those names for one text. The turns of a session
//! are views ([`TokenBlocks`]) of one chain, and caches and indexes keep stretches of it
//! ([`BlockRun`]), so nobody copies hashes.
//!
//! Because each name covers its whole prefix, two chains that agree at block `i` agree at every
//! block before it; comparing them is a binary search.

mod described;
mod scope;

pub use scope::ScopePlan;

use crate::tokens::Segment;
use described::{Described, SegmentState};
use scope::Of;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The name of a block and of its whole prefix, inside one scope. 128 keyed bits: unlike the
/// unkeyed 64-bit hashes that serve as routing hints elsewhere, it can't be forged from outside.
///
/// Two words and not one of 128 bits, whose alignment would make tables of names a third larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockHash {
    high: u64,
    low: u64,
}

impl BlockHash {
    /// For a hash that another process computed: wire conversion and replay only.
    pub const fn from_wire(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    pub const fn to_wire(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}

impl std::hash::Hash for BlockHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u128(self.to_wire());
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.to_wire())
    }
}

/// Names every full block of `tokens`.
pub fn hash_blocks(scope: &ScopePlan, tokens: &[u32]) -> Chain {
    // No vocabulary has 2^24 entries, so three bytes a token do, and 16 tokens with the name before
    // them fill one block of BLAKE3. A token that needs four is hashed under a key of its own.
    let size = scope.block_size() as usize;
    let mut bytes = vec![0; 16 + size * 4 + 1];
    let mut parent = 0u128;
    let (public, own) = tokens.split_at(tokens.len().min(scope.public_tokens() as usize));
    let public = public.chunks_exact(size).map(|block| (scope.at(0).0, block));
    let own_keys = scope.at(scope.public_tokens()).0;
    let own = own.chunks_exact(size).map(|block| (own_keys, block));
    let hashes = public.chain(own).map(|(keys, block)| {
        let wide = block.iter().any(|&token| token >= 1 << 24);
        let (of, width) = if wide { (Of::WideTokens, 4) } else { (Of::Tokens, 3) };
        bytes[..16].copy_from_slice(&parent.to_le_bytes());
        let mut end = 16;
        for token in block {
            // Four bytes each time, of which the next one overwrites what is not wanted.
            bytes[end..end + 4].copy_from_slice(&token.to_le_bytes());
            end += width;
        }
        parent = keys.hash(of, &bytes[..end]);
        BlockHash::from_wire(parent)
    });
    let form = Form::Listed { base: 0, hashes: hashes.collect() };
    let tokens = u32::try_from(tokens.len()).expect("a text of fewer than 2^32 tokens");
    Chain { block_size: scope.block_size(), tokens, form }
}

/// Names the blocks of a text that is described instead of written out. One BLAKE3 a segment; the
/// block names inside a segment are mixed from it when asked for, so a long prompt in small blocks
/// takes no more room than in large ones.
///
/// Equal segments give equal names and differing ones differ, as their tokens would; the names
/// themselves are others than [`hash_blocks`] gives for those tokens.
pub fn hash_segments(scope: &ScopePlan, segments: &[Segment]) -> Chain {
    let mut start = 0u32;
    let mut before = 0u128;
    let mut states = Vec::with_capacity(segments.len());
    for segment in segments {
        let (mut of, seed) = match *segment {
            Segment::Text { seed, .. } => (Of::Text, seed),
            Segment::Answer { .. } => (Of::Answer, 0),
        };
        let end = start.checked_add(segment.tokens()).expect("a text of fewer than 2^32 tokens");
        // One that goes on behind the public part is named in two pieces.
        while start < end {
            let (keys, until) = scope.at(start);
            let mut bytes = [0; 24];
            bytes[..16].copy_from_slice(&before.to_le_bytes());
            bytes[16..].copy_from_slice(&seed.to_le_bytes());
            let state = SegmentState::new(start, BlockHash::from_wire(keys.hash(of, &bytes)));
            states.push(state);
            before = state.name(end.min(until) - start).to_wire();
            start = end.min(until);
            of = Of::Rest;
        }
    }
    let form = Form::Described(Described::new(states));
    Chain { block_size: scope.block_size(), tokens: start, form }
}

/// The names of the blocks of one text, in order.
#[derive(Clone, Debug)]
pub struct Chain {
    block_size: u32,
    tokens: u32,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Block `base + i` is `hashes[i]`; what lies before `base` is not known.
    Listed {
        base: u32,
        hashes: Box<[BlockHash]>,
    },
    Described(Described),
}

impl Chain {
    /// A stretch whose names came from another process, from block `base` on.
    pub fn from_wire(block_size: u32, base: u32, hashes: Vec<BlockHash>) -> Self {
        // Another process may claim any depth; a count beyond 32 bits must not wrap.
        let blocks = u64::from(base) + hashes.len() as u64;
        let tokens = blocks.saturating_mul(u64::from(block_size)).min(u64::from(u32::MAX)) as u32;
        Self { block_size, tokens, form: Form::Listed { base, hashes: hashes.into() } }
    }

    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Full blocks only: a partial last block can't be reused.
    pub const fn blocks(&self) -> u32 {
        self.tokens / self.block_size
    }

    /// The first block whose name is known.
    pub const fn base(&self) -> u32 {
        match self.form {
            Form::Listed { base, .. } => base,
            Form::Described(_) => 0,
        }
    }

    /// Whether its names are mixed from a description, and not a list that somebody may have sent.
    pub const fn is_described(&self) -> bool {
        matches!(self.form, Form::Described(_))
    }

    pub fn hash(&self, block: u32) -> BlockHash {
        match &self.form {
            Form::Listed { base, hashes } => hashes[(block - base) as usize],
            Form::Described(text) => {
                let end = (block + 1) * self.block_size;
                let segment = text.segment(end);
                segment.name(end - segment.start)
            }
        }
    }

    /// The same names from block `base` on, for who keeps them long: the stretches of a text that was
    /// written out, as those off the wire are, would else each keep all that lies before them. A
    /// described text stays one.
    #[must_use]
    pub fn named_from(self: &Arc<Self>, base: u32) -> Arc<Self> {
        match &self.form {
            Form::Listed { base: known, hashes } if *known < base => {
                let form = Form::Listed { base, hashes: hashes[(base - known) as usize..].into() };
                let (block_size, tokens) = (self.block_size, self.tokens);
                Arc::new(Self { block_size, tokens, form })
            }
            _ => Arc::clone(self),
        }
    }

    /// How far two chains agree: the first block in `from..to` where they differ, or `to`. They
    /// must agree before `from`, and `to` must not pass the end of either.
    pub fn agree_until(self: &Arc<Self>, other: &Arc<Self>, from: u32, to: u32) -> u32 {
        if Arc::ptr_eq(self, other) || from >= to || self.hash(to - 1) == other.hash(to - 1) {
            return to;
        }
        let (mut low, mut high) = (from, to - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.hash(middle) == other.hash(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The first `tokens` tokens of a chain: what one turn of a session sends.
#[derive(Clone, Debug)]
pub struct TokenBlocks {
    chain: Arc<Chain>,
    tokens: u32,
}

impl TokenBlocks {
    pub fn new(chain: Arc<Chain>, tokens: u32) -> Self {
        assert!(tokens <= chain.tokens, "a view of {tokens} tokens on {}", chain.tokens);
        Self { chain, tokens }
    }

    pub fn whole(chain: Chain) -> Self {
        let tokens = chain.tokens;
        Self { chain: Arc::new(chain), tokens }
    }

    pub const fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    pub fn block_size(&self) -> u32 {
        self.chain.block_size
    }

    /// Full blocks.
    pub fn blocks(&self) -> u32 {
        self.tokens / self.chain.block_size
    }

    /// The blocks of it that a request may reuse: at least one token must be computed, or there
    /// would be nothing to sample the first answer token from.
    pub fn reusable_blocks(&self) -> u32 {
        self.tokens.saturating_sub(1) / self.chain.block_size
    }
}

/// Blocks `start..end` of a chain.
#[derive(Clone, Debug)]
pub struct BlockRun {
    pub chain: Arc<Chain>,
    pub start: u32,
    pub end: u32,
}

impl BlockRun {
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }

    pub fn hashes(&self) -> impl Iterator<Item = BlockHash> {
        (self.start..self.end).map(|block| self.chain.hash(block))
    }
}

impl PartialEq for BlockRun {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end) && self.hashes().eq(other.hashes())
    }
}

/// How a view stands in a record: all its names, so that a replay needs no tokens.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    block_size: u32,
    tokens: u32,
    /// 32 hexadecimal digits a block.
    hashes: String,
}

impl Serialize for TokenBlocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use fmt::Write;
        let mut hashes = String::with_capacity(self.blocks() as usize * 32);
        for block in 0..self.blocks() {
            write!(hashes, "{:?}", self.chain.hash(block)).map_err(serde::ser::Error::custom)?;
        }
        Written { block_size: self.block_size(), tokens: self.tokens, hashes }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TokenBlocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let written = Written::deserialize(deserializer)?;
        if written.block_size == 0 {
            return Err(D::Error::custom("block_size must be at least 1"));
        }
        let blocks = (written.tokens / written.block_size) as usize;
        if written.hashes.len() != blocks * 32 || !written.hashes.is_ascii() {
            return Err(D::Error::custom(format!(
                "hashes has {} digits, {} tokens in blocks of {} need {}",
                written.hashes.len(),
                written.tokens,
                written.block_size,
                blocks * 32
            )));
        }
        let hashes: Result<Box<[BlockHash]>, _> = (0..blocks)
            .map(|i| {
                u128::from_str_radix(&written.hashes[i * 32..][..32], 16).map(BlockHash::from_wire)
            })
            .collect();
        let form = Form::Listed { base: 0, hashes: hashes.map_err(D::Error::custom)? };
        let chain = Chain { block_size: written.block_size, tokens: written.tokens, form };
        Ok(Self::whole(chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::materialize;

    fn scope(salt: &str, block_size: u32) -> ScopePlan {
        ScopePlan::new(salt, "m", "", block_size)
    }

    #[test]
    fn a_hash_names_prefix_and_scope() {
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
    fn fields_of_a_scope_do_not_run_into_each_other() {
        assert_ne!(ScopePlan::new("ab", "c", "", 16), ScopePlan::new("a", "bc", "", 16));
        assert_ne!(ScopePlan::new("a", "b", "c", 16), ScopePlan::new("a", "bc", "", 16));
    }

    #[test]
    fn only_full_blocks_have_names() {
        for (tokens, blocks, reusable) in [(0, 0, 0), (1, 0, 0), (15, 0, 0), (16, 1, 0), (17, 1, 1)]
        {
            let view = TokenBlocks::whole(hash_blocks(&scope("", 16), &vec![5; tokens]));
            assert_eq!((view.blocks(), view.reusable_blocks()), (blocks, reusable), "{tokens}");
        }
    }

    /// Described and written-out texts must agree about which prefixes are equal.
    #[test]
    fn segments_agree_with_their_tokens_about_equality() {
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
            let described: Vec<_> =
                texts.iter().map(|t| Arc::new(hash_segments(&plan, t))).collect();
            let written: Vec<_> = texts
                .iter()
                .map(|t| {
                    let total = t.iter().map(Segment::tokens).sum();
                    Arc::new(hash_blocks(&plan, &materialize(t, total)))
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
    fn a_view_survives_the_record() {
        let view = TokenBlocks::whole(hash_blocks(&scope("", 4), &[1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let text = serde_json::to_string(&view).unwrap();
        let back: TokenBlocks = serde_json::from_str(&text).unwrap();
        assert_eq!((back.tokens(), back.blocks()), (9, 2));
        assert!((0..2).all(|i| back.chain().hash(i) == view.chain().hash(i)));
        let torn = text.replace("\"tokens\":9", "\"tokens\":90");
        assert!(serde_json::from_str::<TokenBlocks>(&torn).is_err());
    }
}
