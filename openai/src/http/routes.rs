//! Which path is what, and who may call it.

use super::calls::{REQUEST_ID, Shared, call};
use super::{about, generate, reply, texts};
use crate::problem::Problem;
use crate::request::Kind;
use crate::served::Served;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::HeaderValue;
use axum::http::{HeaderMap, Request, Response};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use std::sync::Arc;

/// The most bytes of a request's name that returns in a header.
const MOST_ID_BYTES: usize = 1_024;

type At<S> = State<Arc<Shared<S>>>;

/// All routes.
pub fn routes<S: Served>(shared: Arc<Shared<S>>) -> Router {
    Router::new()
        .route("/v1/completions", post(completions::<S>))
        .route("/v1/chat/completions", post(chats::<S>))
        .route("/v1/completions/render", post(render_completion::<S>))
        .route("/v1/chat/completions/render", post(render_chat::<S>))
        .route("/v1/models", get(models::<S>))
        .route("/tokenize", post(tokenize::<S>))
        .route("/detokenize", post(detokenize::<S>))
        .route("/health", get(health::<S>))
        .route("/metrics", get(metrics::<S>))
        .route("/reset_prefix_cache", post(reset::<S>))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn(echo_id))
        .with_state(shared)
}

/// Returns the client's name for the request.
async fn echo_id(request: Request<Body>, next: Next) -> Response<Body> {
    let id = request.headers().get(REQUEST_ID).cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id.filter(|id: &HeaderValue| id.len() <= MOST_ID_BYTES) {
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
    }
    response
}

async fn unknown(request: Request<Body>) -> Response<Body> {
    let mut path = request.uri().path().to_owned();
    path.truncate(path.floor_char_boundary(100));
    reply::problem(&Problem::new(404, format!("no such path: {path}")))
}

async fn not_allowed(request: Request<Body>) -> Response<Body> {
    reply::problem(&Problem::new(405, format!("the path takes no {}", request.method())))
}

fn replied(result: Result<Response<Body>, Problem>) -> Response<Body> {
    result.unwrap_or_else(|problem| reply::problem(&problem))
}

async fn completions<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    replied(generate::answer(shared, request, Kind::Completion).await)
}

async fn chats<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    replied(generate::answer(shared, request, Kind::Chat).await)
}

async fn render_completion<S: Served>(
    State(shared): At<S>,
    request: Request<Body>,
) -> Response<Body> {
    let rendered = async { texts::render(call(&shared, request).await?, Kind::Completion).await };
    replied(rendered.await)
}

async fn render_chat<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    let rendered = async { texts::render(call(&shared, request).await?, Kind::Chat).await };
    replied(rendered.await)
}

async fn tokenize<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    replied(async { texts::tokenize(call(&shared, request).await?).await }.await)
}

async fn detokenize<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    replied(async { texts::detokenize(&call(&shared, request).await?) }.await)
}

async fn reset<S: Served>(State(shared): At<S>, request: Request<Body>) -> Response<Body> {
    let external = about::wants_external(request.uri().query());
    replied(async { about::reset(call(&shared, request).await?, external?).await }.await)
}

/// Without a token, as probes ask.
async fn health<S: Served>(State(shared): At<S>) -> Response<Body> {
    match shared.served.health() {
        Ok(()) => Response::new(Body::empty()),
        Err(status) => reply::problem(&Problem::of(&status)),
    }
}

async fn models<S: Served>(State(shared): At<S>, headers: HeaderMap) -> Response<Body> {
    let known = shared.served.caller(&headers).map_err(|status| Problem::of(&status));
    replied(known.and_then(|_| about::models(&shared)))
}

async fn metrics<S: Served>(State(shared): At<S>, headers: HeaderMap) -> Response<Body> {
    let known = shared.served.caller(&headers).map_err(|status| Problem::of(&status));
    replied(known.and_then(|_| about::metrics(&shared)))
}
