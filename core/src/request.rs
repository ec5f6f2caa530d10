//! What is asked for. [`Request`] is all that a router may know; [`Work`] is what a worker and the
//! workload know besides: the answer.

use crate::block::TokenBlocks;
use crate::id::{RequestId, SessionId, TenantId};
use crate::time::Instant;
use crate::tokens::{Segment, materialize};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub id: RequestId,
    pub session: Option<SessionId>,
    pub tenant: TenantId,
    pub prompt: TokenBlocks,
    pub priority: i32,
    /// When the client gives up, in model time.
    pub deadline: Option<Instant>,
}

#[derive(Clone, Debug)]
pub struct Work {
    pub request: Request,
    /// Prompt and answer on one chain, so that the block that straddles them can be reused.
    pub sequence: TokenBlocks,
    /// At least 1.
    pub output_tokens: u32,
    pub text: TokenSource,
}

/// Where the token ids of a sequence come from, made only when asked for.
#[derive(Clone, Debug, Default)]
pub struct TokenSource {
    segments: Arc<[Segment]>,
}

impl TokenSource {
    pub fn new(segments: Arc<[Segment]>) -> Self {
        Self { segments }
    }

    /// The first `tokens` token ids.
    pub fn token_ids(&self, tokens: u32) -> Vec<u32> {
        materialize(&self.segments, tokens)
    }
}
