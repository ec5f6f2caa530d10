//! The stream of one answer.

use super::flight::Flight;
use super::stuck::Stuck;
use crate::call::{AnswerPart, UpstreamError};
use crate::error::RequestError;
use crate::fleet::worker::WorkerLink;
use crate::payload::AnswerBody;
use crate::upstream::UpstreamAnswer;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::Sleep;
use tokio_stream::Stream;

/// An answer, message by message, as its worker sent it. The deadline holds for the whole stream.
#[derive(Debug)]
pub struct Answer {
    upstream: UpstreamAnswer,
    deadline: Option<Pin<Box<Sleep>>>,
    flight: Flight,
    stuck: Stuck,
    tokens: u32,
    ended: bool,
    /// Tokens a block.
    block_size: u32,
}

impl Answer {
    pub fn new(
        upstream: UpstreamAnswer,
        (flight, link): (Flight, &Arc<WorkerLink>),
        deadline: Option<Instant>,
        block_size: u32,
    ) -> Self {
        let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        let stuck = Stuck::new(Arc::clone(link));
        Self { upstream, deadline, flight, stuck, tokens: 0, ended: false, block_size }
    }

    /// The request's name in this router.
    pub fn name(&self) -> &str {
        self.flight.name()
    }

    fn observe(&mut self, part: &AnswerPart) {
        if self.tokens == 0 && part.tokens > 0 {
            self.flight.first_token();
        }
        self.tokens = self.tokens.saturating_add(part.tokens);
        if let Some(end) = part.end {
            self.flight.ended(end, self.tokens, self.block_size);
        }
    }
}

impl Stream for Answer {
    type Item = Result<AnswerBody, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if !this.flight.is_over()
            && let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            this.ended = true;
            return Poll::Ready(Some(Err(this.flight.past_deadline(this.tokens))));
        }
        let Poll::Ready(next) = Pin::new(&mut this.upstream).poll_next(cx) else {
            if this.flight.is_over() {
                return Poll::Pending;
            }
            let why = ready!(this.stuck.poll(cx));
            this.ended = true;
            return Poll::Ready(Some(Err(this.flight.stuck(&why, this.tokens))));
        };
        let failure = match next {
            Some(Ok(part)) => {
                this.stuck.hear();
                this.observe(&part);
                return Poll::Ready(Some(Ok(part.body)));
            }
            Some(Err(cause)) => Some(cause),
            None => None,
        };
        this.ended = true;
        if this.flight.is_over() {
            return Poll::Ready(None);
        }
        let cut =
            || UpstreamError::unavailable(format!("the stream ended after {} tokens", this.tokens));
        let cause = failure.unwrap_or_else(cut);
        Poll::Ready(Some(Err(this.flight.failed(cause))))
    }
}
