//! A run that is frozen, and played again with one request elsewhere.

use super::{By, Question, options};
use crate::files::bad;
use crate::play::{Cell, scope};
use crate::setup::Setup;
use anyhow::Result;
use serde::Serialize;
use warmpath_core::hash::Map;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Row;
use warmpath_core::request::Work;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::policy::{NamedPolicy, PolicyConfig};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::workload::Workload;
use warmpath_core::workload::given::Given;
use warmpath_sim::{Observers, Scenario, run};

/// A run, with all that is needed to play it again.
pub struct Frozen {
    scenario: Scenario,
    requests: Given,
    /// In the order in which they were sent.
    sent: Vec<Sent>,
    horizon: Duration,
    by: By,
    explanations: Map<RequestId, Explanation>,
}

/// A request of the run.
#[derive(Clone, Copy)]
struct Sent {
    id: RequestId,
    at: Instant,
    prompt_tokens: u32,
    worker: WorkerId,
    time: Duration,
}

/// What another worker changes, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    worker: WorkerId,
    time_s: f64,
    /// The change over the other requests within the horizon.
    others_s: f64,
}

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    pub request: u64,
    /// When it was sent, in seconds of model time.
    pub sent_s: f64,
    pub prompt_tokens: u32,
    /// It was picked because it was slow; the others were picked evenly.
    pub slowest: bool,
    pub worker: u32,
    /// Its time to first or last token.
    pub time_s: f64,
    /// The time to first token that the rule expected there, whichever time counts. None: it weighs no times.
    pub expected_s: Option<f64>,
    /// The worker that would have been the best; the same if none is better.
    pub best_worker: u32,
    pub best_time_s: f64,
    pub best_expected_s: Option<f64>,
    /// What the best worker changes in the times of other requests within the horizon: above 0 if they take longer.
    pub others_s: f64,
    /// What it wins in all.
    pub regret_s: f64,
}

impl Frozen {
    /// Plays the rule, and makes sure that the frozen run is the same.
    pub fn play(setup: &Setup, policy: &NamedPolicy, asked: Question) -> Result<Self> {
        let prepared = setup.source.prepare(&scope(setup));
        let options = options();
        let cell = Cell::first(setup, policy, Some(asked.requests), &options);
        let scenario = setup.scenario(policy.policy, setup.seed);
        let mut works: Vec<(Instant, Work)> = Vec::new();
        let mut explanations = Map::default();
        let mut keep = |at: Instant, work: &Work| works.push((at, work.clone()));
        let mut explained = |why: Explanation| drop(explanations.insert(why.request, why));
        let observers = Observers {
            sent: Some(&mut keep),
            explained: Some(&mut explained),
            rows: true,
            ..Observers::default()
        };
        let outcome = run(&scenario, prepared.workload(cell.pace(setup)), observers);
        let mut outcome = outcome.map_err(|error| bad(error.to_string()))?;
        if outcome.held > 0 {
            let why = "holds requests, so its decisions cannot be frozen, expected rules that send at once";
            return Err(bad(format!("--policies: {} {why}", policy.label)));
        }
        let rows = by_id(outcome.recorder.take_rows());
        let mut sent = Vec::new();
        let by = asked.by;
        // A request that failed has no time to compare.
        works.retain(|(_, work)| {
            rows.get(&work.request.id)
                .is_some_and(|row| row.failed.is_none() && by.time(row).is_some())
        });
        for (at, work) in &works {
            let row = &rows[&work.request.id];
            sent.push(Sent {
                id: row.id,
                at: *at,
                prompt_tokens: row.prompt_tokens,
                worker: row.worker.unwrap_or(WorkerId(0)),
                time: by.time(row).unwrap_or_default(),
            });
        }
        // Whatever stands before a worker, a request goes where it went.
        let scenario = Scenario { policy: PolicyConfig::RoundRobin, admission: None, ..scenario };
        let horizon = Duration::from_secs_f64(asked.horizon_s);
        let requests = Given::new(works);
        let frozen = Self { scenario, requests, sent, horizon, by, explanations };
        let again = frozen.again(None)?;
        let is_same =
            |sent: &Sent| again.get(&sent.id).and_then(|row| by.time(row)) == Some(sent.time);
        assert!(frozen.sent.iter().all(is_same), "a frozen run is the run");
        Ok(frozen)
    }

    pub fn len(&self) -> u64 {
        self.sent.len() as u64
    }

