//! What the cache-aware rules of SGLang and SMG share: a tree of the texts that were sent, whose size
//! is bounded in characters. Others use the part that reads an index of either kind.
//!
//! The originals bound the tree every 30 or 120 seconds; here it never grows over its bound. They match
//! character by character or in pages of 16 tokens; here matches are whole blocks of the prompt. A token
//! counts as four characters.

use crate::id::{MAX_TIERS, WorkerId};
use crate::request::Request;
use crate::routing::index::Overlap;
use crate::routing::observed::Observed;
use crate::routing::policy::parts::{Index, Predicted, Prediction};
use crate::routing::view::FleetView;
use crate::time::Instant;
use std::cell::Ref;

/// Characters a token.
pub(super) const CHARACTERS: u32 = 4;

/// The texts that were sent to each worker.
#[derive(Debug)]
pub struct TextTree {
    /// Of the texts of one worker.
    most_characters: u32,
    /// Made with the first prompt, which tells how large a block is.
    tree: Option<Predicted>,
}

impl TextTree {
    /// An empty tree.
    pub fn new(most_characters: u32) -> Self {
        Self { most_characters, tree: None }
    }

    /// Learns from what happened.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        if let (Observed::Dispatched { request, .. }, None) = (what, &self.tree) {
            let block = request.prompt.block_size().max(1);
            self.tree = Some(Predicted::new(Prediction {
                block_tokens: block,
                most_blocks: u32::MAX,
                capacity: (self.most_characters / CHARACTERS / block).max(1),
                ttl: None,
            }));
        }
        if let Some(tree) = &mut self.tree {
            tree.observe(now, what);
        }
    }

    /// What each worker holds of a request's prompt.
    pub fn belief<'a>(
        &'a self,
        index: Index,
        request: &Request,
        view: &'a FleetView<'_>,
    ) -> Belief<'a> {
        let found = match index {
            Index::Exact => Some(view.overlap(&request.prompt)),
            Index::Predicted => {
                self.tree.as_ref().map(|tree| tree.find(view.now(), &request.prompt))
            }
        };
        Belief { index, found }
    }

    /// The size of a worker's texts, in blocks.
    pub fn size(&self, worker: WorkerId) -> usize {
        self.tree.as_ref().map_or(0, |tree| tree.blocks(worker))
    }
}

/// What a rule believes that workers hold of a prompt.
#[derive(Debug)]
pub struct Belief<'a> {
    index: Index,
    /// None: nothing was sent so far.
    found: Option<Ref<'a, Overlap>>,
}

impl<'a> Belief<'a> {
    /// By the workers' events, or by what was sent to them.
    pub fn new(
        index: Index,
        sent: &'a Predicted,
        request: &Request,
        view: &'a FleetView<'_>,
    ) -> Self {
        Self { index, found: Some(sent.overlap(index, request, view)) }
    }

    /// Blocks by tier. Events tell of a worker's tiers; the router's own pending blocks do not count,
    /// since the originals do not know them.
    pub fn by_tier(&self, worker: WorkerId) -> [u32; MAX_TIERS] {
        match (&self.found, self.index) {
            (None, _) => [0; MAX_TIERS],
            (Some(found), Index::Exact) => found.stored(worker),
            (Some(found), Index::Predicted) => found.of_worker(worker),
        }
    }

    /// Blocks in all tiers.
    pub fn blocks(&self, worker: WorkerId) -> u32 {
        self.by_tier(worker).iter().fold(0, |sum, &blocks| sum.saturating_add(blocks))
    }
}

/// The part of a prompt's tokens that whole blocks cover, from 0 to 1; 0 for an empty prompt.
pub(super) fn share(request: &Request, blocks: u32) -> f64 {
    let prompt = &request.prompt;
    let covered = u64::from(blocks) * u64::from(prompt.block_size());
    let tokens = u64::from(prompt.tokens());
    covered.min(tokens) as f64 / tokens.max(1) as f64
}
