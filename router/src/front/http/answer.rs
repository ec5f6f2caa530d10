//! An answer's messages, which the router otherwise passes on as they are, as parts of a text.

use crate::front::grpc::of_error;
use crate::payload::AnswerBody;
use crate::relay::{Answer, Later};
use smallvec::SmallVec;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::Status;
use warmpath_openai::served::{End, Part};
use warmpath_proto::raw::{self, Bytes, Finish, Peek};
use warmpath_proto::vllm::finish_info::FinishReason;

/// An answer, part by part.
#[derive(Debug)]
pub struct Parts {
    answer: Answer,
    /// How often it went on on another worker, as far as the client was told.
    told: usize,
}

impl Parts {
    pub const fn new(answer: Answer) -> Self {
        Self { answer, told: 0 }
    }

    /// Where it went on since the last part.
    fn notes(&mut self) -> Vec<String> {
        let later = &self.answer.later()[self.told..];
        self.told += later.len();
        later.iter().map(|Later { worker, after }| format!("{worker} after {after}")).collect()
    }
}

impl Stream for Parts {
    type Item = Result<Part, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.answer).poll_next(cx));
        Poll::Ready(next.map(|part| match part {
            Ok(AnswerBody::Vllm(bytes)) => {
                let part = part_of(&bytes)?;
                Ok(Part { notes: self.notes(), ..part })
            }
            Err(error) => Err(of_error(&error)),
        }))
    }
}

fn part_of(message: &Bytes) -> Result<Part, Status> {
    let unreadable = |error| Status::internal(format!("an answer that cannot be read: {error}"));
    let mut peek = Peek::of(message).map_err(unreadable)?;
    let ids = match peek.all_ids() {
        Some(ids) => ids,
        // A worker that sends text too, though it was not asked for any.
        None => {
            let outputs = raw::response(message.clone())?.outputs.unwrap_or_default();
            SmallVec::from_vec(outputs.token_ids)
        }
    };
    let end = peek.finish().map(|finish| end(&finish));
    Ok(Part { ids, end, notes: Vec::new() })
}

fn end(finish: &Finish) -> End {
    let reason = match finish.finish_reason() {
        FinishReason::Length => "length",
        FinishReason::Aborted => "abort",
        _ => "stop",
    };
    End { reason, cached_tokens: finish.num_cached_tokens.unwrap_or(0) }
}