    pub fn worker(&self, place: usize) -> WorkerId {
        self.sent[place].worker
    }

    pub fn time_mean_s(&self) -> f64 {
        let sum: f64 = self.sent.iter().map(|sent| sent.time.as_secs_f64()).sum();
        sum / self.sent.len().max(1) as f64
    }

    /// The places of the decisions to examine, in order, and whether each was picked for being slow: half of them evenly, and
    /// the slowest of the rest.
    pub fn pick(&self, count: usize) -> Vec<(usize, bool)> {
        let all = self.sent.len();
        let even = count.div_ceil(2).min(all);
        let mut picked: Vec<(usize, bool)> =
            (0..even).map(|i| ((2 * i + 1) * all / (2 * even), false)).collect();
        let mut rest: Vec<usize> =
            (0..all).filter(|place| !picked.iter().any(|(other, _)| other == place)).collect();
        rest.sort_by_key(|&place| (std::cmp::Reverse(self.sent[place].time), place));
        picked.extend(rest.into_iter().take(count - even.min(count)).map(|place| (place, true)));
        picked.sort_unstable();
        picked
    }

    /// The run with one request on another worker. None: a request failed there.
    pub fn with(&self, place: usize, worker: WorkerId) -> Result<Option<Tried>> {
        let again = self.again(Some((self.sent[place].id, worker)))?;
        let own = &self.sent[place];
        let time_of = |id| again.get(&id).and_then(|row| self.by.time(row));
        let Some(time) = time_of(own.id) else { return Ok(None) };
        let mut others_s = 0.0;
        for other in self.within(place) {
            let Some(then) = time_of(other.id) else { return Ok(None) };
            others_s += then.as_secs_f64() - other.time.as_secs_f64();
        }
        Ok(Some(Tried { worker, time_s: time.as_secs_f64(), others_s }))
    }

    /// The other requests that count: those sent within the horizon after this one.
    fn within(&self, place: usize) -> impl Iterator<Item = &Sent> {
        let end = self.sent[place].at + self.horizon;
        self.sent[place + 1..].iter().take_while(move |sent| sent.at <= end)
    }

    /// The best of the workers that were tried, or the one that it had.
    pub fn examined(&self, (place, slowest): (usize, bool), tried: &[Option<Tried>]) -> Examined {
        let own = self.sent[place];
        let time_s = own.time.as_secs_f64();
        let won = |tried: &Tried| time_s - tried.time_s - tried.others_s;
        let best = tried.iter().flatten().filter(|tried| won(tried) > 0.0);
        let best = best.max_by(|one, other| won(one).total_cmp(&won(other)));
        let stayed = Tried { worker: own.worker, time_s, others_s: 0.0 };
        let best = *best.unwrap_or(&stayed);
        Examined {
            request: own.id.0,
            sent_s: own.at.since(Instant::START).as_secs_f64(),
            prompt_tokens: own.prompt_tokens,
            slowest,
            worker: own.worker.0,
            time_s,
            expected_s: self.expected_s(own.id, own.worker),
            best_worker: best.worker.0,
            best_time_s: best.time_s,
            best_expected_s: self.expected_s(own.id, best.worker),
            others_s: best.others_s,
            regret_s: won(&best).max(0.0),
        }
    }

    /// What the rule expected of a worker when it decided.
    fn expected_s(&self, id: RequestId, worker: WorkerId) -> Option<f64> {
        let candidates = &self.explanations.get(&id)?.candidates;
        let candidate = candidates.iter().find(|candidate| candidate.worker == worker)?;
        Some(candidate.terms?.to_first_token().as_secs_f64())
    }

    fn again(&self, moved: Option<(RequestId, WorkerId)>) -> Result<Map<RequestId, Row>> {
        let mut workers: Map<RequestId, WorkerId> =
            self.sent.iter().map(|sent| (sent.id, sent.worker)).collect();
        workers.extend(moved);
        let assigned = |id: RequestId| workers.get(&id).copied();
        let observers = Observers { assigned: Some(&assigned), rows: true, ..Observers::default() };
        let outcome = run(&self.scenario, Workload::Given(self.requests.clone()), observers);
        let mut outcome = outcome.map_err(|error| bad(error.to_string()))?;
        Ok(by_id(outcome.recorder.take_rows()))
    }
}

fn by_id(rows: Vec<Row>) -> Map<RequestId, Row> {
    rows.into_iter().map(|row| (row.id, row)).collect()
}
