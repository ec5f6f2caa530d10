//! A worker's answer and its failures, from vLLM's terms into the router's.

use crate::call::{AnswerEnd, AnswerPart, FailureKind, UpstreamError};
use crate::payload::{AnswerBody, HeldPrompt};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};
use warmpath_proto::raw::{Bytes, Finish, Peek};
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::{status, tiers, transfer};

/// The stream of one answer. The bytes of a message stay as they are; three of its fields are read.
#[derive(Debug)]
pub struct Answer(Streaming<Bytes>);

impl Answer {
    pub const fn new(messages: Streaming<Bytes>) -> Self {
        Self(messages)
    }
}

impl Stream for Answer {
    type Item = Result<AnswerPart, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(message.map(|message| match message {
            Ok(message) => part(message),
            Err(status) => Err(failure(&status)),
        }))
    }
}

/// A message that cannot be read is as bad as a broken stream.
fn part(message: Bytes) -> Result<AnswerPart, UpstreamError> {
    let undecodable = |error| format!("cannot decode a message of its answer: {error}");
    let peek =
        Peek::of(&message).map_err(|error| UpstreamError::unavailable(undecodable(error)))?;
    let (tokens, end) = (peek.num_tokens(), peek.finish().map(end));
    Ok(AnswerPart { body: AnswerBody::Vllm(message), tokens, end })
}

fn end(finish: Finish) -> AnswerEnd {
    if finish.finish_reason() == FinishReason::Aborted {
        return AnswerEnd::Aborted;
    }
    let params = finish.kv_transfer_params.as_ref();
    AnswerEnd::Finished {
        cached_tokens: finish.num_cached_tokens.unwrap_or(0),
        by_origin: params.and_then(tiers::from_wire).map(|found| found.by_origin),
        kv_came: params.and_then(transfer::moved_of).is_some(),
    }
}

/// Where the worker at `url` holds the prompt that it computed.
pub fn held_prompt(finish: Option<Finish>, url: &str) -> Result<HeldPrompt, UpstreamError> {
    let params = finish.and_then(|finish| finish.kv_transfer_params);
    let mut params = params.filter(transfer::is_held).ok_or_else(|| UpstreamError {
        kind: FailureKind::FailedPrecondition,
        why: "its answer does not say where it holds the prompt".to_owned(),
    })?;
    transfer::reached_at(&mut params, url);
    Ok(HeldPrompt::Vllm(params))
}

/// An answer that cannot be read.
pub fn unreadable(error: impl std::fmt::Display) -> UpstreamError {
    UpstreamError::unavailable(format!("its answer: {error}"))
}

/// A call that failed.
pub fn failure(cause: &Status) -> UpstreamError {
    let (code, why) = status::of_worker(cause);
    let kind = match code {
        Code::InvalidArgument => FailureKind::InvalidRequest,
        Code::NotFound => FailureKind::NotFound,
        Code::AlreadyExists => FailureKind::AlreadyExists,
        Code::FailedPrecondition => FailureKind::FailedPrecondition,
        Code::ResourceExhausted => FailureKind::ResourceExhausted,
        Code::OutOfRange => FailureKind::OutOfRange,
        Code::DeadlineExceeded => FailureKind::DeadlineExceeded,
        Code::Unimplemented => FailureKind::Unsupported,
        _ => FailureKind::Unavailable,
    };
    UpstreamError { kind, why }
}
