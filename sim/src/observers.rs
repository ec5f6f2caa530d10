//! What a caller hears while a world runs.

use warmpath_core::id::{MAX_TIERS, RequestId, WorkerId};
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::record::Entry;
use warmpath_core::time::{Duration, Instant};

/// Hears a request and when it is sent.
pub type Sent<'a> = &'a mut dyn FnMut(Instant, &Work);

/// Hears what memories hold, and says when it next wants to.
pub type Look<'a> = &'a mut dyn FnMut(Instant, &Memories) -> Instant;

/// What memories hold at an instant, and for how long links have been busy since the start. A transfer counts when
/// it ends, or when another one begins or ends on its link.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Memories {
    /// Named blocks by tier over all workers, HBM first.
    pub blocks: [u64; MAX_TIERS],
    /// Loads from each tier, summed over all workers; none from HBM.
    pub loading: [Duration; MAX_TIERS],
    /// Blocks in the pool. 0: there is none, or it is gone.
    pub pool_blocks: u64,
    /// Sends of the pool.
    pub pool: Duration,
    /// Sends to peers, summed over all workers.
    pub peers: Duration,
    /// Sends to decode workers, summed over all workers.
    pub kv_transfers: Duration,
}

/// All of it is optional.
#[derive(Default)]
pub struct Observers<'a> {
    /// Hears each input of the router and what came of it.
    pub record: Option<&'a mut dyn FnMut(&Entry)>,
    /// Hears now and then how many requests have ended.
    pub progress: Option<&'a mut dyn FnMut(u64)>,
    /// Asked now and then whether to stop early, with what the workers served so far.
    pub give_up: Option<&'a mut dyn FnMut(&Recorder) -> bool>,
    /// Hears each request when its client sends it, unless a device serves it.
    pub sent: Option<Sent<'a>>,
    /// Hears each request when an engine admits it for the first time: then its hits are counted.
    pub admitted: Option<&'a mut dyn FnMut(Instant, RequestId)>,
    /// Hears why each request is sent where it is, as the rule sees it when the request arrives.
    pub explained: Option<&'a mut dyn FnMut(Explanation)>,
    /// Says to which worker a request goes, whatever the rule chose. The rule does not hear of it, so what it chooses
    /// afterwards means nothing: for runs in which every request has its worker given. Not for fleets with pools, peers and
    /// roles.
    pub assigned: Option<&'a dyn Fn(RequestId) -> Option<WorkerId>>,
    /// Hears what memories hold, at the first event from the instant on that it named last.
    pub memories: Option<Look<'a>>,
    /// Whether the recorder keeps one row for each request.
    pub rows: bool,
}
