//! One HTTP request on its way through Envoy, message by message, with bodies in both directions as streams
//! (`FULL_DUPLEX_STREAMED`): Envoy sends what it gets, and sends on what it is sent.

use super::choose::{Choice, Picker};
use super::usage::Usage;
use super::words::{self, Head};
use crate::relay::Picked;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};
use warmpath_openai::problem::Problem;
use warmpath_proto::clock::now;
use warmpath_proto::ext_proc::processing_request::Request;
use warmpath_proto::ext_proc::processing_response::Response;
use warmpath_proto::ext_proc::{
    BodySendMode, HttpBody, Metadata, ProcessingRequest, ProcessingResponse, TrailersResponse,
};

pub type Out = Sender<Result<ProcessingResponse, Status>>;

/// An HTTP request, and then its answer.
pub struct Exchange {
    picker: Arc<Picker>,
    received: Instant,
    head: Head,
    subset: Option<Vec<String>>,
    /// The request's body until it is whole.
    body: Vec<u8>,
    picked: Option<Picked>,
    endpoint: Option<String>,
    place: Option<OwnedSemaphorePermit>,
    usage: Usage,
}

/// Why an exchange ends early.
enum Stop {
    /// The client got an answer.
    Answered,
    /// Envoy is gone, or does not speak as it must.
    Broken(Status),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}

/// Goes through one exchange to its end.
pub async fn run(picker: Arc<Picker>, mut messages: Streaming<ProcessingRequest>, out: Out) {
    let mut exchange = Exchange {
        picker,
        received: now(),
        head: Head::default(),
        subset: None,
        body: Vec::new(),
        picked: None,
        endpoint: None,
        place: None,
        usage: Usage::default(),
    };
    loop {
        let message = match messages.message().await {
            Ok(Some(message)) => message,
            // The end of the exchange. What has not ended is given up.
            Ok(None) | Err(_) => return,
        };
        match exchange.take(message, &out).await {
            Ok(()) => {}
            Err(Stop::Answered) => return,
            Err(Stop::Broken(status)) => {
                // Envoy may be gone.
                let _ = out.send(Err(status)).await;
                return;
            }
        }
    }
}

impl Exchange {
    async fn take(&mut self, message: ProcessingRequest, out: &Out) -> Result<(), Stop> {
        let ProcessingRequest { request, metadata_context, protocol_config } = message;
        match request {
            Some(Request::RequestHeaders(headers)) => {
                let mode = protocol_config.map(|config| config.request_body_mode());
                let ends = headers.end_of_stream;
                if let Some(mode) =
                    mode.filter(|mode| !ends && *mode != BodySendMode::FullDuplexStreamed)
                {
                    let why = format!(
                        "request_body_mode: {}, expected FULL_DUPLEX_STREAMED",
                        mode.as_str_name()
                    );
                    return Err(Status::failed_precondition(why).into());
                }
                self.received = now();
                self.head = Head::of(headers);
                self.subset = words::subset(metadata_context.as_ref());
                if ends { self.choose(None, out).await } else { Ok(()) }
            }
            Some(Request::RequestBody(HttpBody { body, end_of_stream })) => {
                self.body.extend_from_slice(&body);
                let most = self.picker.state.config.listener.generate_bytes;
                if self.body.len() > most {
                    let why = format!("a body of more than {most} bytes");
                    return answer(&Problem::new(413, why), out).await;
                }
                if end_of_stream { self.choose(Some(true), out).await } else { Ok(()) }
            }
            Some(Request::RequestTrailers(_)) => {
                self.choose(Some(false), out).await?;
                let trailers = Response::RequestTrailers(TrailersResponse::default());
                send(words::plain(trailers), out).await
            }
            Some(Request::ResponseHeaders(headers)) => {
                let ends = headers.end_of_stream;
                self.answer_begins(&Head::of(headers), metadata_context.as_ref()).await;
                let worker = self.picked.as_ref().map(|picked| picked.link.name.clone());
                send(words::answer_headers(worker.as_deref()), out).await?;
                self.answer_ends(ends);
                Ok(())
            }
            Some(Request::ResponseBody(HttpBody { body, end_of_stream })) => {
                if !body.is_empty() {
                    self.usage.push(&body);
                    if let Some(picked) = &mut self.picked {
                        picked.token();
                    }
                }
                for part in words::body(&body, end_of_stream, Response::ResponseBody) {
                    send(part, out).await?;
                }
                self.answer_ends(end_of_stream);
                Ok(())
            }
            Some(Request::ResponseTrailers(_)) => {
                let trailers = Response::ResponseTrailers(TrailersResponse::default());
                send(words::plain(trailers), out).await?;
                self.answer_ends(true);
                Ok(())
            }
            None => Err(Status::invalid_argument("request: none, expected one").into()),
        }
    }

    /// The request is whole. `body`: whether its end is that of the request; None: it has no body.
    async fn choose(&mut self, body: Option<bool>, out: &Out) -> Result<(), Stop> {
        let whole = std::mem::take(&mut self.body);
        let subset = self.subset.as_deref();
        let choice = self.picker.choose(&self.head, &whole, subset, self.received);
        let Choice { endpoint, picked, body: replaced, place } = match choice.await {
            Ok(choice) => choice,
            Err(problem) => return answer(&problem, out).await,
        };
        send(words::destination(&endpoint, replaced.is_some()), out).await?;
        if let Some(ends) = body {
            let bytes = replaced.as_deref().unwrap_or(&whole);
            for part in words::body(bytes, ends, Response::RequestBody) {
                send(part, out).await?;
            }
        }
        (self.picked, self.endpoint, self.place) = (picked, Some(endpoint), place);
        Ok(())
    }

    async fn answer_begins(&mut self, head: &Head, metadata: Option<&Metadata>) {
        let served = words::served(metadata);
        if let (Some(served), Some(chosen)) = (served, &self.endpoint)
            && served != *chosen
        {
            // Its booking says nothing of the worker that answers.
            tracing::warn!(chosen, served, "Envoy sent a request to another endpoint");
            self.picked = None;
        }
        if head.status >= 500
            && let Some(mut picked) = self.picked.take()
        {
            picked.failed(format!("HTTP status {}", head.status)).await;
        }
    }

    fn answer_ends(&mut self, ends: bool) {
        if ends {
            if let Some(mut picked) = self.picked.take() {
                let (tokens, cached) = self.usage.tokens();
                picked.finished(tokens, cached);
            }
            self.place = None;
        }
    }
}

async fn send(response: ProcessingResponse, out: &Out) -> Result<(), Stop> {
    out.send(Ok(response)).await.map_err(|_| Stop::Answered)
}

async fn answer(problem: &Problem, out: &Out) -> Result<(), Stop> {
    send(words::problem(problem), out).await?;
    Err(Stop::Answered)
}
