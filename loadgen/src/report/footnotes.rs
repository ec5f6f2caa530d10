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
    for runs in over_seeds(runs.iter().filter(|run| run.figures.errors > 0)) {
        notes.extend(failures(&runs));
    }
    notes
}

/// Why runs that differ in their seed are not valid: the reason of the first, and how many there are.
fn not_valid(runs: &Alike<'_>) -> String {
    let first = runs[0];
    let who = first.policy.as_ref().map_or_else(String::new, |_| format!("{} ", first.label()));
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

/// A line for each reason why requests failed, over the runs of a policy that differ in their seed.
fn failures(runs: &Alike<'_>) -> Vec<String> {
    let first = runs[0];
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in runs.iter().flat_map(|run| &run.figures.errors_by_reason) {
        *counts.entry(reason).or_default() += count;
    }
    let who = first.policy.as_ref().map_or_else(String::new, |_| format!("{} ", first.label()));
    let at = match runs.len() {
        1 => String::new(),
        seeds => format!(" at {}x, {seeds} seeds", first.rate_scale),
    };
    let offered: u64 = runs.iter().map(|run| run.figures.offered).sum();
    let mode = first.mode.name();
    let line = |(reason, count)| {
        format!("{who}{mode}{at}: {count} of {offered} requests failed: {reason}")
    };
    let mut lines: Vec<String> = counts.into_iter().map(line).collect();
    let live = runs.iter().find_map(|run| run.live.as_ref()?.failures.first());
    if let Some((failure, last)) = live.zip(lines.last_mut()) {
        *last += &format!(" (first: {failure})");
    }
    lines
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
