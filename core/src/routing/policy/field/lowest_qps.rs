//! What production-stack falls back to where a cache does not decide: the lowest QPS
//! (`RoutingInterface._qps_routing` of `src/vllm_router/routers/routing_logic.py`, with the counts of
//! `src/vllm_router/stats/request_stats.py`). QPS are the requests that were sent to a worker in a
//! sliding window. The first worker that never had a request wins at once, otherwise the lowest QPS,
//! otherwise the first.

use crate::id::WorkerId;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// When requests were sent to each worker, as far back as the window.
#[derive(Debug)]
pub struct LowestQps {
    window: Duration,
    sent: BTreeMap<WorkerId, VecDeque<Instant>>,
}

impl LowestQps {
    /// Nothing was sent so far.
    pub fn new(window_s: f64) -> Self {
        Self { window: Duration::from_secs_f64(window_s), sent: BTreeMap::new() }
    }

    /// Learns from what happened.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { decision, .. } => {
                let times = self.sent.entry(decision.worker).or_default();
                let old = Self::old(times, self.window, now);
                times.drain(..old);
                times.push_back(now);
            }
            Observed::Joined(info) => {
                self.sent.remove(&info.worker);
            }
            _ => {}
        }
    }

    /// The worker with the lowest QPS.
    pub fn worker(&self, view: &FleetView<'_>) -> WorkerId {
        let qps = |id: WorkerId| {
            let times = self.sent.get(&id)?;
            Some(times.len() - Self::old(times, self.window, view.now()))
        };
        // None is less than any number, and among equals the first is the least.
        let lowest = view.workers().map(|(id, _)| (qps(id), id)).min();
        lowest.expect("a view is never empty").1
    }

    fn old(times: &VecDeque<Instant>, window: Duration, now: Instant) -> usize {
        times.partition_point(|&at| now.since(at) > window)
    }
}
