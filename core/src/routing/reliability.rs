//! All limits by which a router keeps failing workers away from requests.

use super::attempt::TimeLimits;
use super::health::HealthLimits;
use super::retry::RetryLimits;
use serde::{Deserialize, Serialize};

/// What a router does about failing workers. [`Reliability::default`] does nothing: it sends to every
/// worker that takes requests, tries nothing again and sets no limits. [`Reliability::on`] has all of it.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reliability {
    /// When a worker leaves rotation. None: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthLimits>,
    /// How often requests are tried again. None: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryLimits>,
    /// How long attempts may take. None: as long as the client waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeLimits>,
}

impl Reliability {
    /// All of it, with the default limits.
    pub fn on() -> Self {
        Self {
            health: Some(HealthLimits::default()),
            retry: Some(RetryLimits::default()),
            time: Some(TimeLimits::default()),
        }
    }

    /// Whether it does nothing.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// The same limits where a second of the clock is only `1 / speedup` real seconds: real machines are
    /// late by real time, however fast the model's time runs. A slower clock changes nothing.
    #[must_use]
    pub fn sped_up(mut self, speedup: f64) -> Self {
        let by = speedup.max(1.0);
        if let Some(health) = &mut self.health {
            let HealthLimits { least_expected_s, silent_s, first_out_s, longest_out_s, .. } =
                health;
            for seconds in [least_expected_s, silent_s, first_out_s, longest_out_s] {
                *seconds *= by;
            }
        }
        if let Some(RetryLimits { budget, .. }) = &mut self.retry {
            budget.per_s /= by;
        }
        if let Some(time) = &mut self.time {
            let TimeLimits { first_token_least_s, first_token_most_s, gap_s, .. } = time;
            for seconds in [first_token_least_s, first_token_most_s, gap_s] {
                *seconds *= by;
            }
            time.headers_s = time.headers_s.map(|seconds| seconds * by);
        }
        self
    }

    /// Whether the limits make sense. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        self.health.map_or(Ok(()), |limits| limits.check())?;
        self.retry.map_or(Ok(()), |limits| limits.check())?;
        self.time.map_or(Ok(()), |limits| limits.check())
    }
}
