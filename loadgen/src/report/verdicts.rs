//! One line per policy: how it compares with the baseline.

use crate::figures::{Mode, RunReport};
use warmpath_core::routing::policy::NamedPolicy;

/// Each policy against the first one in the mode that ran the most, in a line each.
pub fn verdicts(runs: &[RunReport], baseline: Option<&NamedPolicy>) -> Vec<String> {
    let mut lines = of_targets(runs);
    lines.extend(of_policies(runs, baseline));
    lines
}

/// Each router that ran elsewhere against the first of them.
fn of_targets(runs: &[RunReport]) -> Vec<String> {
    let mut all = runs.iter().filter(|run| run.target.is_some());
    let Some(first) = all.next() else { return Vec::new() };
    all.map(|run| verdict(first, run)).collect()
}

fn of_policies(runs: &[RunReport], baseline: Option<&NamedPolicy>) -> Vec<String> {
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
    let (old, new) = (&from.figures, &to.figures);
    let hits = old.hit_rate.zip(new.hit_rate).map(|(old, new)| (new - old) * 100.0);
    let hits = hits.map_or_else(|| "-".to_owned(), |points| format!("{points:+.1} points"));
    let ttft = old.ttft_s.zip(new.ttft_s).filter(|(old, _)| old.mean > 0.0);
    let ttft = ttft.map(|(old, new)| (new.mean / old.mean - 1.0) * 100.0);
    let ttft = ttft.map_or_else(|| "-".to_owned(), |change| format!("{change:+.0} %"));
    let marked = if from.valid && to.valid { "" } else { " (! not valid)" };
    format!("hit rate {hits}, mean TTFT {ttft}{marked}")
}
