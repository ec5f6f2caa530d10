//! The block hashes of one text.

use super::described::Described;
use super::hash::BlockHash;
use std::sync::Arc;

/// The block hashes of one text, in order.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(super) block_size: u32,
    pub(super) tokens: u32,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Block `base + i` has `hashes[i]`. The hashes before `base` are not known.
    Listed {
        base: u32,
        hashes: Box<[BlockHash]>,
    },
    Described(Described),
}

impl Chain {
    /// Hashes that another process sent, of the blocks from `base` on.
    pub fn from_wire(block_size: u32, base: u32, hashes: Vec<BlockHash>) -> Self {
        // Another process may claim any depth, so the count must not overflow 32 bits.
        let blocks = u64::from(base) + hashes.len() as u64;
        let tokens = blocks.saturating_mul(u64::from(block_size)).min(u64::from(u32::MAX)) as u32;
        Self { block_size, tokens, form: Form::Listed { base, hashes: hashes.into() } }
    }

    /// Tokens a block.
    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The length of the text in tokens.
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Full blocks: a partial last block cannot be reused.
    pub const fn blocks(&self) -> u32 {
        self.tokens / self.block_size
    }

    /// The first block whose hash is known.
    pub const fn base(&self) -> u32 {
        match self.form {
            Form::Listed { base, .. } => base,
            Form::Described(_) => 0,
        }
    }

    /// Whether the hashes come from a description and not from a list, which a client may have sent.
    pub const fn is_described(&self) -> bool {
        matches!(self.form, Form::Described(_))
    }

    /// The hash of a block, counted from the start of the text. Panics below [`Self::base`].
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

    /// The same hashes without those before block `base`. A listed chain is copied, so that a run
    /// kept for long does not keep the hashes before it in memory. A described chain is not copied.
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

    /// The first block in `from..to` where two chains differ, or `to`. They must agree before
    /// `from`, and `to` must not pass the end of either.
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
