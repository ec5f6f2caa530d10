//! The end of a workload that ends at an instant: what would be sent later is not sent.

use crate::time::Instant;

/// When a workload ends, and what it sent so far.
#[derive(Clone, Debug)]
pub struct Until {
    end: Instant,
    sent: u64,
}

impl Until {
    /// Nothing is sent from `end` on.
    pub const fn new(end: Instant) -> Self {
        Self { end, sent: 0 }
    }

    /// When the next request is to be sent, of a workload whose next one is at `next`.
    pub fn next_send(&self, next: Option<Instant>) -> Option<Instant> {
        next.filter(|&at| at < self.end)
    }

    /// The most requests that may come yet and those that came: `most` while one is due before the end.
    /// Otherwise what was sent, since only an answer can bring more.
    pub fn total(&self, next: Option<Instant>, most: u64) -> u64 {
        match self.next_send(next) {
            Some(_) => most,
            None => self.sent,
        }
    }

    /// A request is sent.
    pub const fn count(&mut self) {
        self.sent += 1;
    }
}
