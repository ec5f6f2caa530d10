//! The server itself: its model, its metrics, its cache.

use super::calls::{Call, Shared};
use super::reply;
use crate::problem::Problem;
use crate::served::Served;
use crate::wording::seconds;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use warmpath_proto::control::SPEEDUP;

#[derive(Serialize)]
struct Models<'a> {
    object: &'static str,
    data: [Model<'a>; 1],
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    root: &'a str,
    parent: Option<()>,
    max_model_len: u32,
}

pub fn models<S: Served>(shared: &Shared<S>) -> Result<Response<Body>, Problem> {
    let model = shared.served.model().map_err(|status| Problem::of(&status))?;
    let data = [Model {
        id: &model,
        object: "model",
        created: seconds(),
        owned_by: "warmpath",
        root: &model,
        parent: None,
        max_model_len: shared.served.max_model_len(),
    }];
    let mut response = reply::json(&Models { object: "list", data });
    if let Ok(speedup) = HeaderValue::try_from(shared.served.speedup().to_string()) {
        response.headers_mut().insert(HeaderName::from_static(SPEEDUP), speedup);
    }
    Ok(response)
}

/// What the metrics listener says.
pub fn metrics<S: Served>(shared: &Shared<S>) -> Result<Response<Body>, Problem> {
    let none = || Problem::new(404, "this process measures nothing");
    let text = shared.served.metrics().ok_or_else(none)?;
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// `reset_external=true` in the query. vLLM's other parameters concern running requests, which keep their
/// blocks here.
pub fn wants_external(query: Option<&str>) -> Result<bool, Problem> {
    let mut external = false;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let value = match value.to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(Problem::field("reset_external", "expected true or false")),
        };
        match name {
            "reset_external" => external = value,
            "reset_running_requests" if !value => {}
            "reset_running_requests" => {
                return Err(Problem::field(name, "not supported: running requests keep blocks"));
            }
            _ => {}
        }
    }
    Ok(external)
}

pub async fn reset<S: Served>(call: Call<S>, external: bool) -> Result<Response<Body>, Problem> {
    let shared = &call.shared;
    let done = shared.served.reset(call.caller, external).await;
    done.map_err(|status| Problem::of(&status))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_whether_other_tiers_are_emptied_too() {
        let wants = |query: &str| wants_external(Some(query)).map_err(|problem| problem.status);
        assert_eq!(wants_external(None), Ok(false));
        assert_eq!(wants("reset_external=true"), Ok(true));
        assert_eq!(wants("reset_running_requests=false&reset_external=1"), Ok(true));
        assert_eq!(wants("reset_external=false&x=1"), Ok(false));
        assert_eq!(wants("reset_external=maybe"), Err(400));
        assert_eq!(wants("reset_running_requests=true"), Err(400));
    }
}
