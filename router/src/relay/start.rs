//! The steps of a request up to its worker's first word, in order.

use super::answer::Answer;
use super::attempt::{self, Accepted, Unsent};
use super::flight::Flight;
use super::job::Job;
use crate::error::RequestError;
use crate::fleet::status::FleetTerms;
use crate::fleet::worker::WorkerLink;
use crate::incoming::Incoming;
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_proto::clock::now;

/// A request that its worker has accepted.
#[derive(Debug)]
pub struct Started {
    pub answer: Answer,
    /// The request's name in this router.
    pub name: String,
    /// The worker that accepted it.
    pub link: Arc<WorkerLink>,
    /// Attempts, that one included.
    pub attempts: u32,
    /// The router's own time, in wall nanoseconds. The wait for a decision and failed attempts are not a
    /// part of it.
    pub router_ns: u64,
}

/// Sends a request to the worker that the policy chooses. Returns when a worker has accepted it.
pub async fn start(
    state: &Arc<RouterState>,
    terms: &Arc<FleetTerms>,
    incoming: Incoming,
) -> Result<Started, RequestError> {
    let mut flight = Flight::register(state, &incoming)?;
    let received = incoming.received;
    let upstream_id = Arc::clone(&flight.upstream_id);
    let mut job = Job::new(state, terms, incoming, &upstream_id);
    let hashed = now();
    let request = job.request(state, flight.id);
    flight.traced.model(&terms.model);
    let dispatched = flight.dispatch(request, job.incoming.deadline).await?;
    let (accepted, failed_at) = match attempt::send(state, &mut flight, &mut job, dispatched).await
    {
        Ok(accepted) => (accepted, None),
        Err(Unsent::Ended(error)) => return Err(error),
        Err(Unsent::Failed(failed)) => {
            let failed_at = now();
            let accepted = attempt::again(state, &mut flight, &mut job, failed, false).await?;
            (accepted, Some(failed_at))
        }
    };
    let Accepted { upstream, link, patience, issued, decided } = accepted;
    let total = issued.saturating_duration_since(failed_at.unwrap_or(received));
    if failed_at.is_none() {
        let decide = decided.saturating_duration_since(hashed);
        state.overhead.record(hashed - received, decide, total);
    }
    let (name, attempts) = (flight.name().to_owned(), flight.attempts());
    let answer = Answer::new((flight, job), state, upstream, patience);
    Ok(Started { answer, name, link, attempts, router_ns: total.as_nanos() as u64 })
}
