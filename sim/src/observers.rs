//! What a caller hears while a world runs.

use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::record::Entry;
use warmpath_core::time::Instant;

/// Hears a request and when it is sent.
pub type Sent<'a> = &'a mut dyn FnMut(Instant, &Work);

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
    /// Whether the recorder keeps one row for each request.
    pub rows: bool,
}
