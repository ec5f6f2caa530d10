//! The steps of a request up to its worker's first word, in order.

use super::answer::Answer;
use super::flight::Flight;
use super::kv_transfer;
use super::naming::{self, Named};
use crate::call::Call;
use crate::error::RequestError;
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::WorkerLink;
use crate::incoming::Incoming;
use crate::metrics::{self, Stage};
use crate::state::RouterState;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Decision;
use warmpath_proto::hints::{Holder, PullHint};

/// A request that its worker has accepted.
#[derive(Debug)]
pub struct Started {
    pub answer: Answer,
    pub link: Arc<WorkerLink>,
    /// The router's own time, in wall nanoseconds. The wait for a decision is not a part of it.
    pub router_ns: u64,
}

/// Sends a request to the worker that the policy chooses. Returns when the worker has accepted it.
pub async fn start(
    state: &Arc<RouterState>,
    terms: &FleetTerms,
    incoming: Incoming,
) -> Result<Started, RequestError> {
    let mut flight = Flight::register(state, &incoming)?;
    let upstream_id = Arc::clone(&flight.upstream_id);
    let Named { salt, scope, prompt } = naming::name(state, terms, &incoming, &upstream_id);
    let hashed = Instant::now();
    let request = naming::describe(state, flight.id, &incoming, prompt);
    let Incoming { received, deadline, prompt, body, .. } = incoming;
    let (link, decision, held_for) = flight.dispatch(request, deadline).await?;
    let decided = Instant::now() - held_for;

    let pull = pull(state, &decision);
    let mut call = Call {
        id: &upstream_id,
        salt,
        scope: &scope,
        pull,
        held: None,
        body,
        prompt: &prompt,
        deadline,
    };
    let (link, elsewhere) = match decision.decode {
        None => (link, Duration::ZERO),
        Some(decode) => {
            let begun = Instant::now();
            call.held = tokio::select! {
                biased;
                () = until(deadline) => return Err(flight.past_deadline(0)),
                held = kv_transfer::prefill(&link, &call) => held,
            };
            // The pull was for the worker that computed the prompt.
            call.pull = None;
            (flight.send_kv(decode, call.held.is_some())?, begun.elapsed())
        }
    };
    let prepared = link.upstream.prepare(call);
    // The router's own time is without the wait for a decision and the time of the first of two
    // workers.
    let issued = Instant::now() - elsewhere - held_for;
    metrics::overhead(Stage::Hash, hashed - received);
    metrics::overhead(Stage::Decide, decided.saturating_duration_since(hashed));
    metrics::overhead(Stage::Total, issued.saturating_duration_since(received));

    // The worker was told of the deadline, and its end of it must not count as the worker's failure.
    let upstream = tokio::select! {
        biased;
        () = until(deadline) => return Err(flight.past_deadline(0)),
        answer = prepared.send() => answer,
        why = link.lost() => return Err(flight.lost(&why)),
    };
    let upstream = upstream.map_err(|cause| flight.failed(cause))?;
    flight.reached_worker();
    let router_ns = issued.saturating_duration_since(received).as_nanos() as u64;
    let answer = Answer::new(upstream, (flight, &link), deadline, terms.block_size);
    Ok(Started { answer, link, router_ns })
}

/// Returns when the client gives up. Without a deadline it never returns.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Where the worker is told to fetch blocks from. None: the decision has no pull, or its source has
/// left since.
fn pull(state: &RouterState, decision: &Decision) -> Option<PullHint> {
    let pull = decision.pull?;
    let (holder, from) = match pull.from {
        SourceId::Worker(id) => (Holder::Peer, state.roster.get(id)?.url.clone()),
        SourceId::Pool(id) => (Holder::Pool, state.pools.get(id.0 as usize)?.url.clone()),
    };
    Some(PullHint { holder, from, blocks: pull.blocks })
}
