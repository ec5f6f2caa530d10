//! How a request ends, and what is done then.

use super::{Flight, Stage};
use crate::call::{AnswerEnd, FailureKind, UpstreamError};
use crate::error::RequestError;
use crate::fleet::worker::WorkerLink;
use crate::metrics::{self, Outcome};
use crate::relay::refusal;
use std::sync::Arc;
use warmpath_core::routing::input::Input;

impl Flight {
    /// The worker refused the request. That is no failure of the worker, and it has nothing to abort.
    pub fn refused(&mut self, mut cause: UpstreamError) -> RequestError {
        let Some(link) = self.end(Outcome::WorkerFailed) else {
            return RequestError::EndedTwice;
        };
        // The router has checked the request, so only this worker's size can be the reason.
        if cause.kind == FailureKind::InvalidRequest
            && refusal::another_is_larger(&self.state, &link)
        {
            cause.kind = FailureKind::ResourceExhausted;
        }
        self.state.router.tell(Input::Cancelled(self.id));
        self.failure(&link, cause)
    }

    pub(super) fn failure(&self, link: &WorkerLink, cause: UpstreamError) -> RequestError {
        self.logged(link, RequestError::Worker { worker: link.place(), cause })
    }

    pub(super) fn logged(&self, link: &WorkerLink, error: RequestError) -> RequestError {
        tracing::warn!(worker = link.name, request = self.key.1, %error, "request failed");
        error
    }

    pub fn past_deadline(&mut self, tokens: u32) -> RequestError {
        self.give_up(Outcome::DeadlineExceeded);
        RequestError::DeadlinePassed { tokens }
    }

    /// It was not sent to the worker that it is booked on, which is no failure: the booking ends, and the worker had no
    /// request.
    pub fn withdrawn(&mut self, why: &str) {
        let Some(link) = self.leave() else { return };
        self.traced.attempt_failed("not_sent", why);
        self.state.in_flight.unset_worker(&self.key);
        self.state.router.tell(Input::Cancelled(self.id));
        link.forget(self.id);
    }

    /// The worker answers, and no more of it will be seen here. So nothing of the answer is measured.
    pub fn ended_unseen(&mut self) {
        if self.end(Outcome::Finished).is_some() {
            let (id, by_origin, output_tokens) = (self.id, None, None);
            self.state.router.tell(Input::Finished {
                id,
                cached_tokens: 0,
                by_origin,
                output_tokens,
            });
        }
    }

    /// The worker ended the answer, which had `tokens` tokens; None: they were not counted.
    pub fn ended(&mut self, end: AnswerEnd, tokens: Option<u32>, block_size: u32) {
        let AnswerEnd::Finished { cached_tokens, by_origin, kv_came } = end else {
            self.end(Outcome::Aborted);
            self.state.router.tell(Input::Cancelled(self.id));
            return;
        };
        if kv_came {
            // The worker that held the KV has released it. Otherwise `end`, below, tells it to.
            self.holds = None;
        }
        self.traced.answered(tokens, cached_tokens);
        if let Some(link) = self.end(Outcome::Finished) {
            // The hit is the prefill worker's, as was the prediction.
            let found_by = self.computed.as_ref().unwrap_or(&link);
            let found = cached_tokens.map(|tokens| tokens / block_size);
            self.measure.answered(&self.policy, &found_by.series, found);
            if let Some(found) = by_origin {
                metrics::pulled(&found_by.name, &found.map(|tokens| tokens / block_size));
            }
        }
        // No rule reads the cached tokens, so an unknown number misleads none.
        let (id, cached_tokens) = (self.id, cached_tokens.unwrap_or(0));
        let output_tokens = tokens;
        self.state.router.tell(Input::Finished { id, cached_tokens, by_origin, output_tokens });
    }

    /// No client waits any more: the worker is told, and the booking ends.
    pub(super) fn give_up(&mut self, outcome: Outcome) {
        let Some(link) = self.end(outcome) else { return };
        self.state.router.tell(Input::Cancelled(self.id));
        link.forget(self.id);
        self.abort(link);
    }

    pub(super) fn abort(&self, link: Arc<WorkerLink>) {
        if self.sent_elsewhere {
            return;
        }
        let ids = vec![self.upstream_id.to_string()];
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { link.abort(ids).await });
        }
    }

    /// The first call gets the link, and must tell the core router of the end.
    fn end(&mut self, outcome: Outcome) -> Option<Arc<WorkerLink>> {
        let link = self.leave()?;
        metrics::ended(&link.series, &self.policy, outcome);
        self.traced.ended(outcome);
        Some(link)
    }

    /// The attempt is over. The first call gets the link, and must tell the core router.
    pub(super) fn leave(&mut self) -> Option<Arc<WorkerLink>> {
        if !matches!(self.stage, Stage::Sent(_)) {
            return None;
        }
        let Stage::Sent(link) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        if let Some(holds) = self.holds.take() {
            self.abort(holds);
        }
        Some(link)
    }
}

/// What an error is called in traces: as metrics name it. `others`: what the rest are.
pub(super) const fn kind(error: &RequestError, others: &'static str) -> &'static str {
    match error {
        RequestError::DeadlinePassedHeld => Outcome::DeadlineExceeded.name(),
        RequestError::Aborted | RequestError::AbortedHeld => Outcome::Aborted.name(),
        _ => others,
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Held(_)) {
            self.state.router.cancel(self.id, Outcome::ClientGone.name());
            self.traced.failed(Outcome::ClientGone.name(), "");
        }
        self.give_up(Outcome::ClientGone);
        self.state.in_flight.remove(&self.key);
    }
}
