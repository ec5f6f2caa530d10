//! The block hashes of one text.

use super::described::{self, SegmentState};
use super::hash::BlockHash;
use std::sync::Arc;

/// The block hashes of one text, in order. A clone shares them.
///
/// What every look-up asks for stands in the handle, and all the rest is one allocation: each further one is a
/// place in memory that a look-up waits for.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(super) block_size: u32,
    pub(super) tokens: u32,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Block `base + i` has `hashes[i]`. The hashes before `base` are not known.
    Listed { base: u32, hashes: Arc<[BlockHash]> },
    /// The hashes of a text given as segments. Nearly all segments have `length` tokens.
    Described { length: u32, states: Arc<[SegmentState]> },
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
            Form::Described { .. } => 0,
        }
    }

    /// Whether the hashes come from a description and not from a list, which a client may have sent.
    pub const fn is_described(&self) -> bool {
        matches!(self.form, Form::Described { .. })
    }

    /// The hash of a block, counted from the start of the text. Panics below [`Self::base`].
    #[inline]
    pub fn hash(&self, block: u32) -> BlockHash {
        match &self.form {
            Form::Listed { base, hashes } => hashes[(block - base) as usize],
            Form::Described { length, states } => {
                let end = (block + 1) * self.block_size;
                let segment = described::segment(states, *length, end);
                segment.name(end - segment.start)
            }
        }
    }

    /// The same hashes without those before block `base`. A listed chain is copied, so that a run
    /// kept for long does not keep the hashes before it in memory. A described chain is not copied.
    #[must_use]
    pub fn named_from(&self, base: u32) -> Self {
        match &self.form {
            Form::Listed { base: known, hashes } if *known < base => {
                let form = Form::Listed { base, hashes: hashes[(base - known) as usize..].into() };
                let (block_size, tokens) = (self.block_size, self.tokens);
                Self { block_size, tokens, form }
            }
            _ => self.clone(),
        }
    }

    /// Whether both are clones of one chain. Two chains may be equal and not the same.
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Listed { hashes: a, .. }, Form::Listed { hashes: b, .. }) => Arc::ptr_eq(a, b),
            (Form::Described { states: a, .. }, Form::Described { states: b, .. }) => {
                Arc::ptr_eq(a, b)
            }
            _ => false,
        }
    }

    /// The first block in `from..to` where two chains differ, or `to`. They must agree before
    /// `from`, and `to` must not pass the end of either.
    pub fn agree_until(&self, other: &Self, from: u32, to: u32) -> u32 {
        if self.is_same(other) || from >= to || self.hash(to - 1) == other.hash(to - 1) {
            return to;
        }
        let described = self.is_described() || other.is_described();
        let same = |i: usize| {
            let block = from + i as u32;
            self.hash(block) == other.hash(block)
        };
        from + until((to - 1 - from) as usize, described, same) as u32
    }
}

/// The first of `0..len` for which `holds` is false, or `len`. It must be false for all after that.
///
/// A test that reads two hashes from memory waits for them, while one that computes them is busy. So
/// several places are read at the same time, unless they are `computed`.
pub(crate) fn until(len: usize, computed: bool, holds: impl Fn(usize) -> bool) -> usize {
    const AT_ONCE: usize = 7;
    let (mut low, mut high) = (0, len);
    while !computed && high - low > AT_ONCE {
        let step = (high - low) / (AT_ONCE + 1);
        // No branch depends on a test before the next one begins.
        let passed: usize = (1..=AT_ONCE).map(|i| usize::from(holds(low + i * step - 1))).sum();
        if passed < AT_ONCE {
            high = low + (passed + 1) * step - 1;
        }
        low += passed * step;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::until;

    #[test]
    fn a_search_finds_every_end() {
        for len in 0..600 {
            for end in 0..=len {
                for computed in [false, true] {
                    let found = until(len, computed, |i| {
                        assert!(i < len);
                        i < end
                    });
                    assert_eq!(found, end, "of {len}");
                }
            }
        }
    }
}
