//! How many requests the router may hold.

use serde::{Deserialize, Serialize};
use warmpath_core::routing::QueueLimits;
use warmpath_core::time::Duration;

/// `[queue]` of a scenario file: limits for requests that the policy holds. A key that is missing has
/// the default of [`QueueLimits`].
#[derive(Clone, Copy, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSetup {
    /// Requests that wait at the same time. 0: the router holds none.
    pub requests: u32,
    /// Prompt tokens of all requests that wait.
    pub prompt_tokens: u64,
    /// The longest wait of one request, in seconds of model time.
    pub longest_wait_s: f64,
}

impl Default for QueueSetup {
    fn default() -> Self {
        let QueueLimits { requests, prompt_tokens, longest_wait } = QueueLimits::default();
        // A division, so that whole seconds stay whole.
        let longest_wait_s = longest_wait.as_nanos() as f64 / 1e9;
        Self { requests, prompt_tokens, longest_wait_s }
    }
}

impl QueueSetup {
    /// Every field that is out of range.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.requests > 1_000_000 {
            let why = format!("{}, expected 0 to 1000000", self.requests);
            problems.push(("queue.requests", why));
        }
        if !(1e-3..=86_400.0).contains(&self.longest_wait_s) {
            let why = format!("{}, expected seconds from 0.001 to 86400", self.longest_wait_s);
            problems.push(("queue.longest_wait_s", why));
        }
        problems
    }

    /// The limits as the router takes them.
    pub fn limits(&self) -> QueueLimits {
        let Self { requests, prompt_tokens, longest_wait_s } = *self;
        QueueLimits {
            requests,
            prompt_tokens,
            longest_wait: Duration::from_secs_f64(longest_wait_s),
        }
    }
}
