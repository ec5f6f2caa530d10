//! What is asked of a router, and what it answers, in no protocol's terms.

use crate::play::identities::Identities;
use warmpath_core::id::WorkerId;
use warmpath_core::report::Cached;
use warmpath_core::request::Work;
use warmpath_proto::transfer::Moved;

/// One request.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub work: &'a Work,
    /// Its name on the wire.
    pub name: &'a str,
    pub identities: &'a Identities,
    /// Whether the answer must be the token stream that its prompt determines.
    pub check_tokens: bool,
}

/// Hears of an answer while it comes.
pub trait Heard: Send + Sync {
    /// The router sent the request to this worker.
    fn placed(&self, worker: WorkerId);

    /// The first token is here. `overhead_ns`: the router's own time, if it says it.
    fn first_token(&self, overhead_ns: Option<u64>);
}

/// A complete answer.
#[derive(Debug)]
pub struct Ended {
    /// None: the router does not say which worker it was.
    pub worker: Option<WorkerId>,
    pub cached: Cached,
    /// Names of the tiers that the worker reports.
    pub tier_names: Vec<String>,
    /// KV that a prefill worker transferred for it.
    pub moved: Option<Moved>,
}

/// The header in which a router of ours names the worker.
pub const WORKER: &str = "x-warmpath-worker";
/// The header in which a router of ours says its own time.
pub const OVERHEAD: &str = "x-warmpath-router-ns";

/// The worker that [`WORKER`] names.
pub fn worker_of(text: &str) -> Option<WorkerId> {
    text.trim_start_matches('w').parse().ok().map(WorkerId)
}
