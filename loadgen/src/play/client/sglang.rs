//! SGLang's `/generate` over HTTP: token ids as a stream. Routers that take no token ids as OpenAI's HTTP have them,
//! such as SMG before gRPC workers, take them so.

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
    rid: &'a str,
    input_ids: Vec<u32>,
    sampling_params: Sampling,
    stream: bool,
}

#[derive(Serialize)]
struct Sampling {
    max_new_tokens: u32,
    min_new_tokens: u32,
    ignore_eos: bool,
    temperature: f32,
}

/// What is read of an event. All else may be as it likes.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    meta_info: Option<Meta>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Meta {
    completion_tokens: u32,
    #[serde(default)]
    cached_tokens: Option<u32>,
    /// A name, or an object with one as `type`.
    #[serde(default)]
    finish_reason: Option<serde_json::Value>,
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
            rid: ask.name,
            input_ids: work.text.token_ids(work.request.prompt.tokens()),
            sampling_params: Sampling {
                max_new_tokens: work.output_tokens,
                min_new_tokens: work.output_tokens,
                ignore_eos: true,
                temperature: 0.0,
            },
            stream: true,
        };
        let request = web::request(site, "/generate", ask, &body);
        Self { request, output_tokens: work.output_tokens }
    }

    pub async fn send(self, site: &Site, heard: &impl Heard) -> Result<Ended, Status> {
        let mut begun = Begun::by(site, self.request, heard).await?;
        let mut is_begun = false;
        let mut last: Option<Meta> = None;
        while let Some(event) = begun.next::<Event>().await? {
            if let Some(error) = event.error {
                return Err(broke_off(&error));
            }
            let Some(meta) = event.meta_info else { continue };
            if !is_begun && meta.completion_tokens > 0 {
                is_begun = true;
                heard.first_token(begun.overhead_ns);
            }
            last = Some(meta);
        }
        let whole = last.filter(|meta| is_begun && meta.finish_reason.is_some());
        let Some(Meta { completion_tokens, cached_tokens, finish_reason }) = whole else {
            return Err(Status::data_loss("the stream ended without a token or without a finish"));
        };
        let reason = finish_reason.unwrap_or_default();
        if reason.as_str().or_else(|| reason["type"].as_str()) == Some("abort") {
            return Err(Status::aborted("the engine aborted the request"));
        }
        check_length(completion_tokens, self.output_tokens)?;
        let tokens = cached_tokens
            .ok_or_else(|| Status::data_loss("the answer has no meta_info.cached_tokens"))?;
        let cached = Cached { tokens, by_tier: [0; ORIGINS] };
        Ok(Ended { worker: begun.worker, cached, tier_names: Vec::new(), moved: None })
    }
}
