//! What is measured, by the formulas of `docs/metrics.md`. A [`Recorder`] is told what happened to
//! each request; [`Figures`] is what a run is judged by.

mod absorb;
mod energy;
mod owners;
mod rows;

pub use energy::{Account, Rate, Rates, Spent};
pub use owners::{ByOwner, TenantFigures};
pub use rows::Row;

use crate::hash::Map;
use crate::id::{ORIGINS, RequestId, SessionId, TenantId, WorkerId};
use crate::request::Known;
use crate::time::{Duration, Instant};
use rows::Rows;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Latencies a request must keep to count as good.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    pub ttft_s: f64,
    pub tpot_s: f64,
}

/// One answered request. All times are model time.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    pub id: RequestId,
    pub worker: WorkerId,
    /// When it should have been sent, whether or not it was late.
    pub sent: Instant,
    pub first_token: Instant,
    pub ended: Instant,
    pub prompt_tokens: u32,
    pub output_tokens: u32,
    /// Prompt tokens found in a cache at first admission.
    pub cached_tokens: u32,
    /// The same by origin: the tiers, the nearest first, then a pool and peers. All zero where a worker does not say.
    pub cached_by_tier: [u32; ORIGINS],
    pub tenant: TenantId,
    /// The same by who had it before.
    pub cached_by_owner: ByOwner<u32>,
}

impl Answered {
    pub fn ttft(&self) -> Duration {
        self.first_token.since(self.sent)
    }

    /// None for an answer of one token.
    pub fn tpot_s(&self) -> Option<f64> {
        let rest = self.output_tokens.checked_sub(1).filter(|&rest| rest > 0)?;
        Some(self.ended.since(self.first_token).as_secs_f64() / f64::from(rest))
    }

    pub fn meets(&self, slo: &Slo) -> bool {
        self.ttft().as_secs_f64() <= slo.ttft_s
            && self.tpot_s().is_none_or(|tpot| tpot <= slo.tpot_s)
    }
}

/// What a request found in a worker's caches.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Cached {
    pub tokens: u32,
    /// By origin: the tiers, the nearest first, then a pool and peers. All zero where a worker does not say.
    pub by_tier: [u32; ORIGINS],
}

#[derive(Clone, Debug)]
struct Open {
    sent: Instant,
    first_token: Option<Instant>,
    prompt_tokens: u32,
    output_tokens: u32,
    tenant: TenantId,
    known: Known,
}

/// Follows requests from send to end.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    open: Map<RequestId, Open>,
    answered: Vec<Answered>,
    errors: BTreeMap<String, u64>,
    offered: u64,
    first_sent: Option<Instant>,
    last_sent: Instant,
    last_ended: Instant,
    rows: Option<Rows>,
}

impl Recorder {
    /// From now on keeps a [`Row`] a request as well. For whoever will ask for them: they are never
    /// thrown away.
    pub fn keep_rows(&mut self) {
        self.rows = Some(Rows::default());
    }

    pub fn sent(&mut self, at: Instant, id: RequestId, prompt_tokens: u32, output_tokens: u32) {
        let (tenant, known) = (TenantId(0), Known::default());
        let first_token = None;
        let open = Open { sent: at, first_token, prompt_tokens, output_tokens, tenant, known };
        let before = self.open.insert(id, open);
        assert!(before.is_none(), "{id} was sent twice");
        self.offered += 1;
        self.last_sent = self.last_sent.max(at);
        self.first_sent = Some(self.first_sent.map_or(at, |first| first.min(at)));
        if let Some(rows) = &mut self.rows {
            rows.sent(at, id, prompt_tokens, output_tokens);
        }
    }

    /// Whose a request is, and when it was really sent. For rows only, as the next two.
    pub fn described(
        &mut self,
        sent: Instant,
        id: RequestId,
        session: Option<SessionId>,
        tenant: TenantId,
    ) {
        self.change_row(id, |row| (row.sent, row.session, row.tenant) = (sent, session, tenant));
    }

    /// Which worker got it.
    pub fn placed(&mut self, id: RequestId, worker: WorkerId) {
        self.change_row(id, |row| row.worker = Some(worker));
    }

