//! A link whose transfers share its bandwidth equally (processor sharing), as DMA queues and fair
//! networks do.
//!
//! Each transfer under way is served at 1/n of the full rate. So it ends when the service that
//! every transfer has had since it began amounts to its work, and one number, that service, is all
//! that moves with time.

use crate::time::{Duration, Instant};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct FairLink<K> {
    /// Nanoseconds at the full rate that each transfer has had, since the link was last idle.
    served: f64,
    /// As of when.
    at: Instant,
    /// Transfers by the service that ends them. The bits of a float that is not negative order as
    /// the float does.
    active: BTreeSet<(u64, K)>,
    /// How many transfers it takes to fill the link: one cannot be faster than that share of it.
    fills: f64,
    /// How many times slower it is than it could be.
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
    /// A link that so many transfers fill, at least one: each comes over a narrower link of its own.
    pub fn filled_by(transfers: f64) -> Self {
        Self { fills: transfers.max(1.0), ..Self::default() }
    }
}

impl<K: Copy + Ord> FairLink<K> {
    /// `work`: how long it would take alone, in nanoseconds.
    pub fn start(&mut self, now: Instant, key: K, work: f64) {
        self.advance(now);
        if self.active.is_empty() {
            self.served = 0.0;
        }
        self.active.insert(((self.served + work.max(0.0)).to_bits(), key));
    }

    /// From now on everything takes so many times longer.
    pub fn set_slowness(&mut self, now: Instant, slowness: f64) {
        self.advance(now);
        self.drag = slowness;
    }

    /// When the next transfer ends, if none is added before.
    pub fn next_end(&self) -> Option<Instant> {
        let &(end, _) = self.active.first()?;
        let left = (f64::from_bits(end) - self.served).max(0.0) * self.slowness();
        Some(self.at + Duration::from_nanos_f64(libm::ceil(left)))
    }

    /// Takes the first transfer that has ended by `now`, and says when it did.
    pub fn pop_ended(&mut self, now: Instant) -> Option<(Instant, K)> {
        let at = self.next_end().filter(|&end| end <= now)?;
        self.advance(at);
        let (end, key) = self.active.pop_first()?;
        self.served = f64::from_bits(end);
        Some((at, key))
    }

    /// How long another transfer would take if no more came after it, on a link that one can fill.
    pub fn estimate(&self, now: Instant, work: f64) -> f64 {
        let served = self.served_by(now);
        let ahead = |&(end, _): &(u64, K)| (f64::from_bits(end) - served).clamp(0.0, work);
        work + self.active.iter().map(ahead).sum::<f64>()
    }

    /// How long anything was under way.
    pub const fn busy(&self) -> Duration {
        self.busy
    }

    fn served_by(&self, now: Instant) -> f64 {
        let passed = now.since(self.at.min(now)).as_nanos() as f64;
        self.served + passed / self.slowness()
    }

    /// How many times longer than alone at the full rate a transfer takes.
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

    /// A (100 ns) alone until 40, then shared with B (30): B ends at 40 + 60, having A served 30
    /// more; A's last 30 come alone.
    #[test]
    fn bandwidth_is_shared_while_two_are_under_way() {
        let mut link = FairLink::default();
        link.start(Instant::from_nanos(0), b'a', 100.0);
        assert_eq!(link.estimate(Instant::from_nanos(40), 30.0), 60.0);
        link.start(Instant::from_nanos(40), b'b', 30.0);
        assert_eq!(ends(&mut link), [(100, b'b'), (130, b'a')]);
        assert_eq!(link.busy().as_nanos(), 130);
        // Idle in between; what comes later starts from nothing.
        link.start(Instant::from_nanos(1_000), b'c', 7.0);
        assert_eq!(ends(&mut link), [(1_007, b'c')]);
        assert_eq!(link.busy().as_nanos(), 137);
    }

    /// Three transfers fill the link: two take three times their work, and a fourth slows all down.
    #[test]
    fn one_transfer_has_no_more_than_its_own_share() {
        let mut link = FairLink::filled_by(3.0);
        link.start(Instant::from_nanos(0), b'a', 100.0);
        link.start(Instant::from_nanos(0), b'b', 10.0);
        for key in *b"cd" {
            link.start(Instant::from_nanos(15), key, 100.0);
        }
        // b: 5 served by 15, then 5 more at a quarter of the rate. The others go on at a third.
        assert_eq!(link.next_end(), Some(Instant::from_nanos(35)));
        assert_eq!(ends(&mut link), [(35, b'b'), (305, b'a'), (320, b'c'), (320, b'd')]);
    }

    /// Half of it at full speed, the other half four times slower.
    #[test]
    fn what_is_under_way_is_slowed_down_too() {
        let mut link = FairLink::default();
        link.start(Instant::from_nanos(0), b'a', 100.0);
        link.set_slowness(Instant::from_nanos(50), 4.0);
        assert_eq!(link.next_end(), Some(Instant::from_nanos(250)));
        link.set_slowness(Instant::from_nanos(150), 1.0);
        assert_eq!(ends(&mut link), [(175, b'a')]);
    }

    #[test]
    fn equal_transfers_end_together_in_the_order_of_their_keys() {
        let mut link = FairLink::default();
        for key in [3, 1, 2] {
            link.start(Instant::from_nanos(5), key, 10.0);
        }
        assert_eq!(link.estimate(Instant::from_nanos(5), 4.0), 16.0);
        assert_eq!(ends(&mut link), [(35, 1), (35, 2), (35, 3)]);
    }
}
