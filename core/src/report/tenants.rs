//! The figures of each tenant.

use super::answered::Answered;
use super::statistics::{Spread, ratio};
use crate::id::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The figures of one tenant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TenantFigures {
    /// The tenant.
    pub tenant: TenantId,
    /// Requests answered.
    pub requests: u64,
    /// Cached prompt tokens divided by all prompt tokens, 0 to 1.
    pub hit_rate: f64,
    /// Median time to first token, in seconds.
    pub ttft_p50_s: f64,
    /// 95th percentile of the time to first token, in seconds.
    pub ttft_p95_s: f64,
}

/// The figures of each tenant with an answered request, by tenant id. Empty if all requests belong
/// to the first tenant.
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
    use crate::id::{RequestId, TenantId, WorkerId};
    use crate::report::{ByOwner, Cached, Recorder, Slo};
    use crate::request::Known;
    use crate::time::{Duration, Instant};

    #[test]
    fn parts_add_up_to_the_hit_rate_and_each_tenant_has_figures() {
        let mut recorder = Recorder::default();
        let at = |ms| Instant::START + Duration::from_millis(ms);
        let asked = [(0, 32, 96), (2, 0, 64), (2, 16, 48)];
        for (id, (tenant, own_tokens, cached)) in (0..).zip(asked) {
            let id = RequestId(id);
            recorder.sent(at(0), id, 100, 1);
            recorder.set_tenant(id, TenantId(tenant), Known { own_tokens, public_tokens: 48 });
            recorder.first_token(at(250 * (id.0 + 1)), id);
            let found = Cached { tokens: cached, ..Cached::default() };
            recorder.finished(at(1_000), id, WorkerId(0), found);
        }
        let figures = recorder.figures(16, 1, &Slo { ttft_s: 1.0, tpot_s: 1.0 });
        let parts = figures.hit_rate_by_owner.expect("answers");
        let ByOwner { own_session, public, other_session } = parts;
        let expected = [48.0 / 300.0, 96.0 / 300.0, 64.0 / 300.0];
        assert_eq!([own_session, public, other_session], expected);
        let hit_rate = figures.hit_rate.expect("answers");
        assert!((own_session + public + other_session - hit_rate).abs() < 1e-12);
        let [first, second] = figures.tenants.as_slice() else { panic!("expected two tenants") };
        assert_eq!((first.tenant, first.requests, first.hit_rate), (TenantId(0), 1, 0.96));
        assert_eq!((second.tenant, second.requests, second.hit_rate), (TenantId(2), 2, 0.56));
        assert_eq!((second.ttft_p50_s, second.ttft_p95_s), (0.5, 0.75));
    }
}