    fn change_row(&mut self, id: RequestId, change: impl FnOnce(&mut Row)) {
        if let Some(rows) = &mut self.rows {
            rows.change(id, change);
        }
    }

    pub fn first_token(&mut self, at: Instant, id: RequestId) {
        let open = self.open.get_mut(&id).expect("a first token of a request that is under way");
        assert!(open.first_token.is_none(), "{id} had two first tokens");
        open.first_token = Some(at);
        self.change_row(id, |row| row.first_token = Some(at));
    }

    pub fn finished(&mut self, at: Instant, id: RequestId, worker: WorkerId, found: Cached) {
        let open = self.open.remove(&id).expect("a request ends once");
        self.last_ended = self.last_ended.max(at);
        self.answered.push(Answered {
            id,
            worker,
            sent: open.sent,
            first_token: open.first_token.expect("an answer has a first token"),
            ended: at,
            prompt_tokens: open.prompt_tokens,
            output_tokens: open.output_tokens,
            cached_tokens: found.tokens,
            cached_by_tier: found.by_tier,
            tenant: open.tenant,
            cached_by_owner: ByOwner::of(found.tokens, open.known),
        });
        if let Some(rows) = &mut self.rows {
            rows.ended(at, id, |row| row.cached = Some(found));
        }
    }

    /// `reason` groups errors in the report.
    pub fn failed(&mut self, at: Instant, id: RequestId, reason: &str) {
        self.open.remove(&id).expect("a request ends once");
        self.last_ended = self.last_ended.max(at);
        *self.errors.entry(reason.to_owned()).or_default() += 1;
        if let Some(rows) = &mut self.rows {
            rows.ended(at, id, |row| row.failed = Some(reason.into()));
        }
    }

    /// The rows of all requests that have ended, in the order in which they should have been sent;
    /// none unless they were asked for.
    pub fn take_rows(&mut self) -> Vec<Row> {
        self.rows.take().map_or_else(Vec::new, Rows::into_sorted)
    }

    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    pub fn ended(&self) -> u64 {
        self.offered - self.open.len() as u64
    }

    pub fn answered(&self) -> &[Answered] {
        &self.answered
    }

