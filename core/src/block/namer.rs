//! Names of blocks of token ids.

use super::digest::{DigestKeys, PIECE};
use super::hash::BlockHash;
use super::scope::{KeyUse, Keys, ScopePlan};
use aes::Aes128Enc;
use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};

/// Names blocks of token ids in one scope, each from the name before it and its own tokens: AES of the keyed digest
/// of the tokens ([`DigestKeys`]), masked by the name before. The digests of blocks do not depend on each other, so
/// the processor computes the next ones while it encrypts.
#[derive(Clone)]
pub struct Namer {
    block_size: usize,
    digest: DigestKeys,
    cipher: Aes128Enc,
}

impl std::fmt::Debug for Namer {
    /// The keys stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namer").field("block_size", &self.block_size).finish_non_exhaustive()
    }
}

impl Namer {
    /// Names as [`super::hash_blocks`] gives them to a text of this scope without a public part.
    pub fn new(scope: &ScopePlan) -> Self {
        Self::of(scope.at(u32::MAX).0, scope.block_size())
    }

    pub(super) fn of(keys: &Keys, block_size: u32) -> Self {
        Self {
            block_size: block_size as usize,
            digest: DigestKeys::new(&keys.half(KeyUse::Digests)),
            cipher: Aes128Enc::new(&Array(keys.half(KeyUse::Names))),
        }
    }

    /// Tokens a block.
    pub const fn block_size(&self) -> u32 {
        self.block_size as u32
    }

    /// The name of one block after `parent`. None: the block begins its text.
    pub fn next(&self, parent: Option<BlockHash>, block: &[u32]) -> BlockHash {
        assert_eq!(block.len(), self.block_size, "tokens of a full block");
        let parent = parent.map_or(0, BlockHash::to_wire);
        let mut name = Array((self.digest.digest(block) ^ parent).to_le_bytes());
        self.cipher.encrypt_block(&mut name);
        BlockHash::from_wire(u128::from_le_bytes(name.0))
    }

    /// Appends the names of the full blocks of `tokens`, which follow the last of `names`.
    pub(super) fn extend(&self, names: &mut Vec<BlockHash>, tokens: &[u32]) {
        let known = names.len();
        let parent = names.last().map_or(0, |name| name.to_wire());
        names.resize(known + tokens.len() / self.block_size, BlockHash::from_wire(0));
        let names = &mut names[known..];
        self.cipher.encrypt_with_backend(Naming { namer: self, parent, tokens, names });
    }
}

/// The naming of many blocks as one piece of work for the cipher, so that its keys stay in registers.
struct Naming<'a> {
    namer: &'a Namer,
    parent: u128,
    tokens: &'a [u32],
    names: &'a mut [BlockHash],
}

impl BlockSizeUser for Naming<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Naming<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, cipher: &B) {
        let digest = &self.namer.digest;
        let mut parent = self.parent;
        let mut name = |digest: u128| {
            let mut block = Array((digest ^ parent).to_le_bytes());
            cipher.encrypt_block((&mut block).into());
            parent = u128::from_le_bytes(block.0);
            BlockHash::from_wire(parent)
        };
        match self.namer.block_size {
            PIECE => {
                for (block, to) in self.tokens.as_chunks().0.iter().zip(self.names) {
                    *to = name(digest.digest_piece(block));
                }
            }
            size => {
                for (block, to) in self.tokens.chunks_exact(size).zip(self.names) {
                    *to = name(digest.digest(block));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
