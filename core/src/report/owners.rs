//! Whose work a hit was, and how each tenant fared.

use super::{Answered, Recorder, Spread, ratio};
use crate::id::{RequestId, TenantId};
use crate::request::Known;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Hit tokens, or shares of prompt tokens, by whom a cache had them from. A token that two could
/// have left there counts for the first of them in this order.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct ByOwner<T> {
    /// Earlier requests of the same user's session.
    pub own_session: T,
    /// The operator's public prefix.
    pub public: T,
    /// Other sessions that share the request's scope.
    pub other_session: T,
}

impl ByOwner<u32> {
    /// The parts of the first `cached` tokens of a prompt.
    pub fn of(cached: u32, known: Known) -> Self {
        let own_session = cached.min(known.own_tokens);
        let public = cached.min(known.public_tokens).saturating_sub(own_session);
        Self { own_session, public, other_session: cached - own_session - public }
    }
}

/// One tenant's share of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TenantFigures {
    pub tenant: TenantId,
    /// Requests answered.
    pub requests: u64,
    pub hit_rate: f64,
    pub ttft_p50_s: f64,
    pub ttft_p95_s: f64,
}

impl Recorder {
    /// Whose a request is that was sent, and what of its prompt may have been known before. Without
    /// it the first tenant's, and nothing.
    pub fn belongs(&mut self, id: RequestId, tenant: TenantId, known: Known) {
        let open = self.open.get_mut(&id).expect("a request that is under way");
        (open.tenant, open.known) = (tenant, known);
    }
}

/// The parts of the hit rate, of so many prompt tokens in all.
pub(super) fn hit_rates(answered: &[Answered], prompt_tokens: u64) -> ByOwner<f64> {
    let part = |of: fn(&ByOwner<u32>) -> u32| {
        ratio(answered.iter().map(|r| u64::from(of(&r.cached_by_owner))).sum(), prompt_tokens)
    };
    ByOwner {
        own_session: part(|parts| parts.own_session),
        public: part(|parts| parts.public),
        other_session: part(|parts| parts.other_session),
    }
}

/// One entry a tenant that had an answer, ascending; none where all are of the first.
pub(super) fn by_tenant(answered: &[Answered]) -> Vec<TenantFigures> {
    if answered.iter().all(|request| request.tenant == TenantId(0)) {
        return Vec::new();
    }
    let mut all: BTreeMap<TenantId, Vec<&Answered>> = BTreeMap::new();
    for request in answered {
        all.entry(request.tenant).or_default().push(request);
    }
    let figures = |(tenant, of): (TenantId, Vec<&Answered>)| {
        let total = |what: fn(&Answered) -> u32| of.iter().map(|r| u64::from(what(r))).sum();
        let mut ttft: Vec<f64> = of.iter().map(|r| r.ttft().as_secs_f64()).collect();
        ttft.sort_unstable_by(f64::total_cmp);
        TenantFigures {
            tenant,
            requests: of.len() as u64,
            hit_rate: ratio(total(|r| r.cached_tokens), total(|r| r.prompt_tokens)),
            ttft_p50_s: Spread::rank(&ttft, 50),
            ttft_p95_s: Spread::rank(&ttft, 95),
        }
    };
    all.into_iter().map(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkerId;
    use crate::report::{Cached, Slo};
    use crate::time::{Duration, Instant};

    #[test]
    fn a_hit_is_split_by_who_could_have_left_it() {
        let known = |own_tokens, public_tokens| Known { own_tokens, public_tokens };
        let parts = |cached, known| {
            let ByOwner { own_session, public, other_session } = ByOwner::of(cached, known);
            assert_eq!(own_session + public + other_session, cached);
            (own_session, public, other_session)
        };
        assert_eq!(parts(100, known(0, 0)), (0, 0, 100));
        assert_eq!(parts(100, known(0, 32)), (0, 32, 68));
        assert_eq!(parts(16, known(0, 32)), (0, 16, 0));
        assert_eq!(parts(100, known(64, 32)), (64, 0, 36), "its own comes first");
        assert_eq!(parts(100, known(16, 32)), (16, 16, 68));
        assert_eq!(parts(0, known(64, 32)), (0, 0, 0));
    }

    #[test]
    fn parts_add_up_and_each_tenant_has_its_own() {
        let mut recorder = Recorder::default();
        let at = |ms| Instant::START + Duration::from_millis(ms);
        let asked = [(0, 32, 96), (2, 0, 64), (2, 16, 48)];
        for (id, (tenant, own_tokens, cached)) in (0..).zip(asked) {
            let id = RequestId(id);
            recorder.sent(at(0), id, 100, 1);
            recorder.belongs(id, TenantId(tenant), Known { own_tokens, public_tokens: 48 });
            recorder.first_token(at(250 * (id.0 + 1)), id);
            let found = Cached { tokens: cached, ..Cached::default() };
            recorder.finished(at(1_000), id, WorkerId(0), found);
        }
        let figures = recorder.figures(16, 1, &Slo { ttft_s: 1.0, tpot_s: 1.0 });
        let ByOwner { own_session, public, other_session } = figures.hit_rate_by_owner;
        let expected = [48.0 / 300.0, 96.0 / 300.0, 64.0 / 300.0];
        assert_eq!([own_session, public, other_session], expected);
        assert!((own_session + public + other_session - figures.hit_rate).abs() < 1e-12);
        let [first, second] = figures.tenants.as_slice() else { panic!("two of three tenants") };
        assert_eq!((first.tenant, first.requests, first.hit_rate), (TenantId(0), 1, 0.96));
        assert_eq!((second.tenant, second.requests, second.hit_rate), (TenantId(2), 2, 0.56));
        assert_eq!((second.ttft_p50_s, second.ttft_p95_s), (0.5, 0.75));
    }
}
