//! What a caller hears while a world runs.

use warmpath_core::report::Recorder;
use warmpath_core::routing::record::Entry;

/// All of it is optional.
#[derive(Default)]
pub struct Observers<'a> {
    /// Hears each input of the router and what came of it.
    pub record: Option<&'a mut dyn FnMut(&Entry)>,
    /// Hears now and then how many requests have ended.
    pub progress: Option<&'a mut dyn FnMut(u64)>,
    /// Asked now and then whether to stop early, with what the workers served so far.
    pub give_up: Option<&'a mut dyn FnMut(&Recorder) -> bool>,
    /// Whether the recorder keeps one row for each request.
    pub rows: bool,
}
