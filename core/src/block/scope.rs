//! Sharing scopes as hash keys.

use std::fmt;
use std::sync::Arc;

/// The sharing scope of a text: the keys of its block hashes, and the block size. No block can be
/// hashed without a scope, and no block can be looked up without a hash.
///
/// A text may begin with a part that the operator shares with all tenants ([`Self::behind`]). The
/// whole blocks of that part are hashed under the public scope, the rest under this one, in one
/// chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopePlan {
    keys: Arc<Keys>,
    block_size: u32,
    public: Option<Public>,
}

/// The first part of a text, hashed under the public scope.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Public {
    keys: Arc<Keys>,
    /// Length in tokens, a multiple of the block size.
    tokens: u32,
}

/// What a key is used for.
#[derive(Clone, Copy)]
pub(super) enum KeyUse {
    /// The cipher that makes names of token ids.
    Names,
    /// The digests of token ids.
    Digests,
    Text,
    Answer,
    /// The rest of a segment after the end of the public part.
    Rest,
}

/// One key for each [`KeyUse`], so that inputs of two kinds never have equal hashes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys([[u8; 32]; 5]);

impl fmt::Debug for Keys {
    /// The keys stay out of logs: with them anyone could compute the hashes of the scope.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    fn squeeze(hasher: &blake3::Hasher) -> Arc<Self> {
        let mut bytes = hasher.finalize_xof();
        let mut keys = [[0; 32]; 5];
        keys.iter_mut().for_each(|key| bytes.fill(key));
        Arc::new(Self(keys))
    }

    /// The first half of a key, for AES-128.
    pub(super) fn half(&self, key_use: KeyUse) -> [u8; 16] {
        *self.0[key_use as usize].first_chunk().expect("32 bytes")
    }

    pub(super) fn hash(&self, key_use: KeyUse, bytes: &[u8]) -> u128 {
        let hash = blake3::keyed_hash(&self.0[key_use as usize], bytes);
        let (bits, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        u128::from_le_bytes(*bits)
    }
}

impl ScopePlan {
    /// The scope of requests that have all four in common. `salt` separates deployments or tenants;
    /// `block_size` is in tokens and at least 1.
    pub fn new(salt: &str, model: &str, lora: &str, block_size: u32) -> Self {
        assert!(block_size > 0, "a block holds at least one token");
        let mut hasher = blake3::Hasher::new_derive_key("warmpath v1 sharing scope");
        for field in [salt, model, lora] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.update(&block_size.to_le_bytes());
        Self { keys: Keys::squeeze(&hasher), block_size, public: None }
    }

    /// A narrower scope that shares no block with this one. Its keys follow from the keys of this
    /// scope, the kind and the number, and cannot be computed without them.
    #[must_use]
    pub fn within(&self, kind: &str, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("warmpath v1 narrower scope");
        self.keys.0.iter().for_each(|key| {
            hasher.update(key);
        });
        hasher.update(&number.to_le_bytes());
        hasher.update(kind.as_bytes());
        Self { keys: Keys::squeeze(&hasher), block_size: self.block_size, public: None }
    }

    /// The same scope for a text whose first `tokens` tokens belong to the scope `public`. Only
    /// whole blocks do: the block that crosses that border, and all after it, belong to this scope.
    /// Both scopes must have the same block size.
    #[must_use]
    pub fn behind(mut self, public: &Self, tokens: u32) -> Self {
        assert_eq!(self.block_size, public.block_size, "two block sizes in one chain");
        let tokens = tokens - tokens % self.block_size;
        let keys = || Arc::clone(&public.keys);
        self.public = (tokens > 0).then(|| Public { keys: keys(), tokens });
        self
    }

    /// Tokens a block.
    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Public tokens at the start of the text, a multiple of the block size.
    pub fn public_tokens(&self) -> u32 {
        self.public.as_ref().map_or(0, |public| public.tokens)
    }

    /// The keys for the text at a token, and the token where their part of the text ends.
    pub(super) fn at(&self, token: u32) -> (&Keys, u32) {
        match &self.public {
            Some(public) if token < public.tokens => (&public.keys, public.tokens),
            _ => (&self.keys, u32::MAX),
        }
    }
}
