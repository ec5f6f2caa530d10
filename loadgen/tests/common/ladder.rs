//! The hit rates of each sharing scope, from the narrowest to the widest.

use super::run;
use serde_json::Value;

/// One worker with unlimited memory and little load, so that hits depend on the scope alone.
pub fn sim(args: &[&str]) -> Value {
    let alone = ["sim", "--policies", "round-robin", "--workers", "1", "--rate-scale", "0.05"];
    let (_, report) = run(&[&alone[..], &["--hbm-tokens", "unlimited"], args].concat());
    report["runs"][0].clone()
}

fn number(run: &Value, key: &str) -> f64 {
    run[key].as_f64().unwrap_or_else(|| panic!("{key} in {run}"))
}

/// The hit rate and its parts: own session, public, other sessions. Checks that they add up, over
/// owners and over tenants.
pub fn hits(run: &Value) -> [f64; 4] {
    let of = &run["hit_rate_by_owner"];
    let [own, public, other] =
        ["own_session", "public", "other_session"].map(|key| number(of, key));
    let all = number(run, "hit_rate");
    assert!((own + public + other - all).abs() < 1e-9, "{of} and {all}");
    if let Some(tenants) = run["tenants"].as_array() {
        let requests: f64 = tenants.iter().map(|tenant| number(tenant, "requests")).sum();
        assert_eq!(requests, number(run, "requests"));
        let (least, most) = tenants.iter().fold((1.0_f64, 0.0_f64), |(least, most), tenant| {
            let hits = number(tenant, "hit_rate");
            assert!(number(tenant, "ttft_p50_s") <= number(tenant, "ttft_p95_s"));
            (least.min(hits), most.max(hits))
        });
        assert!((least..=most).contains(&all), "{all} in {least}..={most}");
    }
    [all, own, public, other]
}

pub fn ladder(source: &[&str]) -> [[f64; 4]; 5] {
    ["none", "session", "tenant", "group:2", "all"].map(|scope| {
        let run = sim(&[source, &["--tenants", "8", "--sharing", scope]].concat());
        assert_eq!(run["tenants"].as_array().map(Vec::len), Some(8), "{scope}");
        hits(&run)
    })
}

pub fn climbs(rungs: &[[f64; 4]; 5]) {
    assert!(rungs.is_sorted_by(|a, b| a[0] < b[0]), "{rungs:?}");
    let [none, session, wider @ ..] = rungs;
    assert_eq!(*none, [0.0; 4]);
    // Within a session all reused work is its own. A wider scope does not change that part.
    assert_eq!((session[1], session[2], session[3]), (session[0], 0.0, 0.0));
    assert!(wider.iter().all(|rung| (rung[1] - session[1]).abs() < 1e-9), "{rungs:?}");
}
