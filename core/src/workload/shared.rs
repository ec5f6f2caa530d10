//! Texts that sessions share: which text each session has, and the length of each text.

use super::spec::{SharedTexts, TextsOf};
use crate::id::TenantId;
use crate::rng::{Rng, hash_words};
use crate::sharing::{drawn_rank, zipf_shares};
use crate::tokens::Segment;
use std::sync::Arc;

/// The shared texts of one kind, such as team prefixes.
#[derive(Clone, Debug)]
pub struct Shelf {
    spec: SharedTexts,
    /// Drawn from the run's seed and the kind, so that texts of two kinds are never equal.
    seed: u64,
    /// The share of the sessions that have this text or a more popular one, up to 1.
    cumulative: Arc<[f64]>,
}

impl Shelf {
    pub fn new(spec: SharedTexts, seed: u64, kind: u64) -> Self {
        let cumulative = zipf_shares(spec.count, spec.zipf);
        let seed = hash_words(&[seed, 0x5348_454c, kind]);
        Self { spec, seed, cumulative }
    }

    /// The text of a session of this tenant. Its length is at most half of `room`, in tokens.
    pub fn pick(&self, tenant: TenantId, session: u64, room: u32) -> Segment {
        // A separate generator, so that adding shared texts to a workload changes no other draw.
        let u = Rng::named(self.seed, &[1, session]).unit();
        let rank = u64::from(drawn_rank(&self.cumulative, u));
        let owner = match self.spec.of {
            TextsOf::Tenant => u64::from(tenant.0),
            TextsOf::AllTenants => 0,
        };
        // The texts of the first tenant are those of a workload with one tenant.
        let seed = if owner == 0 { self.seed } else { hash_words(&[self.seed, 4, owner]) };
        let tokens = self.spec.tokens.draw_count(&mut Rng::named(seed, &[2, rank]));
        let tokens = tokens.min(room.saturating_sub(2) / 2);
        Segment::Text { seed: hash_words(&[seed, 3, rank]), tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::spec::Amount;
    use std::collections::{BTreeMap, BTreeSet};

    fn counts(zipf: f64) -> BTreeMap<(u64, u32), u32> {
        let tokens = Amount { mean: 500.0, cv: 0.5 };
        let shelf = Shelf::new(SharedTexts { count: 100, tokens, zipf, of: TextsOf::Tenant }, 7, 0);
        let mut counts = BTreeMap::new();
        for session in 0..50_000 {
            let Segment::Text { seed, tokens } = shelf.pick(TenantId(0), session, 100_000) else {
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
        // The harmonic number of 100 is 5.187, so the first text has 19.3 % of the sessions.
        assert!((9_200..10_100).contains(&zipf[0]), "{}", zipf[0]);
        assert!((4_500..5_200).contains(&zipf[1]), "{}", zipf[1]);
        let even = counts(0.0);
        assert_eq!(even.len(), 100, "each text has one length");
        assert!(even.into_values().all(|count| (380..620).contains(&count)));
    }

    #[test]
    fn a_long_text_leaves_room_for_turns() {
        let tokens = Amount { mean: 5_000.0, cv: 0.0 };
        let shelf =
            Shelf::new(SharedTexts { count: 1, tokens, zipf: 1.0, of: TextsOf::Tenant }, 7, 0);
        for (room, expected) in [(0, 0), (3, 0), (1_002, 500), (20_000, 5_000)] {
            assert_eq!(shelf.pick(TenantId(0), 0, room).tokens(), expected);
        }
    }

    #[test]
    fn tenants_share_texts_only_if_the_workload_says_so() {
        let tokens = Amount { mean: 500.0, cv: 0.5 };
        let shelf = |of| Shelf::new(SharedTexts { count: 4, tokens, zipf: 1.0, of }, 7, 0);
        let all = |shelf: &Shelf, tenant| -> BTreeSet<u64> {
            let pick = |session| match shelf.pick(TenantId(tenant), session, 100_000) {
                Segment::Text { seed, .. } => seed,
                Segment::Answer { .. } => panic!("a shared text is a text"),
            };
            (0..200).map(pick).collect()
        };
        let (own, common) = (shelf(TextsOf::Tenant), shelf(TextsOf::AllTenants));
        assert!(all(&own, 1).is_disjoint(&all(&own, 2)));
        assert_eq!(all(&common, 1), all(&common, 2));
        assert_eq!(all(&own, 0), all(&common, 5), "the first tenant has the common texts");
    }
}
