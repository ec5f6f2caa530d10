//! The health of one worker, as the router sees it in the outcomes and times of its own calls.
//!
//! A worker is in rotation until enough calls in a row fail, or its first tokens come far later than
//! those of the fleet. Then it is out, for a time that doubles with each ejection in a row. After that
//! it gets one request as a probe: it is back if the probe is answered, else out for longer.

use super::attempt::Failure;
use crate::event::Role;
use crate::id::RequestId;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// When a worker leaves rotation, and for how long.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthLimits {
    /// A worker leaves after this many failures in a row. First tokens end a row of failures before
    /// the first token; only whole answers end a row of failures after it.
    pub failures: u32,
    /// A worker is slow if each of its last `slow_calls` first tokens took this many times as long as
    /// the fleet's typical one, each measured against what was expected of it.
    pub slow_factor: f64,
    /// 1 to 8.
    pub slow_calls: u32,
    /// The least time that a first token counts as expected after. Short prompts then are not judged by
    /// the noise of milliseconds.
    pub least_expected_s: f64,
    /// A worker is silent if its `failures` oldest unanswered requests have each waited longer than
    /// this, and longer than `slow_factor` times what was expected.
    pub silent_s: f64,
    /// At most this share of the workers of a role is out.
    pub most_out: f64,
    /// How long the first ejection lasts. Each further one lasts twice as long, ..
    pub first_out_s: f64,
    /// .. up to this. A worker that stayed in rotation for so long begins with the first again.
    pub longest_out_s: f64,
}

/// The most `slow_calls`.
const MAX_CALLS: usize = 8;

impl Default for HealthLimits {
    /// 3 failures; 3 calls, five times as slow; 20 ms; 1 s; half of a role; 1 s to 60 s.
    fn default() -> Self {
        Self {
            failures: 3,
            slow_factor: 5.0,
            slow_calls: 3,
            least_expected_s: 0.02,
            silent_s: 1.0,
            most_out: 0.5,
            first_out_s: 1.0,
            longest_out_s: 60.0,
        }
    }
}

impl HealthLimits {
    pub(super) fn check(&self) -> Result<(), String> {
        let bad = |name: &str, value: f64, expected: &str| {
            Err(format!("health.{name}: {value}, expected {expected}"))
        };
        if !(1..=1_000).contains(&self.failures) {
            return bad("failures", f64::from(self.failures), "1 to 1000");
        }
        if !(1..=MAX_CALLS as u32).contains(&self.slow_calls) {
            return bad("slow_calls", f64::from(self.slow_calls), "1 to 8");
        }
        if !(1.0..=1e6).contains(&self.slow_factor) {
            return bad("slow_factor", self.slow_factor, "1 to 1000000");
        }
        if !(0.0..=1.0).contains(&self.most_out) {
            return bad("most_out", self.most_out, "0 to 1");
        }
        let times = [
            ("least_expected_s", self.least_expected_s),
            ("silent_s", self.silent_s),
            ("first_out_s", self.first_out_s),
            ("longest_out_s", self.longest_out_s),
        ];
        for (name, value) in times {
            if !(value > 0.0 && value <= 1e6) {
                return bad(name, value, "more than 0, at most 1000000");
            }
        }
        Ok(())
    }

    /// How many times as long as expected a first token took.
    pub(super) fn ratio(&self, took: Duration, expected: Duration) -> f64 {
        took.as_secs_f64() / expected.as_secs_f64().max(self.least_expected_s)
    }

    /// How long a worker is out, after so many ejections in a row.
    fn out(&self, before: u32) -> Duration {
        let mut seconds = self.first_out_s;
        for _ in 0..before.min(64) {
            seconds = (seconds * 2.0).min(self.longest_out_s);
        }
        Duration::from_secs_f64(seconds.min(self.longest_out_s))
    }
}

/// Why a worker left rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Calls in a row failed before the first token.
    #[error("calls failed before the first token")]
    Failing,
    /// Calls in a row failed after the first token.
    #[error("answers broke off")]
    Breaking,
    /// First tokens come far later than those of the fleet.
    #[error("first tokens come far later than those of the fleet")]
    Slow,
    /// Requests wait far longer than expected, and none is answered.
    #[error("requests wait and none is answered")]
    Silent,
}

/// Where a worker stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Standing {
    /// In rotation.
    #[default]
    In,
    /// Out of rotation. From `until` on it may get one request as a probe.
    Out {
        /// The end of the ejection.
        until: Instant,
        /// What it was for.
        why: Why,
    },
    /// This request shows whether the worker is well again; no other is sent there.
    Probed {
        /// The request.
        by: RequestId,
        /// What the ejection was for.
        why: Why,
    },
}

