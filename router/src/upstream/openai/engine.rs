//! One engine and the calls to it.

use super::answer::{Answer, Form};
use super::failure::{no_word, of_error, of_problem};
use super::running::{Place, Running};
use crate::call::{Call, FailureKind, UpstreamError};
use crate::payload::{RequestBody, VllmRequest};
use crate::site::{NoPage, Site, text};
use http_body_util::Full;
use std::future::poll_fn;
use std::time::Duration;
use tonic::codegen::Bytes;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tonic::codegen::http::{Method, Request, StatusCode};
use warmpath_openai::engine::body::Completion;
use warmpath_openai::http::REQUEST_ID;
use warmpath_openai::problem::Problem;
use warmpath_proto::trace_context::TRACEPARENT;

const COMPLETIONS: &str = "/v1/completions";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a stream of events says of itself.
const EVENTS: &str = "text/event-stream";
/// The most bytes of an error, and how long it may take to come.
const MOST_ERROR: usize = 64 << 10;
const ERROR_LIMIT: Duration = Duration::from_secs(2);

/// An engine, or one rank of it.
#[derive(Debug)]
pub struct Engine {
    site: Site,
    running: Running,
}

impl Engine {
    pub fn new(site: Site) -> Self {
        Self { site, running: Running::default() }
    }

    pub fn prepare(&self, call: &Call<'_>) -> Prepared {
        let ready = self.ready(call);
        Prepared(ready.map(|request| Ready {
            site: self.site.clone(),
            place: self.running.begin(call.id),
            form: Form::of(call),
            request,
        }))
    }

    fn ready(&self, call: &Call<'_>) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let RequestBody::Vllm(VllmRequest { fields, .. }) = &*call.body;
        if call.held.is_some() {
            return Err(super::holds_no_prompt());
        }
        let (prompt, answered) = (call.prompt, call.answered);
        let asked =
            Completion { request: fields, model: call.model, prompt, answered, salt: call.salt };
        let body = asked.json().map_err(no_word)?;
        let trace =
            call.trace.map(|trace| (HeaderName::from_static(TRACEPARENT), trace.to_string()));
        let named = [(REQUEST_ID, call.id.to_owned())].into_iter().chain(trace);
        let named =
            named.filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
        let headers = named.chain([(CONTENT_TYPE, JSON)]);
        self.site
            .request(Method::POST, COMPLETIONS, headers, body)
            .map_err(UpstreamError::unavailable)
    }

    /// vLLM ends a request whose connection closes.
    pub fn abort(&self, ids: &[String]) {
        self.running.abort(ids);
    }

    /// vLLM takes this in its development mode only.
    pub async fn reset(&self, external: bool) -> Result<(), UpstreamError> {
        let path = format!("/reset_prefix_cache?reset_external={external}");
        match self.site.page(Method::POST, &path).await {
            Ok(_) => Ok(()),
            Err(NoPage::Refused(Problem { status: 404 | 405, .. })) => Err(UpstreamError {
                kind: FailureKind::Unsupported,
                why: "it has no /reset_prefix_cache, expected vLLM with VLLM_SERVER_DEV_MODE=1"
                    .to_owned(),
                not_taken: true,
            }),
            Err(NoPage::Refused(problem)) => Err(of_problem(&problem)),
            Err(NoPage::Silent(why)) => Err(UpstreamError::unavailable(why)),
        }
    }
}

/// A request that is ready to be sent, or why it cannot be.
#[derive(Debug)]
pub struct Prepared(Result<Ready, UpstreamError>);

#[derive(Debug)]
struct Ready {
    site: Site,
    place: Place,
    form: Form,
    request: Request<Full<Bytes>>,
}

impl Prepared {
    pub async fn send(self) -> Result<Answer, UpstreamError> {
        let Ready { site, mut place, form, request } = self.0?;
        let response = tokio::select! {
            biased;
            () = poll_fn(|cx| place.poll_aborted(cx)) => return Ok(Answer::aborted(form)),
            response = site.send(request) => response.map_err(|error| of_error(&error))?,
        };
        let status = response.status();
        if status != StatusCode::OK {
            let told = tokio::time::timeout(ERROR_LIMIT, text(response, MOST_ERROR)).await;
            // Without its text the status says enough.
            let told = told.ok().and_then(Result::ok).unwrap_or_default();
            return Err(of_problem(&Problem::read(status.as_u16(), told.as_bytes())));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        if !kind.starts_with(EVENTS) {
            let why = format!("its answer is '{kind}', expected {EVENTS}");
            return Err(UpstreamError::unavailable(why));
        }
        Ok(Answer::new(response.into_body(), form, place))
    }
}
