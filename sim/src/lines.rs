//! What goes between the router and one worker, while some of it does not get through.

use crate::messages::{Link, Message};

/// The lines to a worker, and the messages that wait at their ends.
#[derive(Debug, Default)]
pub struct Lines {
    calls_cut: bool,
    feed_cut: bool,
    /// With the number of the attempt, for a request that is sent to the worker.
    pub waiting: Vec<(Link, Option<u32>, Message)>,
}

impl Lines {
    pub const fn is_cut(&self, link: Link) -> bool {
        match link {
            Link::Calls => self.calls_cut,
            Link::Feed => self.feed_cut,
        }
    }

    pub const fn set_cut(&mut self, link: Link, cut: bool) {
        match link {
            Link::Calls => self.calls_cut = cut,
            Link::Feed => self.feed_cut = cut,
        }
    }

    /// The worker's process has died: what it had sent is lost, and so are requests that it never read.
    pub fn break_calls(&mut self) {
        self.waiting.retain(|(_, _, message)| {
            !matches!(
                message,
                Message::Dispatched(..)
                    | Message::FirstToken(_)
                    | Message::Answered(..)
                    | Message::Broke(..)
            )
        });
    }
}
