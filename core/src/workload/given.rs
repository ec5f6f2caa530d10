//! Requests that were sent in another run, at the times at which they were sent there.

use crate::request::Work;
use crate::time::Instant;
use std::sync::Arc;

/// The requests of another run, in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Given {
    works: Arc<[(Instant, Work)]>,
    sent: usize,
}

impl Given {
    /// `works` with the times at which each is sent, in this order.
    pub fn new(works: Vec<(Instant, Work)>) -> Self {
        debug_assert!(works.is_sorted_by_key(|(at, _)| *at), "in the order of their times");
        Self { works: works.into(), sent: 0 }
    }

    pub(super) fn next_send(&self) -> Option<Instant> {
        self.works.get(self.sent).map(|(at, _)| *at)
    }

    pub(super) fn send(&mut self) -> Work {
        let work = self.works[self.sent].1.clone();
        self.sent += 1;
        work
    }

    pub(super) fn total(&self) -> u64 {
        self.works.len() as u64
    }
}
