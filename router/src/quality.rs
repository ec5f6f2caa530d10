//! How good a decision was, by what workers held of the prompt at the time. Only metrics read it.

use crate::state::RouterState;
use warmpath_core::block::TokenBlocks;
use warmpath_core::event::Role;
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::routing::index::Overlap;

/// Blocks of a prompt that workers held by their events, as far as a request can use them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holders {
    pub chosen: u32,
    /// The most that any worker held that takes such requests.
    pub best: u32,
}

impl Holders {
    /// Blocks that the best holder had and the chosen worker had not.
    pub const fn lost(self) -> u32 {
        self.best.saturating_sub(self.chosen)
    }
}

/// Who holds how much of a prompt now that `chosen` was chosen for. The same for rules that look at caches and
/// for those that do not.
pub fn holders(state: &RouterState, prompt: &TokenBlocks, chosen: WorkerId) -> Holders {
    let mut overlap = Overlap::default();
    state.index.look_up(prompt, &mut overlap);
    let most = prompt.reusable_blocks();
    let mut holders = Holders::default();
    if overlap.entries().is_empty() {
        return holders;
    }
    state.router.fleet(|fleet| {
        for entry in overlap.entries() {
            let SourceId::Worker(id) = entry.source else { continue };
            let blocks = entry.blocks().min(most);
            if id == chosen {
                holders.chosen = blocks;
            }
            let takes = fleet
                .worker(id)
                .is_some_and(|worker| worker.takes_requests() && worker.info.role != Role::Decode);
            if takes {
                holders.best = holders.best.max(blocks);
            }
        }
    });
    holders
}
