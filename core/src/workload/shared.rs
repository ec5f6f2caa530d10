//! Texts that sessions share: which of them a session has, and how long each is.

use super::spec::SharedTexts;
use crate::rng::{Rng, hash_words};
use crate::tokens::Segment;
use std::sync::Arc;

/// One kind of shared text, ready to be drawn from.
#[derive(Clone, Debug)]
pub struct Shelf {
    spec: SharedTexts,
    /// Of the run and the kind: texts of two kinds are never equal.
    seed: u64,
    /// Share of the sessions that have this text or a more popular one.
    cumulative: Arc<[f64]>,
}

impl Shelf {
    pub fn new(spec: SharedTexts, seed: u64, kind: u64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=spec.count)
            .map(|rank| {
                sum += libm::pow(f64::from(rank), -spec.zipf);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        let seed = hash_words(&[seed, 0x5348_454c, kind]);
        Self { spec, seed, cumulative: cumulative.into() }
    }

    /// The text of a session, in at most half of `room`.
    pub fn pick(&self, session: u64, room: u32) -> Segment {
        // A generator of its own: another kind of text in a workload shifts no other draw.
        let u = Rng::named(self.seed, &[1, session]).unit();
        let rank = self.cumulative.partition_point(|&share| share <= u) as u64;
        let rank = rank.min(u64::from(self.spec.count) - 1);
        let tokens = self.spec.tokens.draw_count(&mut Rng::named(self.seed, &[2, rank]));
        let tokens = tokens.min(room.saturating_sub(2) / 2);
        Segment::Text { seed: hash_words(&[self.seed, 3, rank]), tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::spec::Amount;
    use std::collections::BTreeMap;

    fn counts(zipf: f64) -> BTreeMap<(u64, u32), u32> {
        let tokens = Amount { mean: 500.0, cv: 0.5 };
        let shelf = Shelf::new(SharedTexts { count: 100, tokens, zipf }, 7, 0);
        let mut counts = BTreeMap::new();
        for session in 0..50_000 {
            let Segment::Text { seed, tokens } = shelf.pick(session, 100_000) else {
                panic!("a shared text is a text");
            };
            *counts.entry((seed, tokens)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn popularity_follows_the_exponent() {
        let mut zipf: Vec<u32> = counts(1.0).into_values().collect();
        zipf.sort_unstable_by(|a, b| b.cmp(a));
        // The harmonic number of 100 is 5.187: the first has 19.3 % of the sessions.
        assert!((9_200..10_100).contains(&zipf[0]), "{}", zipf[0]);
        assert!((4_500..5_200).contains(&zipf[1]), "{}", zipf[1]);
        let even = counts(0.0);
        assert_eq!(even.len(), 100, "one length a text");
        assert!(even.into_values().all(|count| (380..620).contains(&count)));
    }

    #[test]
    fn a_long_text_leaves_room_for_turns() {
        let tokens = Amount { mean: 5_000.0, cv: 0.0 };
        let shelf = Shelf::new(SharedTexts { count: 1, tokens, zipf: 1.0 }, 7, 0);
        for (room, expected) in [(0, 0), (3, 0), (1_002, 500), (20_000, 5_000)] {
            assert_eq!(shelf.pick(0, room).tokens(), expected);
        }
    }
}
