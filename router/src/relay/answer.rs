//! The stream of one answer. If its worker fails, it goes on on another one.

use super::attempt::{self, Accepted, Unsent};
use super::flight::{Failed, Flight};
use super::job::Job;
use super::patience::{Lapse, Patience};
use crate::call::{AnswerEnd, AnswerPart, UpstreamError};
use crate::error::RequestError;
use crate::payload::AnswerBody;
use crate::state::RouterState;
use crate::upstream::UpstreamAnswer;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

/// How long the worker may take to end the stream after the answer's last message. The client has the whole
/// answer then, and must not wait for a worker that stalls.
const CLOSING: Duration = Duration::from_millis(100);

/// An answer, message by message, as its worker sent it. The deadline holds for the whole stream.
#[derive(Debug)]
pub struct Answer {
    at: At,
    state: Arc<RouterState>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Answer tokens that the client has.
    tokens: u32,
    /// What became of it after its first worker failed.
    later: Vec<Later>,
}

/// The worker on which an answer went on.
#[derive(Clone, Debug)]
pub struct Later {
    /// The worker's name.
    pub worker: String,
    /// How many tokens the client had when the worker before it failed.
    pub after: u32,
}

/// Where an answer stands.
enum At {
    Streaming(Box<Streaming>),
    /// Its worker failed. The next one is sought.
    Between(Pin<Box<dyn Future<Output = Next> + Send>>),
    Ended,
}

#[derive(Debug)]
struct Streaming {
    upstream: UpstreamAnswer,
    patience: Patience,
    flight: Flight,
    job: Job,
    /// This worker has sent a token.
    has_token: bool,
    /// From the last message on.
    closing: Option<Pin<Box<Sleep>>>,
}

impl Streaming {
    fn begin((flight, job): (Flight, Job), upstream: UpstreamAnswer, patience: Patience) -> At {
        let (has_token, closing) = (false, None);
        At::Streaming(Box::new(Self { upstream, patience, flight, job, has_token, closing }))
    }

    /// A message came. `tokens`: what the client had before.
    fn observe(&mut self, part: &mut AnswerPart, tokens: &mut u32) {
        if part.tokens > 0 {
            if !std::mem::replace(&mut self.has_token, true) {
                self.flight.first_token(*tokens == 0);
                self.flight.computed(&self.job.named.prompt);
                self.job.answers();
            }
            *tokens = tokens.saturating_add(part.tokens);
            self.job.hand_out(part);
        }
        self.patience.hear(self.has_token);
        if let Some(end) = part.end {
            self.flight.ended(end, Some(*tokens), self.job.terms.block_size);
            self.closing = Some(Box::pin(sleep(CLOSING)));
        }
    }
}

struct Next {
    flight: Flight,
    job: Job,
    accepted: Result<Accepted, RequestError>,
}

impl Answer {
    pub fn new(
        (flight, job): (Flight, Job),
        state: &Arc<RouterState>,
        upstream: UpstreamAnswer,
        patience: Patience,
    ) -> Self {
        let deadline = job.incoming.deadline;
        let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        let at = Streaming::begin((flight, job), upstream, patience);
        Self { at, state: Arc::clone(state), deadline, tokens: 0, later: Vec::new() }
    }

    /// On which workers it went on after its first one failed.
    pub fn later(&self) -> &[Later] {
        &self.later
    }

    /// The worker failed: another one is sought, if that is possible.
    fn fail(&mut self, failed: Failed) {
        let At::Streaming(now) = std::mem::replace(&mut self.at, At::Ended) else {
            return;
        };
        let Streaming { mut flight, mut job, upstream, .. } = *now;
        // Nothing of the failed attempt may reach the client any more.
        drop(upstream);
        let (state, has_tokens) = (Arc::clone(&self.state), self.tokens > 0);
        self.at = At::Between(Box::pin(async move {
            let accepted = attempt::again(&state, &mut flight, &mut job, failed, has_tokens).await;
            Next { flight, job, accepted }
        }));
    }
}

impl Stream for Answer {
    type Item = Result<AnswerBody, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let now = match &mut this.at {
                At::Ended => return Poll::Ready(None),
                At::Streaming(now) => now,
                At::Between(next) => {
                    let Next { flight, job, accepted } = ready!(next.as_mut().poll(cx));
                    match accepted {
                        Ok(Accepted { upstream, patience, link, .. }) => {
                            let (worker, after) = (link.name.clone(), this.tokens);
                            this.later.push(Later { worker, after });
                            this.at = Streaming::begin((flight, job), upstream, patience);
                            continue;
                        }
                        Err(error) => {
                            this.at = At::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            };
            if !now.flight.is_over()
                && let Some(deadline) = &mut this.deadline
                && deadline.as_mut().poll(cx).is_ready()
            {
                let error = now.flight.past_deadline(this.tokens);
                this.at = At::Ended;
                return Poll::Ready(Some(Err(error)));
            }
            let Poll::Ready(next) = Pin::new(&mut now.upstream).poll_next(cx) else {
                if now.flight.is_over() {
                    if let Some(closing) = &mut now.closing {
                        ready!(closing.as_mut().poll(cx));
                    }
                    this.at = At::Ended;
                    return Poll::Ready(None);
                }
                let lapse = ready!(now.patience.poll(cx));
                if let Lapse::Late(how) = lapse
                    && !((this.tokens == 0 || now.job.resumable) && now.flight.may_try_again(how))
                    && now.patience.wait_on()
                {
                    continue;
                }
                let failed = lapse.failed(this.tokens, now.has_token);
                this.fail(failed);
                continue;
            };
            let failure = match next {
                Some(Ok(mut part)) => {
                    now.observe(&mut part, &mut this.tokens);
                    return Poll::Ready(Some(Ok(part.body)));
                }
                Some(Err(cause)) => Some(cause),
                None => None,
            };
            if now.flight.is_over() {
                this.at = At::Ended;
                return Poll::Ready(None);
            }
            if now.job.resumable && this.tokens >= now.job.incoming.max_new_tokens {
                // All tokens of the one answer have come. Only the worker's word for it is missing.
                let end =
                    AnswerEnd::Finished { cached_tokens: None, by_origin: None, kv_came: false };
                now.flight.ended(end, Some(this.tokens), now.job.terms.block_size);
                let last = AnswerBody::complete(&now.job.incoming.body, this.tokens);
                this.at = At::Ended;
                return Poll::Ready(Some(Ok(last)));
            }
            let tokens = this.tokens;
            let cut =
                || UpstreamError::unavailable(format!("the stream ended after {tokens} tokens"));
            let cause = failure.unwrap_or_else(cut);
            match attempt::failed(&mut now.flight, cause, now.has_token) {
                Unsent::Failed(failed) => this.fail(failed),
                Unsent::Ended(error) => {
                    this.at = At::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streaming(now) => f.debug_tuple("Streaming").field(now).finish(),
            Self::Between(_) => f.write_str("Between"),
            Self::Ended => f.write_str("Ended"),
        }
    }
}
