//! One line per policy: how it compares with the baseline.

use crate::figures::{Mode, RunReport};
use warmpath_core::routing::policy::NamedPolicy;

/// Each policy against the first one in the mode that ran the most, in a line each.
pub fn verdicts(runs: &[RunReport], baseline: Option<&NamedPolicy>) -> Vec<String> {
    let Some(mode) = runs.last().map(|run| run.mode) else { return Vec::new() };
    let rows = || runs.iter().filter(move |run| run.mode == mode);
    let Some(base) = rows().find(|run| run.policy.as_ref() == baseline) else {
        return Vec::new();
    };
    let is_base = |run: &&RunReport| run.label() == base.label();
    let parity = runs.iter().filter(|run| run.mode == Mode::Live).filter_map(|live| {
        let of_same = |run: &&RunReport| run.mode == Mode::SimSlice && run.label() == live.label();
        let twin = runs.iter().find(of_same)?;
        Some(format!("{}, live against sim-slice: {}", live.label(), change(twin, live)))
    });
    let others = rows().filter(|run| !is_base(run));
    parity.chain(others.map(|run| verdict(base, run))).collect()
}

/// How `best` compares with `base`, in one sentence.
fn verdict(base: &RunReport, best: &RunReport) -> String {
    let (best_name, base_name) = (best.label(), base.label());
    format!("{best_name} against {base_name}, {}: {}", best.mode.name(), change(base, best))
}

fn change(from: &RunReport, to: &RunReport) -> String {
    let points = (to.figures.hit_rate - from.figures.hit_rate) * 100.0;
    let (old, new) = (from.figures.ttft_s.mean, to.figures.ttft_s.mean);
    let change = if old > 0.0 { (new / old - 1.0) * 100.0 } else { 0.0 };
    format!("hit rate {points:+.1} points, mean TTFT {change:+.0} %")
}
