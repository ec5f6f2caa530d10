//! Answers and errors as HTTP.

use crate::problem::Problem;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

/// The router's name for a refusal.
const REASON: HeaderName = HeaderName::from_static("x-warmpath-reason");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error as a response.
pub fn problem(problem: &Problem) -> Response<Body> {
    let mut response = bytes(problem.json().into_bytes());
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(reason) = problem.reason.as_deref()
        && let Ok(reason) = HeaderValue::try_from(reason)
    {
        headers.insert(REASON, reason);
    }
    // Whole seconds, and at least one: clients wait that long.
    let seconds = problem.after.map(|after| after.as_secs_f64().ceil().max(1.0) as u64);
    if let Some(seconds) = seconds.or((problem.status == 429).then_some(1)) {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if problem.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// JSON that is written already.
pub fn bytes(json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

pub fn json(value: &impl Serialize) -> Response<Body> {
    bytes(serde_json::to_vec(value).unwrap_or_default())
}
