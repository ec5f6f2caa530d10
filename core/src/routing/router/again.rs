//! Further attempts at requests whose attempts failed.

use super::Router;
use crate::id::{RequestId, WorkerId};
use crate::request::Request;
use crate::routing::attempt::Failure;
use crate::routing::decision::RejectReason;
use crate::routing::fleet::WorkerState;
use crate::routing::input::Action;
use crate::routing::view::Lookup;
use crate::time::Instant;

impl Router {
    /// Whether an attempt that failed so at `now` would be followed by another one. A limit of time is no
    /// reason to give up a request that no other worker can take.
    pub fn may_try_again(
        &self,
        now: Instant,
        id: RequestId,
        worker: WorkerId,
        how: Failure,
    ) -> bool {
        let tried = self.retries.tried(id);
        let role = self.fleet.worker(worker).map(|worker| worker.info.role);
        let tokens = self.fleet.prompt_tokens(id).map_or(0, |tokens| u64::from(tokens) + 1);
        let takes = |(other, state): (WorkerId, WorkerState<'_>)| {
            other != worker
                && !tried.contains(&other)
                && state.takes_requests()
                && state.info.has_room_for(tokens)
                && role.is_none_or(|role| role == state.info.role)
                && self.fleet.rotation().takes(now, other)
        };
        self.retries.has_one_more(now, id, how) && self.fleet.workers().any(takes)
    }

    /// An attempt at this request failed.
    pub(super) fn try_again(
        &mut self,
        now: Instant,
        request: &Request,
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) -> Action {
        let id = request.id;
        match self.retries.take(now, id) {
            Ok(()) => self.arrive(now, request, lookup, out),
            Err(why) => {
                let tries = self.retries.count(id);
                Action::Reject { id, reason: RejectReason::GaveUp { tries, why } }
            }
        }
    }
}
