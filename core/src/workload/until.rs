//! A workload that ends at an instant: what would be sent later is not sent.

use super::Workload;
use crate::time::Instant;

/// A workload up to an instant.
#[derive(Clone, Debug)]
pub struct Until {
    inner: Box<Workload>,
    end: Instant,
    sent: u64,
}

impl Until {
    /// The part of a workload before `end`.
    pub fn new(inner: Workload, end: Instant) -> Self {
        Self { inner: Box::new(inner), end, sent: 0 }
    }

    /// When the next request is to be sent.
    pub fn next_send(&self) -> Option<Instant> {
        self.inner.next_send().filter(|&at| at < self.end)
    }

    /// The most requests that may come yet and those that came. While nothing is due before the end,
    /// that is what was sent: only an answer can bring more.
    pub fn total(&self) -> u64 {
        match self.next_send() {
            Some(_) => self.inner.total(),
            None => self.sent,
        }
    }

    pub(super) fn inner(&mut self) -> &mut Workload {
        &mut self.inner
    }

    pub(super) fn count(&mut self) {
        self.sent += 1;
    }
}
