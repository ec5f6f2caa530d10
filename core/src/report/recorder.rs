//! Follows requests from send to end, and computes the figures of a run.

use super::answered::{Answered, Cached, Slo};
use super::figures::{Figures, REFUSALS, Throughput};
use super::owners::ByOwner;
use super::rows::{Row, Rows};
use super::statistics::{Spread, ratio, share};
use super::tenants;
use super::turns::Turns;
use crate::hash::Map;
use crate::id::{RequestId, SessionId, TenantId, WorkerId};
use crate::request::Known;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

/// A request without an end yet.
#[derive(Clone, Debug)]
struct Open {
    sent: Instant,
    first_token: Option<Instant>,
    prompt_tokens: u32,
    output_tokens: u32,
    tenant: TenantId,
    known: Known,
}

/// A request that ended without an answer.
#[derive(Clone, Debug)]
struct Failed {
    id: RequestId,
    sent: Instant,
    ended: Instant,
    reason: Box<str>,
}

/// Follows the requests of one run from send to end. All times are model time.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    open: Map<RequestId, Open>,
    answered: Vec<Answered>,
    failed: Vec<Failed>,
    offered: u64,
    first_sent: Option<Instant>,
    last_sent: Instant,
    last_ended: Instant,
    turns: Turns,
    rows: Option<Rows>,
}

impl Recorder {
    /// Keeps a [`Row`] for each request from now on. Rows stay in memory until [`Self::take_rows`].
    pub fn keep_rows(&mut self) {
        self.rows = Some(Rows::default());
    }

    /// A request was to be sent at `at`. Its latencies count from there. Panics on a known id.
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

    /// When a request was really sent, and its session and tenant. Rows use it, and
    /// [`Self::turn_gap_s`].
    pub fn described(
        &mut self,
        sent: Instant,
        id: RequestId,
        session: Option<SessionId>,
        tenant: TenantId,
    ) {
        self.turns.sent(sent, session);
        self.change_row(id, |row| (row.sent, row.session, row.tenant) = (sent, session, tenant));
    }

    /// The router sent the request to this worker. Only rows use it.
    pub fn placed(&mut self, id: RequestId, worker: WorkerId) {
        self.change_row(id, |row| row.worker = Some(worker));
    }

    fn change_row(&mut self, id: RequestId, change: impl FnOnce(&mut Row)) {
        if let Some(rows) = &mut self.rows {
            rows.change(id, change);
        }
    }

    /// The first token of a request arrived. Panics if the request has ended or has a first token.
    pub fn first_token(&mut self, at: Instant, id: RequestId) {
        let open = self.open.get_mut(&id).expect("a first token belongs to an open request");
        assert!(open.first_token.is_none(), "{id} has two first tokens");
        open.first_token = Some(at);
        self.change_row(id, |row| row.first_token = Some(at));
    }

    /// The last token of a request arrived. Panics if the request has ended or has no first token.
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

    /// A request ended without an answer. Equal reasons are one entry in the report. Panics if the
    /// request has ended.
    pub fn failed(&mut self, at: Instant, id: RequestId, reason: &str) {
        let open = self.open.remove(&id).expect("a request ends once");
        self.last_ended = self.last_ended.max(at);
        self.failed.push(Failed { id, sent: open.sent, ended: at, reason: reason.into() });
        if let Some(rows) = &mut self.rows {
            rows.ended(at, id, |row| row.failed = Some(reason.into()));
        }
    }

    /// The rows of all ended requests, in the order in which they were to be sent. Empty without
    /// [`Self::keep_rows`].
    pub fn take_rows(&mut self) -> Vec<Row> {
        self.rows.take().map_or_else(Vec::new, Rows::into_sorted)
    }

    /// When the last request was to be sent.
    pub const fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// Requests without an end yet.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// Requests that have ended, answered or failed.
    pub fn ended(&self) -> u64 {
        self.offered - self.open.len() as u64
    }

    /// The answered requests, in the order of their ends.
    pub fn answered(&self) -> &[Answered] {
        &self.answered
    }

    /// The tenant of a request, and the prefixes of its prompt that may be cached. Without this call
    /// the request belongs to the first tenant and no prefix is known. Panics if it has ended.
    pub fn set_tenant(&mut self, id: RequestId, tenant: TenantId, known: Known) {
        let open = self.open.get_mut(&id).expect("an open request");
        (open.tenant, open.known) = (tenant, known);
    }

    /// Adds the requests that another recorder followed in the same run, such as those of another
    /// device. Panics if one of them has not ended.
    pub fn absorb(&mut self, other: Self) {
        let Self {
            open, answered, failed, offered, first_sent, last_sent, last_ended, rows, ..
        } = other;
        assert!(open.is_empty(), "the other recorder has open requests");
        self.answered.extend(answered);
        self.failed.extend(failed);
        self.offered += offered;
        self.first_sent = [self.first_sent, first_sent].into_iter().flatten().min();
        self.last_sent = self.last_sent.max(last_sent);
        self.last_ended = self.last_ended.max(last_ended);
        if let (Some(own), Some(rows)) = (&mut self.rows, rows) {
            own.absorb(rows);
        }
    }

