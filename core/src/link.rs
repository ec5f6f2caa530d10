//! A link whose transfers share its bandwidth equally, as DMA queues and fair networks do.
//!
//! The model is processor sharing (Kleinrock, "Queueing Systems" vol. 2, 1976): each of n transfers
//! is served at 1/n of the full rate. So all transfers get the same service, and a transfer ends
//! when the service since its start equals its work. Only that one number changes with time.

use crate::time::{Duration, Instant};
use std::collections::BTreeSet;

/// A link with transfers named by `K`.
#[derive(Clone, Debug)]
pub struct FairLink<K> {
    /// Service of each transfer since the link was last idle, in nanoseconds at the full rate.
    served: f64,
    /// The time of `served`.
    at: Instant,
    /// Transfers, sorted by the value of `served` at which they end. The key has the bits of that
    /// float. For floats of 0 or more, the bits sort like the floats.
    active: BTreeSet<(u64, K)>,
    /// The number of transfers that fill the link. A transfer never gets more than 1 / `fills`.
    fills: f64,
    /// Factor on all times, at least 1.
    drag: f64,
    busy: Duration,
}

impl<K> Default for FairLink<K> {
    fn default() -> Self {
        let active = BTreeSet::new();
        Self {
            served: 0.0,
            at: Instant::START,
            active,
            fills: 1.0,
            drag: 1.0,
            busy: Duration::ZERO,
        }
    }
}

impl<K> FairLink<K> {
    /// A link that `transfers` transfers fill, at least 1, because each has a narrower link of its
    /// own before it.
    pub fn filled_by(transfers: f64) -> Self {
        Self { fills: transfers.max(1.0), ..Self::default() }
    }
}

impl<K: Copy + Ord> FairLink<K> {
    /// Starts a transfer. `work`: nanoseconds that it would take alone.
    pub fn start(&mut self, now: Instant, key: K, work: f64) {
        self.advance(now);
        if self.active.is_empty() {
            self.served = 0.0;
        }
        self.active.insert(((self.served + work.max(0.0)).to_bits(), key));
    }

    /// Multiplies all times from `now` on by `slowness`, also those of transfers under way.
    pub fn set_slowness(&mut self, now: Instant, slowness: f64) {
        self.advance(now);
        self.drag = slowness;
    }

    /// When the next transfer ends, if no other starts before.
    pub fn next_end(&self) -> Option<Instant> {
        let &(end, _) = self.active.first()?;
        let left = (f64::from_bits(end) - self.served).max(0.0) * self.slowness();
        Some(self.at + Duration::from_nanos_f64(libm::ceil(left)))
    }

    /// Removes the first transfer that has ended by `now`, with its end.
    pub fn pop_ended(&mut self, now: Instant) -> Option<(Instant, K)> {
        let at = self.next_end().filter(|&end| end <= now)?;
        self.advance(at);
        let (end, key) = self.active.pop_first()?;
        self.served = f64::from_bits(end);
        Some((at, key))
    }

    /// Nanoseconds of one more transfer if no other follows. For a link that one transfer can fill.
    pub fn estimate(&self, now: Instant, work: f64) -> f64 {
        let served = self.served_by(now);
        let ahead = |&(end, _): &(u64, K)| (f64::from_bits(end) - served).clamp(0.0, work);
        work + self.active.iter().map(ahead).sum::<f64>()
    }

    /// Time with at least one transfer under way.
    pub const fn busy(&self) -> Duration {
        self.busy
    }

    fn served_by(&self, now: Instant) -> f64 {
        let passed = now.since(self.at.min(now)).as_nanos() as f64;
        self.served + passed / self.slowness()
    }

    /// The factor on a transfer's time against running alone at the full rate.
    fn slowness(&self) -> f64 {
        (self.active.len() as f64).max(self.fills) * self.drag
    }

    fn advance(&mut self, now: Instant) {
        let now = now.max(self.at);
        if !self.active.is_empty() {
            self.served = self.served_by(now);
            self.busy += now.since(self.at);
        }
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(link: &mut FairLink<u8>) -> Vec<(u64, u8)> {
        let mut all = Vec::new();
        while let Some(at) = link.next_end() {
            let (end, key) = link.pop_ended(at).expect("it is due");
            assert_eq!(end, at);
            all.push((end.as_nanos(), key));
        }
        all
    }

    /// A (100 ns) runs alone until 40, then shares with B (30). B ends at 40 + 60. A has then been
    /// served 30 more, and its last 30 run alone.
    #[test]
    fn two_transfers_share_the_bandwidth() {
        let mut link = FairLink::default();
        link.start(Instant::from_nanos(0), b'a', 100.0);
        assert_eq!(link.estimate(Instant::from_nanos(40), 30.0), 60.0);
        link.start(Instant::from_nanos(40), b'b', 30.0);
        assert_eq!(ends(&mut link), [(100, b'b'), (130, b'a')]);
        assert_eq!(link.busy().as_nanos(), 130);
        // The link was idle, so a later transfer starts from no service.
        link.start(Instant::from_nanos(1_000), b'c', 7.0);
        assert_eq!(ends(&mut link), [(1_007, b'c')]);
        assert_eq!(link.busy().as_nanos(), 137);
    }

    /// Three transfers fill the link. Two take three times their work, and a fourth slows all down.
    #[test]
    fn one_transfer_gets_at_most_its_own_rate() {
        let mut link = FairLink::filled_by(3.0);
        link.start(Instant::from_nanos(0), b'a', 100.0);
        link.start(Instant::from_nanos(0), b'b', 10.0);
        for key in *b"cd" {
            link.start(Instant::from_nanos(15), key, 100.0);
        }
        // b: served 5 by 15, then 5 more at a quarter of the rate. The others then run at a third.
        assert_eq!(link.next_end(), Some(Instant::from_nanos(35)));
        assert_eq!(ends(&mut link), [(35, b'b'), (305, b'a'), (320, b'c'), (320, b'd')]);
    }

    /// Half of the transfer runs at full speed, the other half four times slower.
    #[test]
    fn slowness_applies_to_transfers_under_way() {
        let mut link = FairLink::default();
        link.start(Instant::from_nanos(0), b'a', 100.0);
        link.set_slowness(Instant::from_nanos(50), 4.0);
        assert_eq!(link.next_end(), Some(Instant::from_nanos(250)));
        link.set_slowness(Instant::from_nanos(150), 1.0);
        assert_eq!(ends(&mut link), [(175, b'a')]);
    }

    #[test]
    fn equal_transfers_end_together_in_key_order() {
        let mut link = FairLink::default();
        for key in [3, 1, 2] {
            link.start(Instant::from_nanos(5), key, 10.0);
        }
        assert_eq!(link.estimate(Instant::from_nanos(5), 4.0), 16.0);
        assert_eq!(ends(&mut link), [(35, 1), (35, 2), (35, 3)]);
    }
}
