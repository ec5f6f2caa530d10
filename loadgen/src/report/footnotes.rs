//! The lines below the tables: the basis of the figures, and what went wrong.

use crate::figures::RunReport;
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
    for run in runs.iter().filter(|run| !run.valid) {
        let who = run.policy.as_ref().map_or_else(String::new, |_| format!("{} ", run.label()));
        let why = run.invalid_because.as_deref().unwrap_or("unknown");
        notes.push(format!("! {who}{} is not valid: {why}", run.mode.name()));
    }
    if runs.iter().any(|run| run.profile.is_none()) {
        notes.push("Engine times are those of the engines behind the target.".to_owned());
    }
    for run in runs.iter().filter(|run| run.figures.errors > 0) {
        let who = run.policy.as_ref().map_or_else(String::new, |_| format!("{} ", run.label()));
        for (reason, count) in &run.figures.errors_by_reason {
            let (mode, offered) = (run.mode.name(), run.figures.offered);
            notes.push(format!("{who}{mode}: {count} of {offered} requests failed: {reason}"));
        }
        if let Some(first) = run.live.as_ref().and_then(|live| live.failures.first())
            && let Some(last) = notes.last_mut()
        {
            *last += &format!(" (first: {first})");
        }
    }
    notes
}

/// How far a profile's times can be believed.
fn rests_on(name: &str, standing: &Validation, hbm_tokens_computed: Option<u64>) -> Vec<String> {
    let Validation { validated, band_percent, because } = standing;
    let note = match (validated, band_percent) {
        (true, Some(band)) => format!(
            "Profile {name}: step times within {band:.0} % in 95 of 100 steps ({because}); prefill \
             behind a cached prefix is modelled. `loadgen fidelity` holds all of it against \
             measurements."
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
