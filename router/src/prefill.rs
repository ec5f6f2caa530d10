//! The first half of a request that two workers share: the prompt is computed as a request of one token,
//! which nobody sees, and the worker says where its KV is held.
//!
//! Whatever goes wrong here is a miss: the worker that answers computes the prompt.

use crate::link::Link;
use std::time::Instant as WallInstant;
use tonic::Status;
use warmpath_proto::raw::{self, Bytes, Peek};
use warmpath_proto::transfer::{self, Struct};
use warmpath_proto::vllm::GenerateRequest;

/// What the worker that answers is to be told; None where it must compute the prompt itself. `message`:
/// as the client sent it, with `prompt`.
pub async fn run(
    link: &Link,
    mut request: GenerateRequest,
    message: &Bytes,
    prompt: &[u32],
    deadline: Option<WallInstant>,
) -> Option<Struct> {
    let stopping = request.stopping.get_or_insert_default();
    (stopping.max_new_tokens, stopping.min_new_tokens) = (1, 0);
    request.kv.get_or_insert_default().kv_transfer_params = Some(transfer::compute());
    request.response = None;
    let mut upstream = tonic::Request::new(raw::upstream(request, message, prompt));
    if let Some(deadline) = deadline {
        upstream.set_timeout(deadline.saturating_duration_since(WallInstant::now()));
    }
    let held = tokio::select! {
        held = held(link, upstream) => held,
        why = link.lost() => Err(Status::unavailable(format!("lost: {why}"))),
    };
    match held {
        Ok(params) => Some(params),
        Err(status) => {
            let worker = &link.name;
            tracing::warn!(worker, %status, "who answers computes the prompt that this one should have");
            None
        }
    }
}

async fn held(link: &Link, request: tonic::Request<Bytes>) -> Result<Struct, Status> {
    let answer = link.inference().generate(request).await?.into_inner();
    let unreadable = |error| Status::internal(format!("its answer: {error}"));
    let finish = Peek::of(&answer).map_err(unreadable)?.finish();
    let params = finish.and_then(|finish| finish.kv_transfer_params);
    let mut params = params
        .filter(transfer::is_held)
        .ok_or_else(|| Status::failed_precondition("it says nowhere that it holds the prompt"))?;
    transfer::reached_at(&mut params, &link.url);
    Ok(params)
}
