//! The time between requests of the same session.

use crate::hash::Map;
use crate::id::SessionId;
use crate::time::Instant;

/// When each session sent its last request, and the gaps between all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    last: Map<SessionId, Instant>,
    gaps: u64,
    gaps_s: f64,
}

impl Turns {
    pub fn sent(&mut self, at: Instant, session: Option<SessionId>) {
        let Some(session) = session else { return };
        if let Some(before) = self.last.insert(session, at) {
            self.gaps += 1;
            self.gaps_s += at.since(before).as_secs_f64();
        }
    }

    pub fn mean_gap_s(&self) -> Option<f64> {
        (self.gaps > 0).then(|| self.gaps_s / self.gaps as f64)
    }
}
