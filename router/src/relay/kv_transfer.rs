//! The first half of a request that two workers share: one computes the prompt and holds its KV for
//! the other.
//!
//! An error here is a cache miss: the worker that answers then computes the prompt.

use crate::call::{Call, UpstreamError};
use crate::fleet::worker::WorkerLink;
use crate::payload::HeldPrompt;

/// Has `link` compute the prompt. None: the worker that answers must compute it.
pub async fn prefill(link: &WorkerLink, call: &Call<'_>) -> Option<HeldPrompt> {
    let held = tokio::select! {
        biased;
        held = link.upstream.prefill(call) => held,
        why = link.lost() => Err(UpstreamError::unavailable(format!("lost: {why}"))),
    };
    match held {
        Ok(held) => Some(held),
        Err(error) => {
            let worker = &link.name;
            tracing::warn!(worker, %error, "the prefill failed; the decode worker computes the prompt");
            None
        }
    }
}
