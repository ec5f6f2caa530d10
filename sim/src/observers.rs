//! What a caller hears while a world runs.

use warmpath_core::id::RequestId;
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
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
    /// Whether the recorder keeps one row for each request.
    pub rows: bool,
}
