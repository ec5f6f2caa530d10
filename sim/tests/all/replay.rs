//! A record of a simulated router replays to the same decisions, and a changed one is caught.

use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, Header, ReplayError, replay};
use warmpath_core::workload::sessions::Arrivals;
use warmpath_sim::{Observers, run};

fn record(policy: PolicyConfig) -> Vec<String> {
    let mut lines = vec![line(&Header::new(policy, 0))];
    let mut push = |entry: &Entry| lines.push(line(entry));
    let spec = crate::common::spec(200, Arrivals::Poisson { sessions_per_s: 5.0 });
    let observers = Observers { record: Some(&mut push), ..Observers::default() };
    let profile = crate::common::profile(16, Some(20_000));
    run(
        &crate::common::scenario(4, policy, profile),
        crate::common::workload(&spec, 16, 9),
        observers,
    )
    .expect("a world that can be made");
    lines
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a record has a JSON form")
}

#[test]
fn every_decision_comes_out_the_same() {
    for &policy in PolicyConfig::ALL {
        let lines = record(policy);
        let done = replay(lines.iter()).expect("a record replays");
        assert_eq!(done.decisions, 200);
        assert_eq!(done.inputs as usize, lines.len() - 1);
    }
}

#[test]
fn a_changed_decision_is_caught_with_its_line() {
    let mut lines = record(PolicyConfig::KvAware);
    let (at, changed) = lines
        .iter()
        .enumerate()
        .skip(50)
        .find_map(|(i, line)| {
            let (before, after) = line.split_once("\"decision\":{\"worker\":")?;
            let (worker, rest) = after.split_once(',')?;
            let other = (worker.parse::<u32>().ok()? + 1) % 4;
            Some((i, format!("{before}\"decision\":{{\"worker\":{other},{rest}")))
        })
        .expect("a record has decisions");
    lines[at] = changed;
    match replay(lines.iter()) {
        Err(ReplayError::Differs { line, .. }) => assert_eq!(line, at + 1),
        other => panic!("{other:?}"),
    }
    let torn = &lines[3][..lines[3].len() / 2];
    lines[3] = torn.to_owned();
    assert!(matches!(replay(lines.iter()), Err(ReplayError::BadLine { line: 4, .. })));
}