    /// `workers`: how many there are, also those that served nothing; None if nobody knows.
    pub fn figures(&self, block_size: u32, workers: impl Into<Option<u32>>, slo: &Slo) -> Figures {
        let workers = workers.into();
        let seconds = self.span().as_secs_f64();
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let total = |of: fn(&Answered) -> u32| -> u64 {
            self.answered.iter().map(|request| u64::from(of(request))).sum()
        };
        let (prompt, cached) = (total(|r| r.prompt_tokens), total(|r| r.cached_tokens));
        let output = total(|r| r.output_tokens);
        let full: u64 = self.answered.iter().map(|r| u64::from(r.prompt_tokens / block_size)).sum();
        let mut load: BTreeMap<WorkerId, u64> = BTreeMap::new();
        for request in &self.answered {
            let computed = request.prompt_tokens - request.cached_tokens;
            *load.entry(request.worker).or_default() +=
                u64::from(computed) + u64::from(request.output_tokens);
        }
        let most = load.values().max().map_or(0.0, |&most| most as f64);
        let balance = workers.map(|workers| {
            let mean = ratio(load.values().sum(), u64::from(workers));
            if mean > 0.0 { most / mean } else { 0.0 }
        });
        let arrivals_s = self.first_sent.map_or(0.0, |at| self.last_sent.since(at).as_secs_f64());
        let good = self.answered.iter().filter(|request| request.meets(slo)).count() as u64;
        let seconds_of = |of: &dyn Fn(&Answered) -> Option<f64>| {
            Spread::of(self.answered.iter().filter_map(of).collect())
        };
        Figures {
            offered: self.offered,
            requests: self.answered.len() as u64,
            errors: self.errors.values().sum(),
            errors_by_reason: self.errors.clone(),
            duration_s: seconds,
            hit_rate: ratio(cached, prompt),
            hit_rate_by_tier: core::array::from_fn(|tier| {
                let found = |request: &Answered| u64::from(request.cached_by_tier[tier]);
                ratio(self.answered.iter().map(found).sum(), prompt)
            }),
            hit_rate_by_owner: owners::hit_rates(&self.answered, prompt),
            hit_rate_blocks: ratio(cached / u64::from(block_size), full),
            prefill_tokens_computed: prompt - cached,
            prefill_tokens_cached: cached,
            ttft_s: seconds_of(&|r| Some(r.ttft().as_secs_f64())),
            tpot_s: seconds_of(&|r| r.tpot_s()),
            e2e_s: seconds_of(&|r| Some(r.ended.since(r.sent).as_secs_f64())),
            throughput: Throughput {
                requests_per_s: per_s(self.answered.len() as u64),
                input_tokens_per_s: per_s(prompt),
                output_tokens_per_s: per_s(output),
            },
            goodput_requests_per_s: per_s(good),
            within_slo: ratio(good, self.offered),
            offered_requests_per_s: if arrivals_s > 0.0 {
                self.offered as f64 / arrivals_s
            } else {
                0.0
            },
            arrivals_s,
            balance_max_over_mean: balance,
            tenants: owners::by_tenant(&self.answered),
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Requests sent.
    pub offered: u64,
    /// Requests answered.
    pub requests: u64,
    pub errors: u64,
    pub errors_by_reason: BTreeMap<String, u64>,
    /// From the first send to the last end.
    pub duration_s: f64,
    /// Of prompt tokens; only full blocks can be found.
    pub hit_rate: f64,
    /// The parts of `hit_rate` by origin: the tiers, the nearest first, then a pool and peers. All zero where no worker says.
    pub hit_rate_by_tier: [f64; ORIGINS],
    /// The parts of `hit_rate` by who had the tokens before.
    pub hit_rate_by_owner: ByOwner<f64>,
    /// Of full prompt blocks.
    pub hit_rate_blocks: f64,
    pub prefill_tokens_computed: u64,
    pub prefill_tokens_cached: u64,
    pub ttft_s: Spread,
    pub tpot_s: Spread,
    pub e2e_s: Spread,
    pub throughput: Throughput,
    /// Requests a second that kept the SLO.
    pub goodput_requests_per_s: f64,
    /// The share of offered requests that kept the SLO.
    pub within_slo: f64,
    /// Sent, over the time in which they were sent.
    pub offered_requests_per_s: f64,
    /// From the first send to the last.
    pub arrivals_s: f64,
    /// Tokens computed by the busiest worker over those of the mean worker. None where nobody knows
    /// how many workers there are.
    pub balance_max_over_mean: Option<f64>,
    /// Where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantFigures>,
}

#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Throughput {
    pub requests_per_s: f64,
    pub input_tokens_per_s: f64,
    pub output_tokens_per_s: f64,
}

/// A distribution in four numbers; zeros where there was nothing. A percentile is the least value
/// that so many of all do not pass (nearest rank).
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        values.sort_unstable_by(f64::total_cmp);
        Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: Self::rank(&values, 50),
            p90: Self::rank(&values, 90),
            p99: Self::rank(&values, 99),
        }
    }

    /// A percentile of values that ascend, of which there is at least one.
    fn rank(ascending: &[f64], percent: usize) -> f64 {
        ascending[(ascending.len() * percent).div_ceil(100).max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found([hbm, host]: [u32; 2]) -> Cached {
        Cached { tokens: hbm + host, by_tier: [hbm, host, 0, 0, 0, 0] }
    }

    fn at(ms: u64) -> Instant {
        Instant::START + Duration::from_millis(ms)
    }

    /// Two requests on two of three workers, worked by hand.
    #[test]
    fn figures_follow_their_formulas() {
        let mut recorder = Recorder::default();
        recorder.sent(at(0), RequestId(1), 100, 11);
        recorder.sent(at(1_000), RequestId(2), 60, 1);
        recorder.sent(at(1_500), RequestId(3), 7, 1);
        recorder.first_token(at(500), RequestId(1));
        recorder.finished(at(1_500), RequestId(1), WorkerId(0), found([16, 16]));
        recorder.first_token(at(4_000), RequestId(2));
        recorder.finished(at(4_000), RequestId(2), WorkerId(2), found([48, 0]));
        recorder.failed(at(3_000), RequestId(3), "rejected");
        let slo = Slo { ttft_s: 1.0, tpot_s: 0.1 };
        let figures = recorder.figures(16, 3, &slo);
        assert_eq!((figures.offered, figures.requests, figures.errors), (3, 2, 1));
        assert_eq!(figures.hit_rate, 80.0 / 160.0);
        assert_eq!(figures.hit_rate_by_tier, [64.0 / 160.0, 16.0 / 160.0, 0.0, 0.0, 0.0, 0.0]);
        // 100 tokens are 6 full blocks, 60 are 3; 2 + 3 blocks were found.
        assert_eq!(figures.hit_rate_blocks, 5.0 / 9.0);
        assert_eq!((figures.prefill_tokens_computed, figures.prefill_tokens_cached), (80, 80));
        assert_eq!(figures.ttft_s, Spread { mean: 1.75, p50: 0.5, p90: 3.0, p99: 3.0 });
        // One second for the ten tokens after the first; the other answer has no second token.
        assert_eq!(figures.tpot_s.mean, 0.1);
        assert_eq!(figures.duration_s, 4.0);
        assert_eq!(figures.throughput.requests_per_s, 0.5);
        assert_eq!(figures.throughput.output_tokens_per_s, 3.0);
        assert_eq!(figures.goodput_requests_per_s, 0.25, "the second missed its TTFT");
        assert_eq!(figures.within_slo, 1.0 / 3.0);
        // Loads 68 + 11 = 79, 0 and 12 + 1 = 13: mean 92 / 3.
        let balance = figures.balance_max_over_mean.expect("three workers");
        assert!((balance - 79.0 * 3.0 / 92.0).abs() < 1e-12);
        // Three requests in a second and a half.
        assert_eq!((figures.offered_requests_per_s, figures.arrivals_s), (2.0, 1.5));
    }

    #[test]
    fn rows_tell_of_each_request_how_it_went() {
        let mut recorder = Recorder::default();
        recorder.keep_rows();
        recorder.sent(at(500), RequestId(2), 60, 1);
        recorder.sent(at(0), RequestId(1), 100, 11);
        recorder.described(at(20), RequestId(1), Some(SessionId(7)), TenantId(3));
        recorder.placed(RequestId(2), WorkerId(4));
        recorder.placed(RequestId(1), WorkerId(0));
        recorder.failed(at(900), RequestId(2), "lost");
        recorder.first_token(at(500), RequestId(1));
        recorder.finished(at(1_500), RequestId(1), WorkerId(0), found([32, 16]));
        let rows = recorder.take_rows();
        let [answered, failed] = rows.as_slice() else { panic!("{rows:?}") };
        let expected = Row {
            id: RequestId(1),
            session: Some(SessionId(7)),
            tenant: TenantId(3),
            worker: Some(WorkerId(0)),
            intended: at(0),
            sent: at(20),
            first_token: Some(at(500)),
            ended: at(1_500),
            prompt_tokens: 100,
            output_tokens: 11,
            cached: Some(found([32, 16])),
            failed: None,
        };
        assert_eq!(*answered, expected);
        assert_eq!(
            (answered.ttft(), answered.tpot_s()),
            (Some(Duration::from_millis(500)), Some(0.1))
        );
        assert_eq!(failed.failed.as_deref(), Some("lost"));
        assert_eq!(
            (failed.worker, failed.ttft(), failed.tpot_s()),
            (Some(WorkerId(4)), None, None)
        );
        assert_eq!((failed.intended, failed.ended), (at(500), at(900)));
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let spread = Spread::of((1..=200).map(f64::from).collect());
        assert_eq!((spread.p50, spread.p90, spread.p99), (100.0, 180.0, 198.0));
        assert_eq!(Spread::of(vec![7.0]).p50, 7.0);
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
