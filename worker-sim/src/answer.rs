//! One answer, part by part, in no protocol's terms.
//!
//! The token ids of an answer follow from all tokens before them, so they are made when they are
//! sent.

use crate::command::{Command, End, Progress};
use crate::refusal::Refusal;
use crate::traced::Traced;
use crate::worker::WorkerState;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio_stream::{Stream, wrappers::WatchStream};
use warmpath_core::id::RequestId;
use warmpath_core::tokens::TokenStream;
use warmpath_proto::generate::Accepted;

/// A part of an answer.
#[derive(Clone, PartialEq, Debug)]
pub struct AnswerPart {
    /// In the first part only.
    pub prompt: Option<PromptEcho>,
    /// Answer tokens in this part.
    pub tokens: u32,
    /// Their ids, if the client wants them.
    pub token_ids: Vec<u32>,
    /// In the last part only.
    pub end: Option<End>,
    /// Answer tokens up to this part.
    pub made: u32,
}

/// What an answer says of its prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PromptEcho {
    pub tokens: u32,
    /// Its ids, if the client wants them.
    pub token_ids: Vec<u32>,
}

/// The stream of one answer. Dropping it before its end cancels the request.
#[derive(Debug)]
pub struct Answer {
    progress: WatchStream<Progress>,
    tokens: TokenStream,
    sent: u32,
    prompt: Option<PromptEcho>,
    want_output_ids: bool,
    ended: bool,
    guard: Guard,
    traced: Traced,
}

impl Answer {
    /// `tokens`: a stream that has seen the prompt.
    pub fn new(
        accepted: Accepted,
        tokens: TokenStream,
        progress: watch::Receiver<Progress>,
        (guard, traced): (Guard, Traced),
    ) -> Self {
        let prompt_tokens = accepted.prompt.len() as u32;
        let token_ids = if accepted.want_prompt_ids { accepted.prompt } else { Vec::new() };
        Self {
            progress: WatchStream::from_changes(progress),
            tokens,
            sent: 0,
            prompt: Some(PromptEcho { tokens: prompt_tokens, token_ids }),
            want_output_ids: accepted.want_output_ids,
            ended: false,
            guard,
            traced,
        }
    }

    /// The rest of the answer in one part.
    pub async fn whole(&mut self) -> Result<AnswerPart, Refusal> {
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut self.progress).poll_next(cx)).await;
            match next {
                Some(progress) if progress.end.is_some() => return Ok(self.part(progress)),
                Some(_) => {}
                None => return Err(Refusal::Torn { sent: self.sent }),
            }
        }
    }

    fn part(&mut self, progress: Progress) -> AnswerPart {
        let tokens = progress.made - self.sent;
        self.sent = progress.made;
        let token_ids = if self.want_output_ids {
            (0..tokens).map(|_| self.tokens.generate()).collect()
        } else {
            Vec::new()
        };
        if let Some(end) = &progress.end {
            self.traced.ended(end, progress.made, progress.times);
            self.ended = true;
            self.guard.submitted = false;
        }
        let (prompt, end, made) = (self.prompt.take(), progress.end, self.sent);
        AnswerPart { prompt, tokens, token_ids, end, made }
    }
}

impl Stream for Answer {
    type Item = Result<AnswerPart, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let item = match ready!(Pin::new(&mut this.progress).poll_next(cx)) {
            Some(progress) => Ok(this.part(progress)),
            None => {
                this.ended = true;
                this.traced.cut("the engine stopped");
                Err(Refusal::Torn { sent: this.sent })
            }
        };
        Poll::Ready(Some(item))
    }
}

/// What a request leaves in the worker. Dropping it removes that, and cancels the request if the
/// engine still works on it.
#[derive(Debug)]
pub struct Guard {
    worker: Arc<WorkerState>,
    id: RequestId,
    name: String,
    /// The engine has the request, and has not ended it.
    pub submitted: bool,
}

impl Guard {
    /// For a request that is registered under this name.
    pub fn new(worker: &Arc<WorkerState>, id: RequestId, name: String) -> Self {
        Self { worker: Arc::clone(worker), id, name, submitted: false }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.worker.unregister(&self.name);
        if let Some(events) = &self.worker.kv_events {
            events.ended(self.id);
        }
        // If the engine never asked for its KV.
        self.worker.puller.forget(self.id);
        if self.submitted {
            // Fails only if the engine has stopped.
            let _ = self.worker.send(Command::Cancel(self.id));
        }
    }
}
