//! The lines below the tables: the basis of the figures, and what went wrong.

use super::over_seeds::{Alike, over_seeds};
use crate::figures::RunReport;
use std::collections::BTreeMap;
use warmpath_core::engine::physics::Validation;

pub fn footnotes(runs: &[RunReport]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(run) = runs.iter().find(|run| run.profile_standing.is_some()) {
        let name = run.profile.as_deref().unwrap_or_default();
        let standing = run.profile_standing.as_ref().expect("looked for");
        notes.extend(rests_on(name, standing, run.profile_hbm_tokens_computed));
    }
    let mut named: Vec<&str> = Vec::new();
    for group in runs.first().iter().flat_map(|run| &run.groups) {
        if !named.contains(&group.profile.as_str()) {
            let computed = group.profile_hbm_tokens_computed;
            notes.extend(rests_on(&group.profile, &group.profile_standing, computed));
            named.push(&group.profile);
        }
    }
    notes.extend(over_seeds(runs.iter().filter(|run| !run.valid)).iter().map(not_valid));
    if runs.iter().any(|run| run.profile.is_none()) {
        notes.push("Engine times are those of the engines behind the target.".to_owned());
    }
    let failed: Vec<&RunReport> = runs.iter().filter(|run| run.figures.errors > 0).collect();
    notes.extend(failures(&failed));
    if runs.iter().any(|run| run.figures.refused > 0) {
        let why = "Requests that could not be served in time were refused. Times are of answered requests \
                   only, so compare what was good (in SLO, good req/s) rather than times.";
        notes.push(why.to_owned());
    }
    notes
}

/// Why runs that differ in their seed are not valid: the reason of the first, and how many there are.
fn not_valid(runs: &Alike<'_>) -> String {
    let first = runs[0];
    let who = who(first);
    let why = first.invalid_because.as_deref().unwrap_or("unknown");
    let mode = first.mode.name();
    match runs.len() {
        1 => format!("! {who}{mode} is not valid: {why}"),
        seeds => format!(
            "! {who}{mode} at {}x is not valid with {seeds} seeds; with seed {}: {why}",
            first.rate_scale, first.seed
        ),
    }
}

/// The name of a run, where there may be several.
fn who(run: &RunReport) -> String {
    let is_named = run.policy.is_some() || run.target.is_some();
    if is_named { format!("{} ", run.label()) } else { String::new() }
}

/// A line for each reason why requests failed, with how many of each policy, mode and rate.
fn failures(runs: &[&RunReport]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for alike in over_seeds(runs.iter().copied()) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, count) in alike.iter().flat_map(|run| &run.figures.errors_by_reason) {
            *counts.entry(reason).or_default() += count;
        }
        let first = alike[0];
        let who = who(first);
        let at = match alike.len() {
            1 => String::new(),
            seeds => format!(" at {}x, {seeds} seeds", first.rate_scale),
        };
        let offered: u64 = alike.iter().map(|run| run.figures.offered).sum();
        for (reason, count) in counts {
            let of = format!("{who}{}{at} {count} of {offered}", first.mode.name());
            reasons.entry(reason).or_default().push(of);
        }
    }
    // An example stands behind its own reason.
    let example =
        |reason: &str| runs.iter().find_map(|run| run.live.as_ref()?.first_failures.get(reason));
    let line = |(reason, who): (&str, Vec<String>)| {
        let first = example(reason).map_or_else(String::new, |first| format!(" (first: {first})"));
        format!("Requests failed: {reason}{first}: {}", who.join("; "))
    };
    reasons.into_iter().map(line).collect()
}

/// How far a profile's times can be believed.
fn rests_on(name: &str, standing: &Validation, hbm_tokens_computed: Option<u64>) -> Vec<String> {
    let Validation { validated, band_percent, because } = standing;
    let note = match (validated, band_percent) {
        (true, Some(band)) => format!(
            "Profile {name}: step times within {band:.0} % in 95 of 100 steps ({because}). \
             `loadgen fidelity` holds all of it against measurements."
        ),
        (true, None) => format!("Profile {name}: its file says that it was validated."),
        (false, Some(band)) => format!(
            "Profile {name}: unvalidated, step times may be {band:.0} % off either way ({because}); \
             compare rows with each other, not with a real fleet."
        ),
        (false, None) => format!(
            "Profile {name}: unvalidated. Its times were not held against measurements; compare \
             rows with each other, not with a real fleet."
        ),
    };
    let room = hbm_tokens_computed.map(|computed| {
        format!("Profile {name}: room for KV was given; memory less weights would leave {computed} tokens.")
    });
    [note].into_iter().chain(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{LiveFigures, Mode, Profiles, RunId};
    use warmpath_core::report::{Recorder, Slo};

    #[test]
    fn an_example_stands_behind_its_own_reason() {
        let mut figures = Recorder::default().figures(16, 1, &Slo { ttft_s: 1.0, tpot_s: 1.0 });
        (figures.offered, figures.errors) = (150, 28);
        let reasons = [("Unavailable", 20), ("Unknown", 8)];
        figures.errors_by_reason = reasons.map(|(why, count)| (why.to_owned(), count)).into();
        let first = [("Unavailable", "r-1: worker w0"), ("Unknown", "r-9: h2 protocol error")];
        let live = LiveFigures {
            send_lateness_s: None,
            worker_lateness_s: None,
            pool_lateness_s: None,
            router_overhead_s: None,
            kv_transfer: None,
            workers: 1,
            failures: vec!["r-1: worker w0".to_owned()],
            first_failures: first.map(|(why, what)| (why.to_owned(), what.to_owned())).into(),
            tier_names: Vec::new(),
            interrupted: false,
            slowest: None,
        };
        let id = RunId {
            policy: None,
            variant: None,
            mode: Mode::Live,
            workload: "by hand".to_owned(),
            seed: 1,
            rate_scale: 1.0,
        };
        let run = RunReport::new(id, Profiles::default(), figures, 0.0);
        let run = run.with_live(live, 1.0, Vec::new(), None);
        assert_eq!(
            failures(&[&run]),
            [
                "Requests failed: Unavailable (first: r-1: worker w0): live 20 of 150",
                "Requests failed: Unknown (first: r-9: h2 protocol error): live 8 of 150",
            ]
        );
    }
}
