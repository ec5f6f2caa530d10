//! llm-d's scorers, and the sum of them that picks a worker (`pkg/epp/scheduling/scheduler_profile.go`).
//! For a worker w:
//!
//! ```text
//! queue       (most waiting - waiting(w)) / (most waiting - least waiting); 1 if all are equal
//! kv          1 - KV usage
//! prefix      length weight x min(1, matched tokens / length scale)^2
//!             + (1 - length weight) x matched blocks / blocks of the prompt
//! load aware  (1 - min(waiting, threshold) / threshold) / 2
//! token load  1 - min(tokens under way + new tokens, threshold) / threshold
//! active      1 up to the idle threshold, else (most active - active(w)) / most active x busy score
//! no hit LRU  1/2 if any worker holds a block; else by rank: first those that never got a cold
//!             request, then by how long ago they got one: 1 - rank / (workers - 1)
//! ```
//!
//! Workers that joined or restarted are again among those that never got a cold request. llm-d keeps
//! the names of workers that are gone in the order, which lowers the score of all others.

use super::cold::ColdOrder;
use super::prefix::Matches;
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::policy::field::kv_usage::kv_usage;
use crate::routing::policy::parts::{Least, lot};
use crate::routing::view::FleetView;

/// Weights and parameters of the scorers.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub queue: f64,
    pub kv: f64,
    pub prefix: f64,
    pub load_aware: f64,
    pub token_load: f64,
    pub active: f64,
    pub no_hit_lru: f64,
    pub length_weight: f64,
    pub length_scale: u32,
    pub waiting_threshold: u32,
    pub token_threshold: u32,
    pub idle: u32,
    pub busy_score: f64,
}

impl Profile {
    /// Without any scorer; each with the parameters that it has by default.
    pub const EMPTY: Self = Self {
        queue: 0.0,
        kv: 0.0,
        prefix: 0.0,
        load_aware: 0.0,
        token_load: 0.0,
        active: 0.0,
        no_hit_lru: 0.0,
        length_weight: 0.0,
        length_scale: 8_192,
        waiting_threshold: 128,
        token_threshold: 4_194_304,
        idle: 0,
        busy_score: 1.0,
    };

    /// The worker with the largest sum, among those that `may_have` the request.
    pub fn choose(
        &self,
        matches: &Matches<'_>,
        cold: Option<&ColdOrder>,
        request: &Request,
        view: &FleetView<'_>,
        may_have: impl Fn(WorkerId, WorkerState<'_>) -> bool,
    ) -> Choice {
        let mut range = Range::default();
        for (id, worker) in view.workers().filter(|&(id, worker)| may_have(id, worker)) {
            range.add(id, worker, matches, cold, view);
        }
        if let Some(cold) = cold {
            cold.scored(request.id, range.is_cold());
        }
        let (mut best, mut never_used) = (Least::new(), 0);
        for (id, worker) in view.workers().filter(|&(id, worker)| may_have(id, worker)) {
            let place = cold.and_then(|cold| cold.place(id));
            let rank = place.map_or(never_used, |place| range.never_used + place);
            never_used += usize::from(place.is_none());
            let waiting = waiting(id, view);
            let tokens = worker.queued_tokens() + matches.new_tokens(request, worker.info);
            let sum = self.queue * range.queue_score(waiting)
                + self.kv * (1.0 - kv_usage(view, id).unwrap_or(0.0))
                + self.prefix * self.prefix_score(id, matches)
                + self.load_aware * self.load_aware_score(waiting)
                + self.token_load * self.token_load_score(tokens)
                + self.active * self.active_score(worker.active(), range.most_active)
                + self.no_hit_lru * range.no_hit_lru_score(rank);
            let parts = || {
                [
                    ("prefix score", self.prefix_score(id, matches)),
                    ("waiting requests", f64::from(waiting)),
                    ("queued and new tokens", tokens as f64),
                    ("KV in use", kv_usage(view, id).unwrap_or(0.0)),
                ]
            };
            view.note_highest(id, sum, parts);
            best.weigh(id, -sum, lot(view, request, id));
        }
        let worker = best.worker().expect("a filter leaves at least one worker");
        Decision::new(worker, matches.held(worker)).into()
    }

    fn prefix_score(&self, worker: WorkerId, matches: &Matches<'_>) -> f64 {
        let ratio = matches.ratio(worker);
        let tokens = f64::from(matches.matched(worker)) * f64::from(matches.block_tokens());
        let length = (tokens / f64::from(self.length_scale.max(1))).min(1.0);
        self.length_weight * length * length + (1.0 - self.length_weight) * ratio.min(1.0)
    }

    fn load_aware_score(&self, waiting: u32) -> f64 {
        let threshold = self.waiting_threshold.max(1);
        0.5 * (1.0 - f64::from(waiting.min(threshold)) / f64::from(threshold))
    }

    fn token_load_score(&self, tokens: u64) -> f64 {
        let threshold = u64::from(self.token_threshold.max(1));
        1.0 - tokens.min(threshold) as f64 / threshold as f64
    }

    fn active_score(&self, active: u32, most: u32) -> f64 {
        match active <= self.idle {
            true => 1.0,
            false => f64::from(most - active) / f64::from(most) * self.busy_score,
        }
    }
}

/// What scorers compare a worker with.
#[derive(Default)]
struct Range {
    workers: usize,
    least_waiting: Option<u32>,
    most_waiting: u32,
    most_active: u32,
    /// Workers that never got a cold request.
    never_used: usize,
    /// Whether any worker holds a block of the prompt.
    any_hit: bool,
}

impl Range {
    fn add(
        &mut self,
        id: WorkerId,
        worker: WorkerState<'_>,
        matches: &Matches<'_>,
        cold: Option<&ColdOrder>,
        view: &FleetView<'_>,
    ) {
        let waiting = waiting(id, view);
        self.workers += 1;
        self.least_waiting = Some(self.least_waiting.map_or(waiting, |least| least.min(waiting)));
        self.most_waiting = self.most_waiting.max(waiting);
        self.most_active = self.most_active.max(worker.active());
        if let Some(cold) = cold {
            self.never_used += usize::from(cold.place(id).is_none());
            self.any_hit |= matches.matched(id) > 0;
        }
    }

    const fn is_cold(&self) -> bool {
        !self.any_hit
    }

    fn queue_score(&self, waiting: u32) -> f64 {
        match self.most_waiting - self.least_waiting.unwrap_or(0) {
            0 => 1.0,
            range => f64::from(self.most_waiting - waiting) / f64::from(range),
        }
    }

    fn no_hit_lru_score(&self, rank: usize) -> f64 {
        if self.any_hit {
            return 0.5;
        }
        match self.workers {
            0 | 1 => 1.0,
            workers => (1.0 - rank as f64 / (workers - 1) as f64).max(0.0),
        }
    }
}

fn waiting(id: WorkerId, view: &FleetView<'_>) -> u32 {
    view.load(id).map_or(0, |(load, _)| load.waiting)
}
