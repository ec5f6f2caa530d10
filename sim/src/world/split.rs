//! Where a request of two workers stands.

use warmpath_core::id::WorkerId;
use warmpath_core::report::Cached;

/// A request whose prompt one worker computes and which another decodes.
#[derive(Clone, Copy, Debug)]
pub struct SplitRequest {
    pub decode: WorkerId,
    /// What the prefill worker found of the prompt.
    pub found: Option<Cached>,
}