/// What a router remembers of one worker's calls.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    standing: Standing,
    pub(super) role: Role,
    /// Whether the worker is in the fleet now.
    pub(super) present: bool,
    /// Failures in a row, before and after the first token.
    early: u32,
    late: u32,
    /// The ratios of the last first tokens, and how many there were.
    ratios: [f64; MAX_CALLS],
    calls: u32,
    /// Ejections in a row.
    ejections: u32,
    /// Since when it is in rotation.
    back_since: Instant,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            standing: Standing::In,
            role: Role::Both,
            present: false,
            early: 0,
            late: 0,
            ratios: [0.0; MAX_CALLS],
            calls: 0,
            ejections: 0,
            back_since: Instant::START,
        }
    }
}

impl Health {
    /// Where the worker stands.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it is in rotation.
    pub const fn is_in(&self) -> bool {
        matches!(self.standing, Standing::In)
    }

    /// Failures in a row: before the first token, and after it.
    pub const fn failures_in_a_row(&self) -> (u32, u32) {
        (self.early, self.late)
    }

    /// Ejections in a row.
    pub const fn ejections(&self) -> u32 {
        self.ejections
    }

    /// Whether it may get a request: it is in rotation, or due for a probe.
    pub fn takes(&self, now: Instant) -> bool {
        match self.standing {
            Standing::In => true,
            Standing::Out { until, .. } => until <= now,
            Standing::Probed { .. } => false,
        }
    }

    /// The least of its last ratios: it was at least so slow at each of them. None: too few calls.
    pub(super) fn least_ratio(&self, calls: u32) -> Option<f64> {
        if self.calls < calls {
            return None;
        }
        let last = (self.calls - calls)..self.calls;
        let ratios = last.map(|call| self.ratios[call as usize % MAX_CALLS]);
        Some(ratios.fold(f64::INFINITY, f64::min))
    }

    /// The worker came, or came back. Its ejections in a row are remembered over a restart.
    pub(super) fn join(&mut self, now: Instant, role: Role) {
        let ejections = self.ejections;
        *self = Self { role, present: true, ejections, back_since: now, ..Self::default() };
    }

    /// A request was sent there.
    pub(super) fn sent(&mut self, id: RequestId) {
        if let Standing::Out { why, .. } = self.standing {
            self.standing = Standing::Probed { by: id, why };
        }
    }

    /// Counts a failure. Whether there are enough of them in a row, and of which kind.
    pub(super) fn failed(&mut self, how: Failure, limits: &HealthLimits) -> Option<Why> {
        let (row, why) = match how.is_after_first_token() {
            true => (&mut self.late, Why::Breaking),
            false => (&mut self.early, Why::Failing),
        };
        *row += 1;
        (*row >= limits.failures).then_some(why)
    }

    /// A first token came.
    pub(super) fn first_token(&mut self, ratio: Option<f64>) {
        self.early = 0;
        if let Some(ratio) = ratio {
            self.ratios[self.calls as usize % MAX_CALLS] = ratio;
            // Counted so that neither the place nor "enough calls" is lost when it is large.
            self.calls =
                if self.calls >= 1 << 30 { MAX_CALLS as u32 + self.calls % 8 } else { self.calls }
                    + 1;
        }
    }

    /// An answer is complete.
    pub(super) fn finished(&mut self) {
        (self.early, self.late) = (0, 0);
    }

    /// The request by which it is probed, and why.
    pub(super) fn probe(&self) -> Option<(RequestId, Why)> {
        match self.standing {
            Standing::Probed { by, why } => Some((by, why)),
            Standing::In | Standing::Out { .. } => None,
        }
    }

    /// Out of rotation from now on.
    pub(super) fn eject(&mut self, now: Instant, why: Why, limits: &HealthLimits) {
        let longest = Duration::from_secs_f64(limits.longest_out_s);
        if self.is_in() && now.since(self.back_since) >= longest {
            self.ejections = 0;
        }
        self.standing = Standing::Out { until: now + limits.out(self.ejections), why };
        self.ejections += 1;
    }

    /// Its probe ended without a result: the next request may be one.
    pub(super) fn probe_again(&mut self, now: Instant) {
        if let Standing::Probed { why, .. } = self.standing {
            self.standing = Standing::Out { until: now, why };
        }
    }

    /// Its probe was answered: in rotation again.
    pub(super) fn recover(&mut self, now: Instant) {
        let Self { role, ejections, .. } = *self;
        *self = Self { role, present: true, ejections, back_since: now, ..Self::default() };
    }
}
