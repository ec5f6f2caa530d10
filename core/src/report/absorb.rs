//! Two recorders made one: a fleet of several sides is judged by side and as a whole.

use super::Recorder;
use crate::time::Duration;

impl Recorder {
    /// Adds what another recorder followed: other requests of the same run.
    pub fn absorb(&mut self, other: Self) {
        let Self { open, answered, errors, offered, first_sent, last_sent, last_ended, rows } =
            other;
        assert!(open.is_empty(), "requests are under way");
        self.answered.extend(answered);
        for (reason, count) in errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.offered += offered;
        self.first_sent = [self.first_sent, first_sent].into_iter().flatten().min();
        self.last_sent = self.last_sent.max(last_sent);
        self.last_ended = self.last_ended.max(last_ended);
        if let (Some(own), Some(rows)) = (&mut self.rows, rows) {
            own.absorb(rows);
        }
    }

    /// Leaves a share of the answered requests out of all figures, those that were sent first: caches
    /// were filling.
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

    /// Answered requests a second while as many come as ever will: over the middle half of their sends, so
    /// that neither the first sessions nor the last count. 0 where there are too few to say.
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

    /// From the first send to the last end.
    pub fn span(&self) -> Duration {
        self.first_sent.map_or(Duration::ZERO, |first| self.last_ended.since(first))
    }
}
