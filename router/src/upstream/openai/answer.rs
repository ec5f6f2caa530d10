//! The events of an answer as messages of vLLM's gRPC, which is what the router's fronts take.

use super::failure::of_problem;
use super::running::Place;
use crate::call::{AnswerEnd, AnswerPart, Call, Ids, UpstreamError};
use crate::payload::{AnswerBody, RequestBody, VllmRequest};
use http_body::Body;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::codegen::Bytes;
use warmpath_openai::engine::chunk::{Chunk, DONE, Finish, Stop};
use warmpath_openai::problem::Problem;
use warmpath_proto::event_stream::EventStream;
use warmpath_proto::raw;
use warmpath_proto::vllm::finish_info::{FinishReason, StopReason};
use warmpath_proto::vllm::{FinishInfo, GenerateResponse, PromptInfo, SequenceOutput};

/// The longest event beside the prompt's ids, which the first event repeats.
const LONGEST_EVENT: usize = 1 << 20;
/// Bytes of one id in a list: ten digits, a comma and a space.
const BYTES_AN_ID: usize = 12;

type Events = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send>>;

/// How the messages are written.
#[derive(Debug)]
pub struct Form {
    /// Whether the client asked for token ids.
    wants_ids: bool,
    /// The prompt's ids, if the client asked for them.
    prompt_ids: Vec<u32>,
    /// Tokens of the prompt that the client sent.
    prompt_tokens: u32,
    /// Tokens of the answer that came before it was resumed.
    before: u32,
}

impl Form {
    pub fn of(call: &Call<'_>) -> Self {
        let RequestBody::Vllm(VllmRequest { fields, wants_ids, .. }) = &*call.body;
        let wants_prompt = fields.response.as_ref().is_some_and(|r| r.prompt_token_ids);
        let prompt_ids = match wants_prompt && call.answered == 0 {
            true => call.prompt.to_vec(),
            false => Vec::new(),
        };
        let prompt_tokens = call.prompt.len() as u32 - call.answered;
        Self { wants_ids: *wants_ids, prompt_ids, prompt_tokens, before: call.answered }
    }
}

/// The stream of one answer. Dropping it before its end closes the connection, and the engine ends the request.
pub struct Answer {
    form: Form,
    at: At,
    /// It has sent a message.
    begun: bool,
    /// Tokens of this answer.
    tokens: u32,
    /// Its end, while its usage has not come.
    finish: Option<(Ids, Finish)>,
}

enum At {
    Streaming {
        events: Events,
        read: EventStream,
        place: Place,
    },
    /// The last message is out. What comes is not read, but the connection can be used again.
    Closing(Events),
    Aborted,
    Ended,
}

/// What the engine sends.
enum Event {
    Chunk(Result<Chunk, Problem>),
    Done,
}

impl Event {
    fn read(data: &[u8]) -> Self {
        match data == DONE {
            true => Self::Done,
            false => Self::Chunk(Chunk::read(data)),
        }
    }
}

