//! Completions and chats.

use super::calls::{Call, REQUEST_ID, Shared, call};
use super::reply;
use super::stream::Events;
use crate::ask::Ask;
use crate::problem::Problem;
use crate::request::{Body as Json, Kind};
use crate::served::{Asked, End, Served, Started, header_text, session};
use crate::tokenizer::TextStream;
use crate::wording::{Said, Wording};
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warmpath_proto::traces::TraceContext;

/// How long the client waits for the whole answer, in milliseconds from when the request came.
const TIMEOUT: HeaderName = HeaderName::from_static("x-warmpath-timeout-ms");
/// What happened to a whole answer on its way, one for each time.
const RESUMED: HeaderName = HeaderName::from_static("x-warmpath-resumed");

/// An answer that has begun.
struct Begun<S: Served> {
    answer: S::Answer,
    headers: HeaderMap,
    wording: Wording,
    stream: bool,
    place: S::Place,
}

/// Reads, checks and starts a request, and answers it.
pub async fn answer<S: Served>(
    shared: Arc<Shared<S>>,
    request: Request<Body>,
    kind: Kind,
) -> Result<Response<Body>, Problem> {
    let begun = begin(&shared, request, kind).await;
    let begun = begun.inspect_err(|problem| shared.served.refused(problem.grpc_code()))?;
    let headers = begun.headers.clone();
    let mut response = if begun.stream {
        let Begun { answer, wording, place, .. } = begun;
        let events = Events::new(answer, wording, &shared.tokenizer, place);
        let mut response = Response::new(Body::new(events));
        let of = response.headers_mut();
        of.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        of.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    } else {
        whole(&shared, begun).await?
    };
    response.headers_mut().extend(headers);
    Ok(response)
}

async fn begin<S: Served>(
    shared: &Arc<Shared<S>>,
    request: Request<Body>,
    kind: Kind,
) -> Result<Begun<S>, Problem> {
    let Call { caller, place, headers, received, body, .. } = call(shared, request).await?;
    let mut ask = Ask::new(Json::read(&body)?, kind, &shared.tokenizer).await?;
    // A large body is not kept while its answer comes.
    drop(body);
    let deadline = deadline(&headers, received)?;
    let mut request = std::mem::take(&mut ask.request);
    let name = header_text(&headers, &REQUEST_ID)?;
    let id = name.map_or_else(|| shared.next_id(), str::to_owned);
    request.request_id = name.unwrap_or_default().to_owned();
    let session = session(&headers, shared.served.session_headers())?.map(str::to_owned);
    request.session_id = session.or(ask.cache_key.take()).filter(|id| !id.is_empty());
    let model = shared.served.model().map_err(|status| Problem::of(&status))?;
    let trace = TraceContext::of_headers(&headers);
    let asked = Asked { request, deadline, received, trace };
    let started = shared.served.generate(caller, asked).await;
    let Started { answer, headers } = started.map_err(|status| Problem::of(&status))?;
    let wording = Wording::new(&mut ask, &id, model);
    Ok(Begun { answer, headers, wording, stream: ask.stream, place })
}

async fn whole<S: Served>(shared: &Shared<S>, begun: Begun<S>) -> Result<Response<Body>, Problem> {
    let Begun { mut answer, wording, place: _place, .. } = begun;
    let tokenizer = &shared.tokenizer;
    let mut texts = TextStream::new(tokenizer);
    let (mut text, mut ids, mut notes) = (String::new(), Vec::new(), Vec::new());
    let mut end = None;
    while let Some(part) = poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await {
        let part = part.map_err(|status| Problem::of(&status))?;
        text.push_str(&texts.push(tokenizer, &part.ids));
        ids.extend_from_slice(&part.ids);
        notes.extend(part.notes);
        end = part.end.or(end);
    }
    text.push_str(&texts.end(tokenizer));
    let End { reason, cached_tokens } = end.ok_or_else(Problem::cut)?;
    let tokens = ids.len() as u32;
    let said = Said { text: &text, ids: &ids, tokens, cached_tokens, reason: Some(reason) };
    let mut response = reply::bytes(wording.whole(said));
    for note in notes.iter().filter_map(|note| HeaderValue::try_from(note).ok()) {
        response.headers_mut().append(RESUMED, note);
    }
    Ok(response)
}

fn deadline(headers: &HeaderMap, received: Instant) -> Result<Option<Instant>, Problem> {
    let Some(value) = header_text(headers, &TIMEOUT)? else { return Ok(None) };
    let ms = value.parse::<u64>().ok().filter(|ms| (1..=86_400_000).contains(ms));
    let wrong = || Problem::field(TIMEOUT.as_str(), "expected 1 to 86400000 milliseconds");
    Ok(received.checked_add(Duration::from_millis(ms.ok_or_else(wrong)?)))
}
