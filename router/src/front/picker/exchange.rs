//! One HTTP request on its way through Envoy, message by message, with bodies in both directions as streams
//! (`FULL_DUPLEX_STREAMED`): Envoy sends what it gets, and sends on what it is sent.

use super::choose::{Admitted, Choice, Picker};
use super::usage::{Told, Usage};
use super::words::{self, AnswerHead, Head};
use crate::relay::Picked;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};
use warmpath_openai::problem::Problem;
use warmpath_proto::clock::now;
use warmpath_proto::ext_proc::processing_request::Request;
use warmpath_proto::ext_proc::processing_response::Response;
use warmpath_proto::ext_proc::{
    BodySendMode, HttpBody, HttpHeaders, Metadata, ProcessingRequest, ProcessingResponse,
    ProtocolConfiguration, TrailersResponse,
};

pub type Out = Sender<Result<ProcessingResponse, Status>>;

/// An HTTP request, and then its answer.
struct Exchange {
    picker: Arc<Picker>,
    messages: Streaming<ProcessingRequest>,
    out: Out,
    /// A message that came while a choice was waited for.
    early: Option<ProcessingRequest>,
    received: Instant,
    head: Head,
    subset: Option<Vec<String>>,
    /// None before its headers have come, and after its worker was chosen.
    admitted: Option<Admitted>,
    /// The request's body until it is whole.
    body: Vec<u8>,
    picked: Option<Picked>,
    endpoint: Option<Arc<str>>,
    /// The name of the worker that gets it.
    worker: Option<String>,
    place: Option<OwnedSemaphorePermit>,
    answer: Bodies,
    usage: Usage,
}

/// How the bodies of answers come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bodies {
    /// In parts that go on if they are sent back.
    SentBack,
    /// In parts, or one, that go on by themselves.
    Seen,
    /// Not, or not whole.
    Unseen,
}

impl Bodies {
    const fn of(mode: BodySendMode) -> Self {
        match mode {
            BodySendMode::FullDuplexStreamed => Self::SentBack,
            BodySendMode::Streamed | BodySendMode::Buffered => Self::Seen,
            BodySendMode::None | BodySendMode::BufferedPartial | BodySendMode::Grpc => Self::Unseen,
        }
    }
}

/// Why an exchange ends early.
enum Stop {
    /// The client got an answer, or is gone.
    Answered,
    /// Envoy does not speak as it must.
    Broken(Status),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}

/// Goes through one exchange to its end.
pub async fn run(picker: Arc<Picker>, messages: Streaming<ProcessingRequest>, out: Out) {
    let mut exchange = Exchange {
        picker,
        messages,
        out,
        early: None,
        received: now(),
        head: Head::default(),
        subset: None,
        admitted: None,
        body: Vec::new(),
        picked: None,
        endpoint: None,
        worker: None,
        place: None,
        answer: Bodies::SentBack,
        usage: Usage::default(),
    };
    loop {
        let message = match exchange.early.take() {
            Some(message) => message,
            None => match exchange.messages.message().await {
                Ok(Some(message)) => message,
                // The end of the exchange. What has not ended is given up.
                Ok(None) | Err(_) => return,
            },
        };
        match exchange.take(message).await {
            Ok(()) => {}
            Err(Stop::Answered) => return,
            Err(Stop::Broken(status)) => {
                // Envoy may be gone.
                let _ = exchange.out.send(Err(status)).await;
                return;
            }
        }
    }
}

impl Exchange {
    async fn take(&mut self, message: ProcessingRequest) -> Result<(), Stop> {
        let ProcessingRequest { request, metadata_context: metadata, protocol_config } = message;
        match request {
            Some(Request::RequestHeaders(headers)) => {
                let ends = headers.end_of_stream;
                if let Some(config) = protocol_config {
                    self.check(config, ends)?;
                }
                self.begins(headers, metadata.as_ref()).await?;
                if ends { self.choose(None).await } else { Ok(()) }
            }
            Some(Request::RequestBody(HttpBody { body, end_of_stream })) => {
                self.body.extend_from_slice(&body);
                let most = self.picker.state.config.listener.generate_bytes;
                if self.body.len() > most {
                    let why = format!("a body of more than {most} bytes");
                    return self.refuse(&Problem::new(413, why)).await;
                }
                if end_of_stream { self.choose(Some(true)).await } else { Ok(()) }
            }
            Some(Request::RequestTrailers(_)) => {
                self.choose(Some(false)).await?;
                let trailers = Response::RequestTrailers(TrailersResponse::default());
                self.send(words::plain(trailers)).await
            }
            Some(Request::ResponseHeaders(headers)) => {
                let ends = headers.end_of_stream;
                self.answer_begins(AnswerHead::of(headers), metadata.as_ref()).await;
                if ends {
                    self.answer_ends();
                }
                self.send(words::answer_headers(self.worker.as_deref())).await
            }
            Some(Request::ResponseBody(HttpBody { body, end_of_stream })) => {
                self.answer_goes_on(&body);
                if end_of_stream {
                    self.answer_ends();
                }
                if self.answer != Bodies::SentBack {
                    return self.send(words::unchanged(Response::ResponseBody)).await;
                }
                for part in words::body(&body, end_of_stream, Response::ResponseBody) {
                    self.send(part).await?;
                }
                Ok(())
            }
            Some(Request::ResponseTrailers(_)) => {
                self.answer_ends();
                let trailers = Response::ResponseTrailers(TrailersResponse::default());
                self.send(words::plain(trailers)).await
            }
            None => Err(Status::invalid_argument("request: none, expected one").into()),
        }
    }

