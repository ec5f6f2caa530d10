//! What a client is told of a request that the core router rejects, or that a worker does not take.

use crate::error::RequestError;
use crate::fleet::worker::{Standing, WorkerLink};
use crate::state::RouterState;
use std::sync::Arc;
use std::time::Duration;
use warmpath_core::routing::input::RejectReason;

/// A request that is too large for the workers that have joined may fit one that has not: then the
/// client may try again.
pub fn of(state: &RouterState, reason: RejectReason) -> RequestError {
    if let Some(after) = reason.retry_after() {
        let after = after.as_secs_f64() / state.config.speedup;
        return RequestError::Refused { reason, after: Duration::from_secs_f64(after) };
    }
    let too_large = matches!(
        reason,
        RejectReason::PromptTooLarge { .. } | RejectReason::RequestTooLarge { .. }
    );
    let links = state.roster.links();
    let away = |link: &&Arc<WorkerLink>| {
        matches!(link.standing(), Standing::Away(_) | Standing::Refused(_))
    };
    let absent = links.iter().filter(away).count();
    match too_large && absent > 0 {
        true => RequestError::TooLargeForNow { reason, absent },
        false => reason.into(),
    }
}

/// Whether another worker takes larger requests than this one. What this one refuses, it may
/// answer.
pub fn another_is_larger(state: &RouterState, refused: &WorkerLink) -> bool {
    state.router.fleet(|fleet| {
        let own = fleet.worker(refused.id).and_then(|worker| worker.info.largest_request());
        let larger = |room: Option<u64>| own.is_some_and(|own| room.is_none_or(|room| room > own));
        fleet.workers().any(|(id, worker)| {
            let info = &worker.info;
            id != refused.id && worker.takes_requests() && larger(info.largest_request())
        })
    })
}
