//! Parts of a chain: a prefix of it, and a run of its blocks.

use super::chain::{Chain, Form};
use super::hash::BlockHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The first `tokens` tokens of a chain, such as the prompt of one turn of a session.
#[derive(Clone, Debug)]
pub struct TokenBlocks {
    chain: Chain,
    tokens: u32,
}

impl TokenBlocks {
    /// A view of the first `tokens` tokens. Panics if the chain is shorter.
    pub fn new(chain: Chain, tokens: u32) -> Self {
        let length = chain.tokens;
        assert!(tokens <= length, "a view of {tokens} tokens on a chain of {length}");
        Self { chain, tokens }
    }

    /// A view of the whole chain.
    pub fn whole(chain: Chain) -> Self {
        let tokens = chain.tokens;
        Self { chain, tokens }
    }

    /// The names of a text of so many tokens, as another process sent them. None: their number is not that of
    /// the text's full blocks.
    pub fn from_wire(block_size: u32, tokens: u32, hashes: Vec<BlockHash>) -> Option<Self> {
        if block_size == 0 || hashes.len() as u64 != u64::from(tokens / block_size) {
            return None;
        }
        let form = Form::Listed { base: 0, hashes: hashes.into() };
        Some(Self::whole(Chain { block_size, tokens, form }))
    }

    /// The chain that is viewed. It may be longer than the view.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The length of the view in tokens.
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Tokens a block.
    pub fn block_size(&self) -> u32 {
        self.chain.block_size()
    }

    /// Full blocks of the view.
    pub fn blocks(&self) -> u32 {
        self.tokens / self.chain.block_size()
    }

    /// Blocks that a request may reuse. At least one prompt token must be computed, because the
    /// first answer token is sampled from it.
    pub fn reusable_blocks(&self) -> u32 {
        self.tokens.saturating_sub(1) / self.chain.block_size()
    }
}

/// Blocks `start..end` of a chain.
#[derive(Clone, Debug)]
pub struct BlockRun {
    /// The text's hashes.
    pub chain: Chain,
    /// The first block, counted from the start of the text.
    pub start: u32,
    /// The block after the last one.
    pub end: u32,
}

impl BlockRun {
    /// Blocks in the run.
    pub const fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Whether the run has no blocks.
    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// The hash of each block, in order.
    pub fn hashes(&self) -> impl Iterator<Item = BlockHash> {
        (self.start..self.end).map(|block| self.chain.hash(block))
    }
}

impl PartialEq for BlockRun {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end) && self.hashes().eq(other.hashes())
    }
}

/// A view as a record holds it. It has all block hashes, so a replay needs no tokens.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedView {
    block_size: u32,
    tokens: u32,
    /// 32 hexadecimal digits a block.
    hashes: String,
}

impl Serialize for TokenBlocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write;
        let mut hashes = String::with_capacity(self.blocks() as usize * 32);
        for block in 0..self.blocks() {
            write!(hashes, "{:?}", self.chain.hash(block)).map_err(serde::ser::Error::custom)?;
        }
        let view = RecordedView { block_size: self.block_size(), tokens: self.tokens, hashes };
        view.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TokenBlocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let view = RecordedView::deserialize(deserializer)?;
        if view.block_size == 0 {
            return Err(D::Error::custom("block_size: 0, expected at least 1"));
        }
        let blocks = (view.tokens / view.block_size) as usize;
        if view.hashes.len() != blocks * 32 || !view.hashes.is_ascii() {
            return Err(D::Error::custom(format!(
                "hashes: {} digits, expected {} for {} tokens in blocks of {}",
                view.hashes.len(),
                blocks * 32,
                view.tokens,
                view.block_size
            )));
        }
        let hashes: Result<Arc<[BlockHash]>, _> = (0..blocks)
            .map(|i| {
                u128::from_str_radix(&view.hashes[i * 32..][..32], 16).map(BlockHash::from_wire)
            })
            .collect();
        let form = Form::Listed { base: 0, hashes: hashes.map_err(D::Error::custom)? };
        let chain = Chain { block_size: view.block_size, tokens: view.tokens, form };
        Ok(Self::whole(chain))
    }
}
