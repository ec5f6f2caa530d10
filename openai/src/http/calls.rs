//! What all routes share, and a call's way in.

use super::body;
use crate::problem::Problem;
use crate::served::Served;
use crate::tokenizer::Tokenizer;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use warmpath_proto::clock::{life, now};

/// The client's name for the request. It returns with the answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all routes share.
#[derive(Debug)]
pub struct Shared<S> {
    pub served: S,
    pub tokenizer: Arc<Tokenizer>,
    /// A part of the ids of answers, and their number.
    life: u64,
    number: AtomicU64,
}

impl<S: Served> Shared<S> {
    pub fn new(served: S, tokenizer: Tokenizer) -> Self {
        let tokenizer = Arc::new(tokenizer);
        Self { served, tokenizer, life: life(), number: AtomicU64::new(0) }
    }

    /// The id of an answer whose client gave none.
    pub(super) fn next_id(&self) -> String {
        format!("{:x}-{:x}", self.life, self.number.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call whose caller is known.
pub(super) struct Call<S: Served> {
    pub shared: Arc<Shared<S>>,
    pub caller: S::Caller,
    pub place: S::Place,
    pub headers: HeaderMap,
    pub received: Instant,
    pub body: Bytes,
}

/// Finds the caller, then room, then reads the body: what is refused costs little.
pub(super) async fn call<S: Served>(
    shared: &Arc<Shared<S>>,
    request: Request<Body>,
) -> Result<Call<S>, Problem> {
    let received = now();
    let (head, body) = request.into_parts();
    let served = &shared.served;
    let caller = served.caller(&head.headers).map_err(|status| Problem::of(&status))?;
    let place = served.place(&caller).map_err(|status| Problem::of(&status))?;
    let body = body::whole(body, served.body_bytes()).await?;
    Ok(Call { caller, place, headers: head.headers, received, body, shared: Arc::clone(shared) })
}