impl Answer {
    pub fn new<B>(body: B, form: Form, place: Place) -> Self
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let prompt = form.prompt_tokens.saturating_add(form.before) as usize;
        let longest = LONGEST_EVENT.saturating_add(prompt.saturating_mul(BYTES_AN_ID));
        let events: Events = Box::pin(http_body_util::BodyExt::map_err(body, Into::into));
        let at = At::Streaming { events, read: EventStream::new(longest), place };
        Self { form, at, begun: false, tokens: 0, finish: None }
    }

    /// Of a request that was aborted before the engine answered.
    pub const fn aborted(form: Form) -> Self {
        Self { form, at: At::Aborted, begun: false, tokens: 0, finish: None }
    }

    /// What becomes of an event. None: nothing yet.
    fn event(&mut self, event: Event) -> Option<Result<AnswerPart, UpstreamError>> {
        let Chunk { ids, finish, has_usage, cached_tokens } = match event {
            Event::Chunk(Ok(chunk)) => chunk,
            Event::Chunk(Err(problem)) => return Some(Err(of_problem(&problem))),
            Event::Done => {
                let cut = || UpstreamError::unavailable("it ended its answer without saying why");
                return Some(self.end(None).ok_or_else(cut));
            }
        };
        if let Some(finish) = finish {
            self.finish = Some((ids, finish));
            return None;
        }
        if has_usage {
            return self.end(cached_tokens).map(Ok);
        }
        (!ids.is_empty()).then(|| Ok(self.part(ids, None)))
    }

    /// The last message. None: the engine has not said that the answer ended.
    fn end(&mut self, cached_tokens: Option<u32>) -> Option<AnswerPart> {
        let (ids, finish) = self.finish.take()?;
        Some(self.part(ids, Some((finish, cached_tokens))))
    }

    fn part(&mut self, ids: Ids, finish: Option<(Finish, Option<u32>)>) -> AnswerPart {
        let tokens = ids.len() as u32;
        self.tokens = self.tokens.saturating_add(tokens);
        let num_output_tokens = self.tokens.saturating_add(self.form.before);
        let cached = |tokens: u32| tokens.min(self.form.prompt_tokens);
        let finish = finish.map(|(finish, told)| (finish, told.map(cached)));
        let end = finish.as_ref().map(|(finish, cached)| match finish {
            Finish::Aborted => AnswerEnd::Aborted,
            Finish::Length | Finish::Stop(_) => {
                AnswerEnd::Finished { cached_tokens: *cached, by_origin: None, kv_came: false }
            }
        });
        let first = !std::mem::replace(&mut self.begun, true) && self.form.before == 0;
        let message = GenerateResponse {
            prompt_info: first.then(|| PromptInfo {
                num_prompt_tokens: self.form.prompt_tokens,
                token_ids: std::mem::take(&mut self.form.prompt_ids),
                ..PromptInfo::default()
            }),
            outputs: Some(SequenceOutput {
                num_tokens: tokens,
                token_ids: if self.form.wants_ids { ids.to_vec() } else { Vec::new() },
                finish_info: finish.map(|finish| finish_info(finish, num_output_tokens)),
                ..SequenceOutput::default()
            }),
        };
        AnswerPart { body: AnswerBody::Vllm(raw::bytes(&message)), tokens, ids: Some(ids), end }
    }
}

fn finish_info((finish, cached): (Finish, Option<u32>), num_output_tokens: u32) -> FinishInfo {
    let mut info =
        FinishInfo { num_output_tokens, num_cached_tokens: cached, ..FinishInfo::default() };
    info.set_finish_reason(match finish {
        Finish::Length => FinishReason::Length,
        Finish::Aborted => FinishReason::Aborted,
        Finish::Stop(_) => FinishReason::Stop,
    });
    info.stop_reason = match finish {
        Finish::Stop(Some(Stop::Token(id))) => Some(StopReason::StopTokenId(id)),
        Finish::Stop(Some(Stop::Text(text))) => Some(StopReason::StopString(text)),
        Finish::Stop(None) | Finish::Length | Finish::Aborted => None,
    };
    info
}

impl Stream for Answer {
    type Item = Result<AnswerPart, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let (events, read) = match &mut this.at {
                At::Ended => return Poll::Ready(None),
                At::Aborted => {
                    this.at = At::Ended;
                    let part = this.part(Ids::new(), Some((Finish::Aborted, None)));
                    return Poll::Ready(Some(Ok(part)));
                }
                At::Closing(events) => match ready!(events.as_mut().poll_frame(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => {
                        this.at = At::Ended;
                        continue;
                    }
                },
                At::Streaming { events, read, place } => {
                    if place.poll_aborted(cx).is_ready() {
                        this.at = At::Aborted;
                        continue;
                    }
                    (events, read)
                }
            };
            if let Some(event) = read.next_data().map(Event::read) {
                let Some(part) = this.event(event) else { continue };
                let is_over = part.as_ref().map_or(true, |part| part.end.is_some());
                if is_over
                    && let At::Streaming { events, .. } = std::mem::replace(&mut this.at, At::Ended)
                    && part.is_ok()
                {
                    this.at = At::Closing(events);
                }
                return Poll::Ready(Some(part));
            }
            let failed = match ready!(events.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => read.extend(&data).err().map(UpstreamError::unavailable),
                    Err(_) => None,
                },
                Some(Err(error)) => Some(broken(&*error)),
                None => {
                    this.at = At::Ended;
                    // All tokens have come, without a word on the cache.
                    return Poll::Ready(this.end(None).map(Ok));
                }
            };
            if let Some(error) = failed {
                this.at = At::Ended;
                return Poll::Ready(Some(this.end(None).ok_or(error)));
            }
        }
    }
}

fn broken(error: &(dyn Error + Send + Sync + 'static)) -> UpstreamError {
    let why = warmpath_proto::status::with_sources(&error.to_string(), error.source());
    UpstreamError::unavailable(why)
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("form", &self.form)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}
