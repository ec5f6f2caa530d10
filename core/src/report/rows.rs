//! One row a request, whether it was answered or not. Kept only where somebody asks: a row takes some
//! 130 bytes, where a figure takes none.

use super::Cached;
use crate::hash::Map;
use crate::id::{RequestId, SessionId, TenantId, WorkerId};
use crate::time::{Duration, Instant};

/// All that is known of one request when it has ended. All times are model time.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub id: RequestId,
    pub session: Option<SessionId>,
    pub tenant: TenantId,
    /// None: it was never given to one, or nobody said to which.
    pub worker: Option<WorkerId>,
    /// When it should have been sent; latency counts from here.
    pub intended: Instant,
    /// When it was sent: later than intended where the client fell behind.
    pub sent: Instant,
    pub first_token: Option<Instant>,
    pub ended: Instant,
    pub prompt_tokens: u32,
    /// As many as were asked for.
    pub output_tokens: u32,
    /// Prompt tokens found in caches at first admission; None where it has no answer.
    pub cached: Option<Cached>,
    /// None: it was answered.
    pub failed: Option<Box<str>>,
}

impl Row {
    /// None without a first token.
    pub fn ttft(&self) -> Option<Duration> {
        self.first_token.map(|at| at.since(self.intended))
    }

    /// Seconds a token after the first; None for an answer of one token, and without an answer.
    pub fn tpot_s(&self) -> Option<f64> {
        let first = self.first_token.filter(|_| self.failed.is_none())?;
        let rest = self.output_tokens.checked_sub(1).filter(|&rest| rest > 0)?;
        Some(self.ended.since(first).as_secs_f64() / f64::from(rest))
    }
}

/// The rows of a run in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    open: Map<RequestId, Row>,
    done: Vec<Row>,
}

impl Rows {
    pub fn sent(&mut self, at: Instant, id: RequestId, prompt_tokens: u32, output_tokens: u32) {
        let row = Row {
            id,
            session: None,
            tenant: TenantId(0),
            worker: None,
            intended: at,
            sent: at,
            first_token: None,
            ended: at,
            prompt_tokens,
            output_tokens,
            cached: None,
            failed: None,
        };
        self.open.insert(id, row);
    }

    /// A request that has ended is changed no more: what arrives late about it says nothing new.
    pub fn change(&mut self, id: RequestId, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.open.get_mut(&id) {
            change(row);
        }
    }

    pub fn ended(&mut self, at: Instant, id: RequestId, change: impl FnOnce(&mut Row)) {
        let mut row = self.open.remove(&id).expect("a request ends once");
        row.ended = at;
        change(&mut row);
        self.done.push(row);
    }

    pub fn absorb(&mut self, other: Self) {
        self.done.extend(other.done);
    }

    /// In the order in which they should have been sent.
    pub fn into_sorted(self) -> Vec<Row> {
        let mut rows = self.done;
        rows.sort_unstable_by_key(|row| (row.intended, row.id));
        rows
    }
}
