//! The blocks that the requests under way hold on each worker. Blocks that several requests of a
//! worker share count once.

use super::in_flight::InFlight;
use crate::block::TokenBlocks;
use crate::id::WorkerId;
use crate::routing::index::Overlap;
use crate::routing::observed::Observed;
use crate::routing::pending::{PendingIndex, Place};
use crate::routing::per_worker::PerWorker;
use std::cell::{Ref, RefCell};

/// Prompts of the requests under way, from dispatch to end.
#[derive(Default, Debug)]
pub struct ActiveBlocks {
    prompts: PendingIndex,
    /// The decode worker of each, and where its prompt ends.
    requests: InFlight<(Option<WorkerId>, Place)>,
    blocks: PerWorker<u64>,
    /// The result of a look-up, kept for its memory.
    found: RefCell<Overlap>,
}

impl ActiveBlocks {
    /// Learns from what happened. A rule calls it with each thing that it observes.
    pub fn observe(&mut self, what: &Observed<'_>) {
        let Self { prompts, requests, blocks, .. } = self;
        if let Observed::Dispatched { request, decision } = *what {
            let mut add = |worker| {
                let (new, end) = prompts.add(worker, &request.prompt);
                *blocks.of_mut(worker) += u64::from(new);
                end
            };
            let end = add(decision.worker);
            decision.decode.map(add);
            requests.begin(request.id, decision.worker, (decision.decode, end));
        } else {
            if let Observed::Joined(info) = *what {
                // Without a gap in the numbers, a look-up is one comparison.
                blocks.of_mut(info.worker);
            }
            requests.end(what, |_, worker, (decode, end)| {
                for worker in [Some(worker), decode].into_iter().flatten() {
                    let gone = u64::from(prompts.remove(worker, end));
                    *blocks.get_mut(worker).expect("the worker has blocks") -= gone;
                }
            });
        }
    }

    /// Blocks that the requests of a worker hold.
    pub fn of(&self, worker: WorkerId) -> u64 {
        self.blocks.get(worker).copied().unwrap_or(0)
    }

    /// The full blocks of a prompt that the requests of each worker hold.
    pub fn shared(&self, prompt: &TokenBlocks) -> Ref<'_, Overlap> {
        let mut found = self.found.borrow_mut();
        found.clear();
        self.prompts.merge_whole_into(prompt, &mut found);
        drop(found);
        self.found.borrow()
    }
}
