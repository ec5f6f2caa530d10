//! A worker's answer and its failures, from vLLM's terms into the router's.

use crate::call::{AnswerEnd, AnswerPart, Call, FailureKind, UpstreamError};
use crate::payload::{AnswerBody, HeldPrompt, RequestBody, VllmRequest};
use crate::upstream::failure::kind_of;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::{Status, Streaming};
use warmpath_proto::raw::{self, Bytes, DecodeError, Finish, Peek, Plain, Resumed};
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::{status, tiers, transfer};

/// The stream of one answer. A few fields of its messages are read. Their bytes stay as they are, unless
/// an [`Edit`] says otherwise.
#[derive(Debug)]
pub struct Answer {
    messages: Streaming<Bytes>,
    edit: Edit,
}

impl Answer {
    pub const fn new(messages: Streaming<Bytes>, edit: Edit) -> Self {
        Self { messages, edit }
    }
}

/// What the messages of an answer need before the client may get them.
#[derive(Debug)]
pub enum Edit {
    Nothing,
    /// The router asked for token ids, and the client did not.
    RemoveIds,
    /// They are the rest of an answer.
    Resumed(Resumed),
}

impl Edit {
    pub fn of(call: &Call<'_>) -> Self {
        let RequestBody::Vllm(VllmRequest { wants_ids, .. }) = *call.body;
        match call.answered {
            0 if call.ids && !wants_ids => Self::RemoveIds,
            0 => Self::Nothing,
            before => {
                let prompt = call.prompt.len() as u32 - before;
                Self::Resumed(Resumed { before, prompt, wants_ids })
            }
        }
    }

    fn apply(&self, message: Bytes) -> Result<Bytes, DecodeError> {
        match self {
            Self::Nothing => Ok(message),
            Self::RemoveIds => raw::without_ids(&message),
            Self::Resumed(resumed) => resumed.part(message),
        }
    }

    /// What becomes of a plain message. None: it needs more than a plain change.
    fn apply_plain(&self, plain: &Plain, message: &Bytes) -> Option<Bytes> {
        match self {
            Self::Nothing => Some(message.clone()),
            Self::RemoveIds => Some(plain.without_ids()),
            Self::Resumed(_) => None,
        }
    }

    /// Prompt tokens that were cached, of those that the client sent.
    fn cached(&self, tokens: u32) -> u32 {
        match self {
            Self::Nothing | Self::RemoveIds => tokens,
            Self::Resumed(resumed) => tokens.min(resumed.prompt),
        }
    }
}

impl Stream for Answer {
    type Item = Result<AnswerPart, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(message.map(|message| match message {
            Ok(message) => part(message, &self.edit),
            Err(status) => Err(failure(&status)),
        }))
    }
}

/// A message that cannot be read is as bad as a broken stream.
fn part(message: Bytes, edit: &Edit) -> Result<AnswerPart, UpstreamError> {
    if let Some(plain) = Plain::of(&message)
        && let Some(body) = edit.apply_plain(&plain, &message)
    {
        let Plain { num_tokens: tokens, ids } = plain;
        return Ok(AnswerPart { body: AnswerBody::Vllm(body), tokens, ids, end: None });
    }
    let undecodable = |error| {
        UpstreamError::unavailable(format!("cannot decode a message of its answer: {error}"))
    };
    let mut peek = Peek::of(&message).map_err(undecodable)?;
    let message = edit.apply(message).map_err(undecodable)?;
    let (tokens, ids) = (peek.num_tokens(), peek.all_ids());
    let end = peek.finish().map(|finish| end(finish, edit));
    Ok(AnswerPart { body: AnswerBody::Vllm(message), tokens, ids, end })
}

fn end(finish: Finish, edit: &Edit) -> AnswerEnd {
    if finish.finish_reason() == FinishReason::Aborted {
        return AnswerEnd::Aborted;
    }
    let params = finish.kv_transfer_params.as_ref();
    AnswerEnd::Finished {
        cached_tokens: finish.num_cached_tokens.map(|tokens| edit.cached(tokens)),
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
        not_taken: false,
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
    let kind = kind_of(code);
    UpstreamError { kind, why, not_taken: status::was_not_taken(cause) }
}