    /// How Envoy was told to send bodies.
    fn check(&mut self, config: ProtocolConfiguration, ends: bool) -> Result<(), Stop> {
        let mode = config.request_body_mode();
        if !ends && mode != BodySendMode::FullDuplexStreamed {
            let why =
                format!("request_body_mode: {}, expected FULL_DUPLEX_STREAMED", mode.as_str_name());
            return Err(Status::failed_precondition(why).into());
        }
        let mode = config.response_body_mode();
        self.answer = Bodies::of(mode);
        let told = &self.picker.told_of_mode;
        if mode != BodySendMode::FullDuplexStreamed && !told.swap(true, Ordering::Relaxed) {
            let what = match self.answer {
                Bodies::Unseen => "hits and lengths of answers are not known",
                Bodies::SentBack | Bodies::Seen => "answers may not be streamed",
            };
            let mode = mode.as_str_name();
            tracing::warn!("response_body_mode: {mode}, expected FULL_DUPLEX_STREAMED: {what}");
        }
        Ok(())
    }

    /// The request's headers are there.
    async fn begins(
        &mut self,
        headers: HttpHeaders,
        metadata: Option<&Metadata>,
    ) -> Result<(), Stop> {
        self.received = now();
        self.subset = words::subset(metadata);
        let admitted = Head::of(headers).and_then(|head| {
            self.head = head;
            self.picker.admit(&self.head)
        });
        match admitted {
            Ok(admitted) => self.admitted = Some(admitted),
            Err(problem) => return self.refuse(&problem).await,
        }
        Ok(())
    }

    /// The request is whole. `body`: whether its end is that of the request; None: it has no body.
    async fn choose(&mut self, body: Option<bool>) -> Result<(), Stop> {
        let Some(admitted) = self.admitted.take() else {
            let why = "request: a part of a request that has ended or not begun";
            return Err(Status::invalid_argument(why).into());
        };
        let whole = std::mem::take(&mut self.body);
        let request = (&self.head, whole.as_slice());
        let choice = self.picker.choose(admitted, request, self.subset.as_deref(), self.received);
        let choice = tokio::select! {
            biased;
            choice = choice => choice,
            next = next(&mut self.messages, &self.out) => {
                // The client is gone, or Envoy answers it. The choice is given up.
                self.early = Some(next.ok_or(Stop::Answered)?);
                return Ok(());
            }
        };
        let Choice { endpoint, worker, picked, body: replaced, place } = match choice {
            Ok(choice) => choice,
            Err(problem) => return self.refuse(&problem).await,
        };
        self.send(words::destination(&endpoint, replaced.is_some())).await?;
        (self.endpoint, self.worker, self.place) =
            (Some(endpoint), Some(worker.to_string()), place);
        self.picked = picked;
        if let Some(picked) = &mut self.picked {
            picked.sent();
        }
        if let Some(ends) = body {
            let bytes = replaced.as_deref().unwrap_or(&whole);
            for part in words::body(bytes, ends, Response::RequestBody) {
                self.send(part).await?;
            }
        }
        Ok(())
    }

    async fn answer_begins(&mut self, head: AnswerHead, metadata: Option<&Metadata>) {
        let served = words::served(metadata);
        if let (Some(served), Some(chosen)) = (served, &self.endpoint)
            && *served != **chosen
        {
            // Its booking says nothing of the worker that answers.
            tracing::warn!(%chosen, served, "Envoy sent a request to another endpoint");
            self.worker = None;
            if let Some(picked) = &mut self.picked {
                picked.elsewhere("the gateway sent it to another worker");
            }
        }
        self.usage = Usage::of(&head);
        match (head.status, &mut self.picked) {
            (_, None) => {}
            (200..300, Some(picked)) => {
                if self.answer == Bodies::Unseen {
                    picked.finished_unseen();
                    self.picked = None;
                }
            }
            // An answer that is none: it says why.
            (300..500, Some(picked)) => {
                picked.refused(head.status);
                self.picked = None;
            }
            (status, Some(picked)) => {
                picked.failed(status).await;
                self.picked = None;
            }
        }
        if self.answer == Bodies::Unseen {
            self.answer_ends();
        }
    }

    fn answer_goes_on(&mut self, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        self.usage.push(body);
        if let Some(picked) = &mut self.picked {
            picked.token();
        }
        if self.usage.is_whole() {
            self.answer_ends();
        }
    }

    /// The worker has answered. That the client leaves later is not its end.
    fn answer_ends(&mut self) {
        if let Some(mut picked) = self.picked.take() {
            let Told { answer_tokens, cached_tokens } = self.usage.told();
            picked.finished(answer_tokens, cached_tokens);
        }
        self.place = None;
    }

    async fn send(&self, response: ProcessingResponse) -> Result<(), Stop> {
        self.out.send(Ok(response)).await.map_err(|_| Stop::Answered)
    }

    /// The client gets an error, and no worker gets the request.
    async fn refuse(&self, problem: &Problem) -> Result<(), Stop> {
        self.picker.refused(&self.head, problem);
        self.send(words::problem(problem)).await?;
        Err(Stop::Answered)
    }
}

/// What Envoy says next. None: it is gone, and its client with it.
async fn next(messages: &mut Streaming<ProcessingRequest>, out: &Out) -> Option<ProcessingRequest> {
    tokio::select! {
        biased;
        () = out.closed() => None,
        message = messages.message() => message.ok().flatten(),
    }
}
