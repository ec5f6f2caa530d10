//! OpenAI's HTTP: a completion of token ids as a stream, with usage.

use super::ask::{Ask, Ended, Heard};
use super::web::{self, Begun, broke_off, check_length};
use crate::play::http::Site;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tonic::Status;
use warmpath_core::id::ORIGINS;
use warmpath_core::report::Cached;

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
        let request = web::request(site, "/v1/completions", ask, &body);
        Self { request, output_tokens: work.output_tokens }
    }

    pub async fn send(self, site: &Site, heard: &impl Heard) -> Result<Ended, Status> {
        let mut begun = Begun::by(site, self.request, heard).await?;
        let mut is_begun = false;
        let mut usage = None;
        let mut reason = None;
        while let Some(event) = begun.next::<Event>().await? {
            if let Some(error) = event.error {
                return Err(broke_off(&error));
            }
            if !is_begun && !event.choices.is_empty() {
                is_begun = true;
                heard.first_token(begun.overhead_ns);
            }
            usage = event.usage.or(usage);
            reason = event.choices.into_iter().find_map(|choice| choice.finish_reason).or(reason);
        }
        let (Some(usage), true) = (usage, is_begun) else {
            return Err(Status::data_loss("the stream ended without a token or without its usage"));
        };
        if reason.as_deref() == Some("abort") {
            return Err(Status::aborted("the engine aborted the request"));
        }
        check_length(usage.completion_tokens, self.output_tokens)?;
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let Some(tokens) = cached else {
            let why = "the usage has no prompt_tokens_details.cached_tokens";
            return Err(Status::data_loss(why));
        };
        let cached = Cached { tokens, by_tier: [0; ORIGINS] };
        Ok(Ended { worker: begun.worker, cached, tier_names: Vec::new(), moved: None })
    }
}
