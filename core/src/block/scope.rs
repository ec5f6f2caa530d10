//! Within what blocks may be shared: the keys that go into their names.

use std::fmt;
use std::sync::Arc;

/// Within what blocks may be shared, and how long they are. Without one there is no hash, and
/// without a hash no look-up.
///
/// A text may begin with a part that its operator shares with everybody ([`Self::behind`]): the
/// whole blocks of that part are named under the public scope, what follows under this one, in one
/// chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopePlan {
    keys: Arc<Keys>,
    block_size: u32,
    public: Option<Public>,
}

/// The part of a text that is named under another scope.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Public {
    keys: Arc<Keys>,
    /// Tokens; whole blocks.
    tokens: u32,
}

/// What a key is for.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Tokens,
    WideTokens,
    Text,
    Answer,
    /// What of a segment lies behind the public part.
    Rest,
}

/// One for each thing that is hashed, so that no two of them can be taken for each other.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys([[u8; 32]; 5]);

impl fmt::Debug for Keys {
    /// Whoever knows the keys of a scope can name its blocks, so they stand in no log.
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

    pub(super) fn hash(&self, of: Of, bytes: &[u8]) -> u128 {
        let hash = blake3::keyed_hash(&self.0[of as usize], bytes);
        let (bits, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        u128::from_le_bytes(*bits)
    }
}

impl ScopePlan {
    /// Blocks are shared among requests that agree in all four. `salt` separates tenants.
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

    /// A narrower scope that nobody can name without knowing this one, and that shares nothing with
    /// it. Equal for an equal kind and number.
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

    /// The same scope for a text of which the first `tokens` tokens are shared by all who name them
    /// under `public`. Only whole blocks are: one that reaches beyond them is this scope's own, as
    /// is all that follows.
    #[must_use]
    pub fn behind(mut self, public: &Self, tokens: u32) -> Self {
        assert_eq!(self.block_size, public.block_size, "one chain has blocks of one size");
        let tokens = tokens - tokens % self.block_size;
        let keys = || Arc::clone(&public.keys);
        self.public = (tokens > 0).then(|| Public { keys: keys(), tokens });
        self
    }

    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// So many tokens at the start of a text are public; whole blocks.
    pub fn public_tokens(&self) -> u32 {
        self.public.as_ref().map_or(0, |public| public.tokens)
    }

    /// The keys for what stands at a token, and where they end.
    pub(super) fn at(&self, token: u32) -> (&Keys, u32) {
        match &self.public {
            Some(public) if token < public.tokens => (&public.keys, public.tokens),
            _ => (&self.keys, u32::MAX),
        }
    }
}
