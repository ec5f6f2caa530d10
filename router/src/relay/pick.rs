//! A request that is decided here and sent by Envoy, whose endpoint picker this router is. It is
//! booked like any other from the decision to its end.

use super::flight::{Failed, Flight};
use super::job::Job;
use crate::call::{AnswerEnd, FailureKind, UpstreamError};
use crate::error::RequestError;
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::WorkerLink;
use crate::incoming::Incoming;
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::routing::input::Failure;

/// A request and the worker that was chosen for it. Dropped before it is sent, it was no request of that worker; dropped
/// before its end, it counts as one whose client went away.
#[derive(Debug)]
pub struct Picked {
    flight: Flight,
    job: Job,
    pub link: Arc<WorkerLink>,
    /// Replaces the client's salt.
    pub salt: String,
    block_size: u32,
    is_sent: bool,
    has_token: bool,
}

/// Chooses a worker.
pub async fn pick(
    state: &Arc<RouterState>,
    terms: &Arc<FleetTerms>,
    incoming: Incoming,
) -> Result<Picked, RequestError> {
    let mut flight = Flight::register(state, &incoming)?;
    flight.is_sent_elsewhere();
    let upstream_id = Arc::clone(&flight.upstream_id);
    let mut job = Job::new(state, terms, incoming, &upstream_id);
    let request = job.request(state, flight.id);
    flight.traced.model(&terms.model);
    let dispatched = flight.dispatch(request, job.incoming.deadline).await?;
    let (link, salt) = (dispatched.link, job.named.salt.to_string());
    if dispatched.decision.decode.is_some() {
        // Envoy sends a request once.
        let worker = link.place();
        let why = "it only computes prompts, and Envoy sends a request to one worker only";
        flight.withdrawn(why);
        return Err(RequestError::Worker { worker, cause: UpstreamError::unavailable(why) });
    }
    job.sent_elsewhere();
    let (block_size, is_sent, has_token) = (terms.block_size, false, false);
    Ok(Picked { flight, job, link, salt, block_size, is_sent, has_token })
}

impl Picked {
    /// Envoy was told where it goes.
    pub const fn sent(&mut self) {
        self.is_sent = true;
    }

    /// It goes to another worker than the chosen one, which is no failure. It is not booked any more, and captured to
    /// the end of its answer.
    pub fn elsewhere(&mut self, why: &str) {
        self.flight.withdrawn(why);
    }

    /// A part of the answer came.
    pub fn token(&mut self) {
        if !std::mem::replace(&mut self.has_token, true) && !self.flight.is_over() {
            self.flight.first_token(true);
            self.flight.computed(&self.job.named.prompt);
        }
    }

    /// The answer is whole. What its worker does not say of it is None.
    pub fn finished(&mut self, tokens: Option<u32>, cached_tokens: Option<u32>) {
        self.job.handed_out(tokens.unwrap_or(0));
        if !self.flight.is_over() {
            let end = AnswerEnd::Finished { cached_tokens, by_origin: None, kv_came: false };
            self.flight.ended(end, tokens, self.block_size);
        }
    }

    /// The worker answers, and Envoy shows no more of it than that.
    pub fn finished_unseen(&mut self) {
        self.flight.ended_unseen();
    }

    /// The worker refused the request with this HTTP status.
    pub fn refused(&mut self, status: u16) {
        let kind = FailureKind::InvalidRequest;
        // Envoy has its answer.
        let _ = self.flight.refused(UpstreamError { kind, ..http(status) });
    }

    /// The worker failed with this HTTP status.
    pub async fn failed(&mut self, status: u16) {
        if self.flight.is_over() {
            return;
        }
        let how = match self.has_token {
            true => Failure::MidStream,
            false => Failure::BeforeFirstToken,
        };
        // Envoy has its answer; there is no further attempt.
        let failed = Failed { how, cause: http(status), at_work: false };
        let _ = self.flight.again(failed, None, None).await;
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if !self.is_sent {
            self.flight.withdrawn("it was not sent");
        }
    }
}

fn http(status: u16) -> UpstreamError {
    UpstreamError::unavailable(format!("HTTP status {status}"))
}
