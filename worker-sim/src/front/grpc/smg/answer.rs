//! An answer as a stream of SMG's messages.

use crate::answer::{Answer, AnswerPart};
use crate::command::End;
use crate::front::grpc::status::of_refusal;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::Status;
use warmpath_proto::engine::generate_response::Response;
use warmpath_proto::engine::{GenerateComplete, GenerateResponse, GenerateStreamChunk};

/// A chunk for each part, and at the end what completes it; or all in one piece.
#[derive(Debug)]
pub struct AnswerStream {
    answer: Answer,
    /// Whether the client wants parts.
    in_parts: bool,
    prompt_tokens: u32,
    /// The answer so far, if the client wants it whole.
    ids: Vec<u32>,
    ready: VecDeque<Response>,
}

impl AnswerStream {
    pub fn new(answer: Answer, prompt_tokens: u32, in_parts: bool) -> Self {
        Self { answer, in_parts, prompt_tokens, ids: Vec::new(), ready: VecDeque::new() }
    }

    fn add(&mut self, part: AnswerPart) {
        let AnswerPart { tokens, token_ids, end, made, .. } = part;
        let prompt_tokens = self.prompt_tokens;
        let cached_tokens = match end {
            Some(End::Finished { cached_tokens, .. } | End::Held { cached_tokens, .. }) => {
                cached_tokens
            }
            _ => 0,
        };
        if self.in_parts && tokens > 0 {
            self.ready.push_back(Response::Chunk(GenerateStreamChunk {
                token_ids: token_ids.clone(),
                prompt_tokens,
                completion_tokens: tokens,
                cached_tokens,
                index: 0,
            }));
        }
        let (output_ids, completion_tokens) = match self.in_parts {
            true => (token_ids, tokens),
            false => {
                self.ids.extend(token_ids);
                let whole = if end.is_some() { std::mem::take(&mut self.ids) } else { Vec::new() };
                (whole, made)
            }
        };
        let Some(end) = end else { return };
        let finish_reason = if end == End::Aborted { "abort" } else { "length" };
        self.ready.push_back(Response::Complete(GenerateComplete {
            output_ids,
            finish_reason: finish_reason.to_owned(),
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            index: 0,
        }));
    }
}

impl Stream for AnswerStream {
    type Item = Result<GenerateResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(response) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(GenerateResponse { response: Some(response) })));
            }
            match ready!(Pin::new(&mut this.answer).poll_next(cx)) {
                Some(Ok(part)) => this.add(part),
                Some(Err(refusal)) => return Poll::Ready(Some(Err(of_refusal(refusal)))),
                None => return Poll::Ready(None),
            }
        }
    }
}
