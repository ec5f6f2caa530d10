//! One attempt at a request: sent to its worker, up to the worker's first word.

use super::flight::{Dispatched, Failed, Flight};
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
use warmpath_core::routing::input::{AttemptLimits, Decision, Failure};
use warmpath_proto::clock::{now, since};
use warmpath_proto::deadline::passed;
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
    Failed(Failed),
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
    let decided = now() - held_for;
    let (id, deadline) = (Arc::clone(&flight.upstream_id), job.incoming.deadline);
    let ids = job.needs_ids();
    let mut call = Call {
        id: &id,
        salt: &job.named.salt,
        scope: &job.named.scope,
        pull: pull(state, &decision),
        held: None,
        body: &mut job.incoming.body,
        model: &job.terms.model,
        prompt: &job.incoming.prompt,
        answered: job.answered,
        ids,
        deadline,
        trace: flight.traced.context(),
    };
    let (link, elsewhere) = match decision.decode {
        None => (link, Duration::ZERO),
        Some(decode) => {
            let begun = now();
            call.held = tokio::select! {
                biased;
                () = passed(deadline) => return Err(flight.past_deadline(0).into()),
                held = kv_transfer::prefill(&link, &call) => held,
            };
            // The pull was for the worker that computed the prompt.
            call.pull = None;
            (flight.send_kv(decode, call.held.is_some())?, since(begun))
        }
    };
    let prepared = link.upstream.prepare(call);
    let sent = now();
    let limits = decision.limits.map(|limits| wall(state, sent, limits));
    let issued = sent - elsewhere - held_for;
    let (waits_at, life) = (Arc::clone(&link), link.life());
    let gone = waits_at.gone(flight.id, life);
    let sending = prepared.send();
    tokio::pin!(gone, sending);
    let mut limit = limits.map(|limits| limits.headers);
    // The worker was told of the deadline, and its end of it must not count as the worker's failure.
    let upstream = loop {
        tokio::select! {
            biased;
            () = passed(deadline) => return Err(flight.past_deadline(0).into()),
            answer = &mut sending => break answer,
            gone = &mut gone => {
                let (how, why) = match gone {
                    Gone::Lost(why) => (
                        Failure::BeforeFirstToken,
                        format!("lost before it took the request: {why}"),
                    ),
                    Gone::Silent => {
                        (Failure::NoFirstToken, "it answers none of its requests".to_owned())
                    }
                };
                let cause = UpstreamError::unavailable(why);
                return Err(Unsent::Failed(Failed { how, cause, at_work: true }));
            }
            () = passed(limit) => {
                let most = limits.map(|limits| limits.headers + limits.most);
                if limit < most && !flight.may_try_again(Failure::NoHeaders) {
                    limit = most;
                    continue;
                }
                let cause = UpstreamError::unavailable("it did not accept the request in time");
                return Err(Unsent::Failed(Failed { how: Failure::NoHeaders, cause, at_work: true }));
            }
        }
    };
    match upstream {
        Ok(upstream) => {
            flight.reached_worker();
            let patience = Patience::new((Arc::clone(&link), life), flight.id, limits);
            Ok(Accepted { upstream, link, patience, issued, decided })
        }
        Err(cause) => Err(failed(flight, cause, false)),
    }
}

/// The limits of an attempt by the wall clock.
fn wall(state: &RouterState, sent: Instant, limits: AttemptLimits) -> Limits {
    let wall = |span| state.router.clock().wall_span(span);
    let most = state.config.reliability.limits().time.unwrap_or_default().first_token_most_s;
    Limits {
        headers: sent + wall(limits.headers),
        first_token: sent + wall(limits.first_token),
        gap: wall(limits.gap),
        most: Duration::from_secs_f64(most),
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
    Unsent::Failed(Failed { how, cause, at_work: false })
}

/// Tries a request again after a failure, until a worker accepts it or it is given up. `has_tokens`:
/// whether the client has a part of the answer.
pub async fn again(
    state: &RouterState,
    flight: &mut Flight,
    job: &mut Job,
    mut failed: Failed,
    has_tokens: bool,
) -> Result<Accepted, RequestError> {
    loop {
        let request = job.again(state, flight.id, has_tokens);
        let next = flight.again(failed, request, job.incoming.deadline).await?;
        match send(state, flight, job, next).await {
            Ok(accepted) => return Ok(accepted),
            Err(Unsent::Failed(next)) => failed = next,
            Err(Unsent::Ended(error)) => return Err(error),
        }
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
