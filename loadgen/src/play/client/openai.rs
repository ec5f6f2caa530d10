//! OpenAI's HTTP: a completion of token ids as a stream, with usage.

use super::ask::{Ask, Ended, Heard, OVERHEAD, WORKER, worker_of};
use super::events::Events;
use crate::play::http::{Site, text};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use warmpath_core::id::ORIGINS;
use warmpath_core::report::Cached;

const PATH: &str = "/v1/completions";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: Vec<u32>,
    max_tokens: u32,
    min_tokens: u32,
    ignore_eos: bool,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What is read of an event. All else may be as it likes.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u32,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    request: Request<Full<Bytes>>,
    output_tokens: u32,
}

impl Prepared {
    /// `model`: the name of the model that is served.
    pub fn new(site: &Site, model: &str, ask: &Ask<'_>) -> Self {
        let work = ask.work;
        let body = Body {
            model,
            prompt: work.text.token_ids(work.request.prompt.tokens()),
            max_tokens: work.output_tokens,
            min_tokens: work.output_tokens,
            ignore_eos: true,
            temperature: 0.0,
            priority: Some(work.request.priority).filter(|&priority| priority != 0),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        let body = serde_json::to_vec(&body).expect("numbers and names are JSON");
        let mut request = Request::post(format!("{}{PATH}", site.url()))
            .header("content-type", "application/json")
            .header("x-request-id", ask.name);
        if let Some(session) = work.request.session {
            request = request.header("x-session-id", session.to_string());
        }
        if let Some(token) = ask.identities.token(work.request.tenant) {
            request = request.header("authorization", token);
        }
        let request = request.body(Full::from(body)).expect("a checked address");
        Self { request, output_tokens: work.output_tokens }
    }

    pub async fn send(self, site: &Site, heard: &impl Heard) -> Result<Ended, Status> {
        let response = site.send(self.request).await.map_err(Status::unavailable)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        let (worker, overhead_ns) = said(response.headers());
        if let Some(worker) = worker {
            heard.placed(worker);
        }
        let mut events = Events::new(response.into_body());
        let mut is_begun = false;
        let mut usage = None;
        let mut reason = None;
        while let Some(data) = events.next().await.map_err(Status::unavailable)? {
            if data == b"[DONE]" {
                break;
            }
            let event: Event = serde_json::from_slice(&data).map_err(|error| {
                Status::data_loss(format!("an event is not as expected: {error}"))
            })?;
            if let Some(error) = event.error {
                return Err(Status::unknown(format!("the stream ended with an error: {error}")));
            }
            if !is_begun && !event.choices.is_empty() {
                is_begun = true;
                heard.first_token(overhead_ns);
            }
            usage = event.usage.or(usage);
            reason = event.choices.into_iter().find_map(|choice| choice.finish_reason).or(reason);
        }
        let (Some(usage), true) = (usage, is_begun) else {
            return Err(Status::data_loss("the stream ended without a token or without its usage"));
        };
        let tokens = usage.completion_tokens;
        if reason.as_deref() == Some("abort") {
            return Err(Status::aborted("the engine aborted the request"));
        }
        if tokens != self.output_tokens {
            return Err(Status::data_loss(format!(
                "{tokens} tokens arrived, expected {} as requested",
                self.output_tokens
            )));
        }
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let Some(tokens) = cached else {
            let why = "the usage has no prompt_tokens_details.cached_tokens";
            return Err(Status::data_loss(why));
        };
        let cached = Cached { tokens, by_tier: [0; ORIGINS] };
        Ok(Ended { worker, cached, tier_names: Vec::new(), moved: None })
    }
}

/// The worker and the router's own time, where the router is one of ours.
fn said(headers: &HeaderMap) -> (Option<warmpath_core::id::WorkerId>, Option<u64>) {
    let header = |name| headers.get(name)?.to_str().ok();
    (header(WORKER).and_then(worker_of), header(OVERHEAD).and_then(|text| text.parse().ok()))
}

/// A refusal, by the status code that gRPC has for it.
async fn refused(response: Response<hyper::body::Incoming>) -> Status {
    let status = response.status();
    let code = match status.as_u16() {
        400 | 413 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::AlreadyExists,
        429 => Code::ResourceExhausted,
        502 | 503 => Code::Unavailable,
        408 | 504 => Code::DeadlineExceeded,
        _ => Code::Unknown,
    };
    let mut said = text(response).await.unwrap_or_else(|why| why);
    said.truncate(said.floor_char_boundary(300));
    Status::new(code, format!("{status}: {said}"))
}
