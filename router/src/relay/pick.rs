//! A request that is decided here and sent by Envoy, whose endpoint picker this router is. It is
//! booked like any other from the decision to its end.

use super::flight::{Failed, Flight};
use super::job::Job;
use crate::call::{AnswerEnd, UpstreamError};
use crate::error::RequestError;
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::WorkerLink;
use crate::incoming::Incoming;
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::routing::input::Failure;

/// A request and the worker that was chosen for it. Dropped before its end, it counts as one whose client went away.
#[derive(Debug)]
pub struct Picked {
    flight: Flight,
    job: Job,
    pub link: Arc<WorkerLink>,
    /// Replaces the client's salt.
    pub salt: String,
    block_size: u32,
    has_token: bool,
}

/// Chooses a worker.
pub async fn pick(
    state: &Arc<RouterState>,
    terms: &Arc<FleetTerms>,
    incoming: Incoming,
) -> Result<Picked, RequestError> {
    let mut flight = Flight::register(state, &incoming)?;
    let upstream_id = Arc::clone(&flight.upstream_id);
    let mut job = Job::new(state, terms, incoming, &upstream_id);
    let request = job.request(state, flight.id);
    flight.traced.model(&terms.model);
    let dispatched = flight.dispatch(request, job.incoming.deadline).await?;
    let (link, salt) = (dispatched.link, job.named.salt.clone());
    if dispatched.decision.decode.is_some() {
        // Envoy sends a request once.
        let worker = link.place();
        let why = "it only computes prompts, and Envoy sends a request to one worker only";
        return Err(RequestError::Worker { worker, cause: UpstreamError::unavailable(why) });
    }
    job.sent_elsewhere();
    Ok(Picked { flight, job, link, salt, block_size: terms.block_size, has_token: false })
}

impl Picked {
    /// A part of the answer came.
    pub fn token(&mut self) {
        if !std::mem::replace(&mut self.has_token, true) {
            self.flight.first_token(true);
        }
    }

    /// The answer is whole.
    pub fn finished(&mut self, tokens: u32, cached_tokens: u32) {
        let end = AnswerEnd::Finished { cached_tokens, by_origin: None, kv_came: false };
        self.job.handed_out(tokens);
        self.flight.ended(end, tokens, self.block_size);
    }

    /// The worker failed.
    pub async fn failed(&mut self, why: String) {
        let how = match self.has_token {
            true => Failure::MidStream,
            false => Failure::BeforeFirstToken,
        };
        let cause = UpstreamError::unavailable(why);
        // Envoy has its answer; there is no further attempt.
        let _ = self.flight.again(Failed { how, cause, at_work: false }, None, None).await;
    }
}