    /// Drops the first answered requests by send time from all figures, because caches were still
    /// filling. `share` is 0 to 1.
    pub fn forget_first(&mut self, share: f64) {
        let count = (self.answered.len() as f64 * share) as usize;
        if count == 0 {
            return;
        }
        self.answered.sort_by_key(|request| (request.sent, request.id));
        self.answered.drain(..count);
        self.offered -= count as u64;
        self.first_sent = self.answered.first().map(|request| request.sent);
    }

    /// The ended requests of a part of the run, such as a stage. Without rows.
    #[must_use]
    pub fn part(&self, has: impl Fn(RequestId) -> bool) -> Self {
        self.part_of(|id, _| has(id))
    }

    /// The ended requests that were to be sent from `from` on and before `to`. Without rows.
    #[must_use]
    pub fn between(&self, from: Instant, to: Instant) -> Self {
        self.part_of(|_, sent| (from..to).contains(&sent))
    }

    fn part_of(&self, has: impl Fn(RequestId, Instant) -> bool) -> Self {
        let has_answered = |request: &&Answered| has(request.id, request.sent);
        let answered = self.answered.iter().filter(has_answered).cloned().collect();
        let has_failed = |request: &&Failed| has(request.id, request.sent);
        let failed = self.failed.iter().filter(has_failed).cloned().collect();
        let mut part = Self { answered, failed, ..Self::default() };
        let answers = part.answered.iter().map(|request| (request.sent, request.ended));
        let failures = part.failed.iter().map(|request| (request.sent, request.ended));
        let times: Vec<(Instant, Instant)> = answers.chain(failures).collect();
        part.offered = times.len() as u64;
        part.first_sent = times.iter().map(|&(sent, _)| sent).min();
        part.last_sent = times.iter().map(|&(sent, _)| sent).max().unwrap_or_default();
        part.last_ended = times.iter().map(|&(_, ended)| ended).max().unwrap_or_default();
        part
    }

    fn refused(&self) -> u64 {
        self.failed.iter().filter(|failed| REFUSALS.contains(&&*failed.reason)).count() as u64
    }

    fn errors_by_reason(&self) -> BTreeMap<String, u64> {
        let mut reasons = BTreeMap::new();
        for Failed { reason, .. } in &self.failed {
            *reasons.entry(String::from(&**reason)).or_default() += 1;
        }
        reasons
    }

    /// Answered requests a second under full load: over the middle half of the sends, so that the
    /// first and the last sessions do not count. 0 if there are too few requests.
    pub fn steady_requests_per_s(&self) -> f64 {
        let mut sent: Vec<_> = self.answered.iter().map(|request| request.sent).collect();
        sent.sort_unstable();
        let (from, to) = (sent.len() / 4, sent.len() * 3 / 4);
        match (sent.get(from), sent.get(to)) {
            (Some(&begin), Some(&end)) if end > begin => {
                (to - from) as f64 / end.since(begin).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Mean seconds from one request of a session to its next, without absorbed requests. None: no
    /// session had two.
    pub fn turn_gap_s(&self) -> Option<f64> {
        self.turns.mean_gap_s()
    }

    /// The time from the first send to the last end.
    pub fn span(&self) -> Duration {
        self.first_sent.map_or(Duration::ZERO, |first| self.last_ended.since(first))
    }

    /// The figures of the run so far. `workers` counts all workers, idle ones too; None if the number
    /// is not known.
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
        let balance = workers
            .map(|workers| ratio(load.values().sum(), u64::from(workers)))
            .filter(|&mean| mean > 0.0)
            .map(|mean| most / mean);
        let arrivals_s = self.first_sent.map_or(0.0, |at| self.last_sent.since(at).as_secs_f64());
        let good = self.answered.iter().filter(|request| request.meets(slo)).count() as u64;
        let seconds_of = |of: &dyn Fn(&Answered) -> Option<f64>| {
            Spread::of(self.answered.iter().filter_map(of).collect())
        };
        Figures {
            offered: self.offered,
            requests: self.answered.len() as u64,
            errors: self.failed.len() as u64,
            refused: self.refused(),
            errors_by_reason: self.errors_by_reason(),
            duration_s: seconds,
            hit_rate: share(cached, prompt),
            hit_rate_by_tier: (prompt > 0).then(|| {
                core::array::from_fn(|tier| {
                    let found = |request: &Answered| u64::from(request.cached_by_tier[tier]);
                    ratio(self.answered.iter().map(found).sum(), prompt)
                })
            }),
            hit_rate_by_owner: (prompt > 0).then(|| hit_rates(&self.answered, prompt)),
            hit_rate_blocks: share(cached / u64::from(block_size), full),
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
            tenants: tenants::by_tenant(&self.answered),
        }
    }
}

/// The parts of the hit rate. `prompt_tokens` is the sum over all answered requests.
fn hit_rates(answered: &[Answered], prompt_tokens: u64) -> ByOwner<f64> {
    let part = |of: fn(&ByOwner<u32>) -> u32| {
        ratio(answered.iter().map(|r| u64::from(of(&r.cached_by_owner))).sum(), prompt_tokens)
    };
    ByOwner {
        own_session: part(|parts| parts.own_session),
        public: part(|parts| parts.public),
        other_session: part(|parts| parts.other_session),
    }
}

#[cfg(test)]
mod tests;
