//! What goes between the router and a worker while some of it does not get through.

use super::state::World;
use crate::feeds::{FeedMessage, FeedPart, State};
use crate::messages::{Link, Message};
use warmpath_core::id::WorkerId;
use warmpath_core::time::Instant;

impl World<'_> {
    /// Holds a message back while nothing gets through. None: it waits.
    pub(super) fn through(&mut self, message: Message) -> Option<Message> {
        let Some(feeds) = &mut self.feeds else { return Some(message) };
        let Some((worker, link)) = message.link() else { return Some(message) };
        let lines = &mut self.lines[worker.0 as usize];
        if !lines.is_cut(link) {
            return Some(message);
        }
        if let Message::Feed(FeedMessage { connection, what: FeedPart::Item(_), .. }) = &message {
            let feed = feeds.get(worker.0);
            // The router has closed this connection, and what is sent on it is lost.
            if feed.connection != *connection || feed.state == State::Closed {
                return None;
            }
        }
        let number = match &message {
            Message::Dispatched(id, decision) => self.attempts.number(*id, decision.worker),
            _ => None,
        };
        lines.waiting.push((link, number, message));
        None
    }

    /// Nothing gets through from now on, or all gets through again, in the order in which it was sent.
    pub(super) fn link_changed(&mut self, now: Instant, worker: WorkerId, link: Link, cut: bool) {
        let lines = &mut self.lines[worker.0 as usize];
        lines.set_cut(link, cut);
        if cut {
            return;
        }
        let all = core::mem::take(&mut lines.waiting);
        let (through, waits) = all.into_iter().partition(|(of, ..)| *of == link);
        lines.waiting = waits;
        if link == Link::Calls {
            for id in self.attempts.on_worker(worker) {
                self.attempts.live.get_mut(&id).expect("it is live").seen = None;
            }
        }
        let through: Vec<(Link, Option<u32>, Message)> = through;
        for (_, number, message) in through {
            // A call that was given up is reset before it is read.
            if let (Message::Dispatched(id, _), Some(number)) = (&message, number)
                && !self.attempts.is_live(*id, number)
            {
                continue;
            }
            if let (Message::Feed(FeedMessage { connection, .. }), Some(feeds)) =
                (&message, &mut self.feeds)
                && feeds.get(worker.0).connection != *connection
            {
                continue;
            }
            self.deliver(now, message);
        }
    }
}
