//! One row for each request, answered or failed. Rows are kept on demand only: each takes about
//! 130 bytes.

use super::answered::Cached;
use crate::hash::Map;
use crate::id::{RequestId, SessionId, TenantId, WorkerId};
use crate::time::{Duration, Instant};

/// One request when it has ended. All times are model time.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The request.
    pub id: RequestId,
    /// Its session, if it has one.
    pub session: Option<SessionId>,
    /// Its tenant.
    pub tenant: TenantId,
    /// The worker it was sent to. None: no worker got it, or the router did not report which.
    pub worker: Option<WorkerId>,
    /// When the request was to be sent. Latencies count from here.
    pub intended: Instant,
    /// When the request was sent: later than intended if the client fell behind.
    pub sent: Instant,
    /// When the first token arrived. None: no token did.
    pub first_token: Option<Instant>,
    /// When the request ended.
    pub ended: Instant,
    /// The length of the prompt.
    pub prompt_tokens: u32,
    /// The length of the answer that was asked for.
    pub output_tokens: u32,
    /// Prompt tokens that were cached at first admission. None: the request failed.
    pub cached: Option<Cached>,
    /// The reason of the failure. None: the request was answered.
    pub failed: Option<Box<str>>,
}

impl Row {
    /// Time to first token, from `intended`. None without a first token.
    pub fn ttft(&self) -> Option<Duration> {
        self.first_token.map(|at| at.since(self.intended))
    }

    /// Seconds per output token after the first. None for a failed request and for an answer of one
    /// token.
    pub fn tpot_s(&self) -> Option<f64> {
        let first = self.first_token.filter(|_| self.failed.is_none())?;
        let rest = self.output_tokens.checked_sub(1).filter(|&rest| rest > 0)?;
        Some(self.ended.since(first).as_secs_f64() / f64::from(rest))
    }
}

/// The rows of a run so far.
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

    /// Changes the row of an open request. A late message about an ended request changes nothing.
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

    /// The rows of ended requests, in the order in which they were to be sent.
    pub fn into_sorted(self) -> Vec<Row> {
        let mut rows = self.done;
        rows.sort_unstable_by_key(|row| (row.intended, row.id));
        rows
    }
}
