//! One attempt at a request: sent to its worker, up to the worker's first word.

use super::flight::{Dispatched, Flight};
use super::job::Job;
use super::kv_transfer;
use super::patience::{Limits, Patience};
use crate::call::{Call, UpstreamError};
use crate::error::RequestError;
use crate::fleet::worker::{Gone, WorkerLink};
use crate::state::RouterState;
use crate::upstream::UpstreamAnswer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::{Decision, Failure};
use warmpath_proto::hints::{Holder, PullHint};

/// A request that its worker has accepted.
#[derive(Debug)]
pub struct Accepted {
    pub upstream: UpstreamAnswer,
    pub link: Arc<WorkerLink>,
    pub patience: Patience,
    /// When the message was ready to be sent, without the waits for a decision and for the first of two
    /// workers.
    pub issued: Instant,
    /// When the core router had decided.
    pub decided: Instant,
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub enum Unsent {
    /// It failed, and the request may be tried again.
    Failed(Failure, UpstreamError),
    /// The request has ended.
    Ended(RequestError),
}

impl From<RequestError> for Unsent {
    fn from(error: RequestError) -> Self {
        Self::Ended(error)
    }
}

/// Sends a request where the core router decided, and waits until the worker accepts it.
pub async fn send(
    state: &RouterState,
    flight: &mut Flight,
    job: &mut Job,
    Dispatched { link, decision, held_for }: Dispatched,
) -> Result<Accepted, Unsent> {
    let sent = Instant::now();
    let decided = sent - held_for;
    let limits = decision.limits.map(|limits| {
        let wall = |span| state.router.clock().wall_span(span);
        Limits {
            headers: sent + wall(limits.headers),
            first_token: sent + wall(limits.first_token),
            gap: wall(limits.gap),
        }
    });
    let (id, deadline) = (Arc::clone(&flight.upstream_id), job.incoming.deadline);
    let mut call = Call {
        id: &id,
        salt: &job.named.salt,
        scope: &job.named.scope,
        pull: pull(state, &decision),
        held: None,
        body: &mut job.incoming.body,
        prompt: &job.incoming.prompt,
        answered: job.answered,
        ids: job.resumable,
        deadline,
    };
    let (link, elsewhere) = match decision.decode {
        None => (link, Duration::ZERO),
        Some(decode) => {
            let begun = Instant::now();
            call.held = tokio::select! {
                biased;
                () = until(deadline) => return Err(flight.past_deadline(0).into()),
                held = kv_transfer::prefill(&link, &call) => held,
            };
            // The pull was for the worker that computed the prompt.
            call.pull = None;
            (flight.send_kv(decode, call.held.is_some())?, begun.elapsed())
        }
    };
    let prepared = link.upstream.prepare(call);
    let issued = Instant::now() - elsewhere - held_for;
    let not_yet = |how, why: String| Err(Unsent::Failed(how, UpstreamError::unavailable(why)));
    // The worker was told of the deadline, and its end of it must not count as the worker's failure.
    let upstream = tokio::select! {
        biased;
        () = until(deadline) => return Err(flight.past_deadline(0).into()),
        answer = prepared.send() => answer,
        gone = link.gone(flight.id) => return match gone {
            Gone::Lost(why) => not_yet(
                Failure::BeforeFirstToken,
                format!("lost before it took the request: {why}"),
            ),
            Gone::Silent => not_yet(
                Failure::NoFirstToken,
                "it answers none of its requests".to_owned(),
            ),
        },
        () = until(limits.map(|limits| limits.headers)) => {
            return not_yet(Failure::NoHeaders, "it did not accept the request in time".to_owned());
        }
    };
    match upstream {
        Ok(upstream) => {
            flight.reached_worker();
            let patience = Patience::new(Arc::clone(&link), flight.id, limits);
            Ok(Accepted { upstream, link, patience, issued, decided })
        }
        Err(cause) => Err(failed(flight, cause, false)),
    }
}

/// The worker's call failed, or it refused the request. `has_token`: this worker has sent one.
pub fn failed(flight: &mut Flight, cause: UpstreamError, has_token: bool) -> Unsent {
    if !cause.may_be_tried_again() {
        return Unsent::Ended(flight.refused(cause));
    }
    let how = match (has_token, cause.not_taken) {
        (true, _) => Failure::MidStream,
        (false, true) => Failure::NotTaken,
        (false, false) => Failure::BeforeFirstToken,
    };
    Unsent::Failed(how, cause)
}

/// Tries a request again after a failure, until a worker accepts it or it is given up. `has_tokens`:
/// whether the client has a part of the answer.
pub async fn again(
    state: &RouterState,
    flight: &mut Flight,
    job: &mut Job,
    (mut how, mut cause): (Failure, UpstreamError),
    has_tokens: bool,
) -> Result<Accepted, RequestError> {
    loop {
        let request = job.again(state, flight.id, has_tokens);
        let next = flight.again(how, cause, request, job.incoming.deadline).await?;
        match send(state, flight, job, next).await {
            Ok(accepted) => return Ok(accepted),
            Err(Unsent::Failed(next_how, next_cause)) => (how, cause) = (next_how, next_cause),
            Err(Unsent::Ended(error)) => return Err(error),
        }
    }
}

/// Returns when the time has come. Without one it never returns.
async fn until(time: Option<Instant>) {
    match time {
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
