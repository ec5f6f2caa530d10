//! The prefix index behind a lock. Look-ups run side by side; an update waits for them.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use warmpath_core::block::TokenBlocks;
use warmpath_core::routing::index::{Overlap, PrefixIndex};

/// What each worker and each pool holds.
#[derive(Debug)]
pub struct SharedIndex(RwLock<PrefixIndex>);

impl SharedIndex {
    /// An empty index that keeps a digest for each source.
    pub fn new() -> Self {
        Self(RwLock::new(PrefixIndex::with_digests()))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, PrefixIndex> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, PrefixIndex> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into `out` what each source holds of a prompt. The lock is held only for this
    /// look-up.
    pub fn look_up(&self, prompt: &TokenBlocks, out: &mut Overlap) {
        self.read().overlap(prompt, out);
    }
}
