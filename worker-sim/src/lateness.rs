//! How late the threads of a worker or a pool were, for a process that runs them inside itself. The
//! same is in the metrics, one value a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The lateness of all turns that were due. Clones add to the same sum.
#[derive(Clone, Debug, Default)]
pub struct Lateness(Arc<Sum>);

#[derive(Debug, Default)]
struct Sum {
    turns: AtomicU64,
    ns: AtomicU64,
}

impl Lateness {
    pub(crate) fn add(&self, late: Duration) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        self.0.ns.fetch_add(late.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The mean over the turns, in wall time. None: no turn was due yet.
    pub fn mean(&self) -> Option<Duration> {
        let turns = self.0.turns.load(Ordering::Relaxed);
        let ns = self.0.ns.load(Ordering::Relaxed);
        (turns > 0).then(|| Duration::from_nanos(ns / turns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_add_to_one_mean() {
        let all = Lateness::default();
        assert_eq!(all.mean(), None);
        all.add(Duration::from_millis(1));
        all.clone().add(Duration::from_millis(4));
        assert_eq!(all.mean(), Some(Duration::from_micros(2_500)));
    }
}
