//! Pinned worlds: a change of any figure must be meant. To accept one, run the test with
//! `UPDATE_GOLDEN=1` and look at the difference.

#![allow(clippy::disallowed_methods, reason = "a golden file is a file")]

mod common;

use std::fmt::Write;
use std::path::Path;
use warmpath_core::engine::profile::Loads;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::{Group, PolicyConfig};
use warmpath_core::workload::sessions::Arrivals;
use warmpath_sim::{Observers, run};

#[test]
fn pinned_worlds_give_their_pinned_figures() {
    let mut seen = String::new();
    let worlds = [
        ("roomy", None, Arrivals::Poisson { sessions_per_s: 2.0 }, false),
        ("cramped", Some(9_000), Arrivals::Closed { sessions: 20 }, false),
        ("cramped with host", Some(9_000), Arrivals::Closed { sessions: 20 }, true),
    ];
    for (name, hbm, arrivals, with_host) in worlds {
        // The field's rules are held to cases worked from their sources.
        let ours = |policy: &&PolicyConfig| policy.group() != Group::Field;
        for &policy in PolicyConfig::ALL.iter().filter(ours) {
            let mut profile = common::profile(16, hbm);
            profile.tiers =
                with_host.then(|| common::host(40_000, Loads::WhenCheaper)).into_iter().collect();
            let workload = common::workload(&common::spec(400, arrivals), 16, 3);
            let scenario = common::scenario(3, policy, profile);
            let outcome =
                run(&scenario, workload, Observers::default()).expect("a world that can be made");
            let figures = outcome.recorder.figures(16, 3, &Slo { ttft_s: 0.2, tpot_s: 0.02 });
            let text = serde_json::to_string_pretty(&figures).expect("figures have a JSON form");
            writeln!(seen, "## {name}, {policy}\n{text}\nengines: {:?}", outcome.engines)
                .expect("a string takes all");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/worlds.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &seen).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    for (i, (now, pinned)) in seen.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, pinned, "line {}; if that is meant, run with UPDATE_GOLDEN=1", i + 1);
    }
    assert_eq!(seen.len(), golden.len(), "worlds were added or taken away");
}
