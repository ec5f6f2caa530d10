//! What production-stack falls back to where a cache does not decide: the lowest QPS
//! (`RoutingInterface._qps_routing` of `src/vllm_router/routers/routing_logic.py`, with the counts of
//! `src/vllm_router/stats/request_stats.py`). QPS are the requests that were sent to a worker in a
//! sliding window. The first worker that never had a request wins at once, otherwise the lowest QPS,
//! otherwise the first.

use crate::id::WorkerId;
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// The requests that were sent in the window.
#[derive(Debug)]
pub struct LowestQps {
    window: Duration,
    /// From the oldest on.
    sent: VecDeque<(Instant, WorkerId)>,
    /// How many of them each worker has that ever had a request.
    counts: PerWorker<u32>,
}

impl LowestQps {
    /// Nothing was sent so far.
    pub fn new(window_s: f64) -> Self {
        let window = Duration::from_secs_f64(window_s);
        Self { window, sent: VecDeque::new(), counts: PerWorker::default() }
    }

    /// Learns from what happened.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        while let Some(&(at, worker)) = self.sent.front()
            && now.since(at) > self.window
        {
            self.sent.pop_front();
            if let Some(count) = self.counts.get_mut(worker) {
                *count -= 1;
            }
        }
        match *what {
            Observed::Dispatched { decision, .. } => {
                *self.counts.of_mut(decision.worker) += 1;
                self.sent.push_back((now, decision.worker));
            }
            Observed::Joined(info) => {
                self.counts.remove(info.worker);
                self.sent.retain(|&(_, worker)| worker != info.worker);
            }
            _ => {}
        }
    }

    /// The worker with the lowest QPS.
    pub fn worker(&self, view: &FleetView<'_>) -> WorkerId {
        // None is less than any number, and among equals the first is the least.
        let lowest = view.workers().map(|(id, _)| (self.counts.get(id), id)).min();
        for (id, _) in view.workers() {
            view.note_lowest(id, self.counts.get(id).map_or(0.0, |&n| n as f64), &[]);
        }
        lowest.expect("a view is never empty").1
    }
}
