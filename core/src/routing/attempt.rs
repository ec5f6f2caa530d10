//! One attempt at a request: how long it may take, and how it can fail.

use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// How an attempt failed, as far as the router can see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The worker never had the request: no connection, or refused before it was read.
    NotTaken,
    /// The worker took it, and the call broke or failed before the first token.
    BeforeFirstToken,
    /// The call broke or failed after the first token.
    MidStream,
    /// The worker did not say in time that it took it.
    NoHeaders,
    /// The first token did not come in time.
    NoFirstToken,
    /// After the first token, the next one did not come in time.
    Stalled,
}

impl Failure {
    /// A limit of time passed: the worker may still be at work.
    pub const fn is_time_limit(self) -> bool {
        matches!(self, Self::NoHeaders | Self::NoFirstToken | Self::Stalled)
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTaken => "not_taken",
            Self::BeforeFirstToken => "before_first_token",
            Self::MidStream => "mid_stream",
            Self::NoHeaders => "no_headers",
            Self::NoFirstToken => "no_first_token",
            Self::Stalled => "stalled",
        }
    }

    /// Whether the client has a part of the answer.
    pub const fn is_after_first_token(self) -> bool {
        matches!(self, Self::MidStream | Self::Stalled)
    }
}

/// How long an attempt may take. The shell arms a timer for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptLimits {
    /// From the dispatch until the worker says that it took the request.
    pub headers: Duration,
    /// From the dispatch to the first token.
    pub first_token: Duration,
    /// From one token to the next.
    pub gap: Duration,
}

/// What the limits of an attempt are made from.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeLimits {
    /// Until the worker says that it took the request. None: as long as to the first token, since many
    /// servers say it together with the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_s: Option<f64>,
    /// The first token may take this many times as long as expected, ..
    pub first_token_factor: f64,
    /// .. at least this long, ..
    pub first_token_least_s: f64,
    /// .. and at most this long. That is also the limit where the worker has no seat or no room free,
    /// since the router cannot tell how long the request waits for one.
    pub first_token_most_s: f64,
    /// Between two tokens.
    pub gap_s: f64,
}

impl Default for TimeLimits {
    /// As the first token; ten times, at least 2 s, at most 600 s; 10 s.
    fn default() -> Self {
        Self {
            headers_s: None,
            first_token_factor: 10.0,
            first_token_least_s: 2.0,
            first_token_most_s: 600.0,
            gap_s: 10.0,
        }
    }
}

impl TimeLimits {
    /// Of an attempt whose first token is expected after this time. None: not known.
    pub fn of(&self, first_token: Option<Duration>) -> AttemptLimits {
        let most = self.first_token_most_s;
        let expected = first_token.map_or(most, |d| d.as_secs_f64() * self.first_token_factor);
        let first = expected.max(self.first_token_least_s).min(most);
        AttemptLimits {
            headers: Duration::from_secs_f64(self.headers_s.map_or(first, |most| most.min(first))),
            first_token: Duration::from_secs_f64(first),
            gap: Duration::from_secs_f64(self.gap_s),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let positive = [
            ("headers_s", self.headers_s.unwrap_or(1.0)),
            ("first_token_factor", self.first_token_factor),
            ("first_token_least_s", self.first_token_least_s),
            ("first_token_most_s", self.first_token_most_s),
            ("gap_s", self.gap_s),
        ];
        for (name, value) in positive {
            if !(value > 0.0 && value <= 1e6) {
                return Err(format!("time.{name}: {value}, expected more than 0, at most 1000000"));
            }
        }
        Ok(())
    }
}
