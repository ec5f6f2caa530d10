//! What the ways over HTTP have in common: the head of an answer, and its events.

use super::ask::{Ask, Heard, OVERHEAD, WORKER, worker_of};
use super::events::Events;
use crate::play::http::{Site, text};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Code, Status};
use warmpath_core::id::WorkerId;

/// A request with a JSON body, and the headers that routers know a request and its session by.
pub fn request(
    site: &Site,
    path: &str,
    ask: &Ask<'_>,
    body: &impl Serialize,
) -> Request<Full<Bytes>> {
    let work = ask.work;
    let body = serde_json::to_vec(body).expect("numbers and names are JSON");
    let mut request = Request::post(format!("{}{path}", site.url()))
        .header("content-type", "application/json")
        .header("x-request-id", ask.name);
    if let Some(session) = work.request.session {
        request = request.header("x-session-id", session.to_string());
    }
    if let Some(token) = ask.identities.token(work.request.tenant) {
        request = request.header("authorization", token);
    }
    request.body(Full::from(body)).expect("a checked address")
}

/// An answer that has begun.
pub struct Begun {
    pub worker: Option<WorkerId>,
    pub overhead_ns: Option<u64>,
    events: Events<Incoming>,
}

impl Begun {
    /// Sends a request. Another status than 200 is an error.
    pub async fn by(
        site: &Site,
        request: Request<Full<Bytes>>,
        heard: &impl Heard,
    ) -> Result<Self, Status> {
        let response = site.send(request).await.map_err(Status::unavailable)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        let (worker, overhead_ns) = said(response.headers());
        if let Some(worker) = worker {
            heard.placed(worker);
        }
        Ok(Self { worker, overhead_ns, events: Events::new(response.into_body()) })
    }

    /// The next event. None: the answer has ended.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Status> {
        match self.events.next().await.map_err(Status::unavailable)? {
            None => Ok(None),
            Some(data) if data == b"[DONE]" => Ok(None),
            Some(data) => serde_json::from_slice(&data).map(Some).map_err(|error| {
                Status::data_loss(format!("an event is not as expected: {error}"))
            }),
        }
    }
}

/// The worker and the router's own time, where the router is one of ours.
fn said(headers: &HeaderMap) -> (Option<WorkerId>, Option<u64>) {
    let header = |name| headers.get(name)?.to_str().ok();
    (header(WORKER).and_then(worker_of), header(OVERHEAD).and_then(|text| text.parse().ok()))
}

/// A refusal, by the status code that gRPC has for it.
async fn refused(response: Response<Incoming>) -> Status {
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

/// An error within a stream.
pub fn broke_off(error: &serde_json::Value) -> Status {
    Status::unknown(format!("the stream ended with an error: {error}"))
}

/// Whether so many tokens arrived as were asked for.
pub fn check_length(tokens: u32, expected: u32) -> Result<(), Status> {
    match tokens == expected {
        true => Ok(()),
        false => Err(Status::data_loss(format!(
            "{tokens} tokens arrived, expected {expected} as requested"
        ))),
    }
}
