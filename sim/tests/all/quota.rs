//! A tenant that floods a shared pool, and what another still finds in it.

use crate::common::{profile, scenario};
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{Fill, Loads, PoolLink};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::TenantId;
use warmpath_core::pool::PoolSpec;
use warmpath_core::rng::{Rng, hash_words};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::{Scopes, SharingRule, Tenants};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{Observers, run};

const SIZE: u32 = 16;
const VICTIM: TenantId = TenantId(0);
const REQUESTS: u64 = 600;

/// The share of a victim's prompt tokens that it finds, on workers that remember next to nothing
/// themselves. It comes back to 16 texts; its neighbour to one, or each time to a new one.
fn hit_rate(seed: u64, fill: Fill, tenant_quota: Option<f64>, floods: bool) -> f64 {
    let operator = ScopePlan::new("", "m", "", SIZE);
    let sharing: SharingRule = "tenant+public".parse().expect("a scope");
    let scopes = Scopes::new(&operator, sharing, Tenants::new(2, 0.0));
    let mut rng = Rng::named(seed, &[]);
    let request = |id| {
        // A trace assigns requests without a session to tenants by their place.
        let is_victims = scopes.tenants().deal(&[0, id]) == VICTIM;
        let (drawn, fresh) = (rng.below(16), if floods { id } else { 0 });
        let text = hash_words(&[seed, if is_victims { drawn } else { 100 + fresh }]);
        let prompt = vec![Segment::Text { seed: text, tokens: 1_000 }];
        TimedRequest { at_ms: id * 100, prompt, output_tokens: 2 }
    };
    let recorded: Vec<TimedRequest> = (0..REQUESTS).map(request).collect();
    let trace = Arc::new(Trace::new(recorded, &scopes));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed, limit: None };
    let mut profile = profile(SIZE, Some(2_500));
    let (latency_us, timeout_ms, loads) = (300.0, 500.0, Loads::Always);
    profile.pool = Some(PoolLink { gb_s: 25.0, latency_us, fill, loads, timeout_ms });
    let mut scenario = scenario(2, PolicyConfig::RoundRobin, profile);
    let eviction = EvictionRule::Lru;
    let tokens = 36_000;
    let spec = PoolSpec { tokens, gb_s: 50.0, store_gb_s: 50.0, eviction, tenant_quota };
    scenario.pool = Some(spec);
    let observers = Observers { rows: true, ..Observers::default() };
    let workload = Workload::Trace(TimedReplay::new(trace, pace));
    let mut outcome = run(&scenario, workload, observers).expect("a world that can be");
    let mut rows = outcome.recorder.take_rows();
    rows.retain(|row| row.tenant == VICTIM);
    let found: u32 = rows.iter().filter_map(|row| row.cached).map(|cached| cached.tokens).sum();
    f64::from(found) / (rows.len() as f64 * 1_000.0)
}

#[test]
fn a_flood_costs_a_victim_at_most_five_points_with_a_share_and_more_without() {
    for (seed, fill) in [(1, Fill::WriteThrough), (2, Fill::Spill), (3, Fill::WriteThrough)] {
        let lost = |quota| hit_rate(seed, fill, quota, false) - hit_rate(seed, fill, quota, true);
        let (with, without) = (lost(Some(0.5)), lost(None));
        println!("seed {seed}, {fill:?}: {with:.3} lost with a share, {without:.3} without");
        assert!(with <= 0.05, "seed {seed}: {with} with a share");
        assert!(without > 0.05, "seed {seed}: {without} without");
    }
}
