//! Reports as HTML: what a document says beside its tables. The crate `html` draws it.

mod answer;
mod bars;
mod course;
mod distributions;
mod loads;
mod memories;
mod slowest;
mod tunings;

use super::entries::{Entry, chosen, compared, entries, focus, main_mode};
use crate::figures::{Results, RunReport};
pub use loads::rooms_of;
use std::collections::BTreeSet;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::Document;
use warmpath_launch::version::VERSION;
use warmpath_sheet::{Page, Part};

/// A document that has the tables of a page, and its first line as title.
pub fn of_page(page: &Page) -> Document {
    let first = page.parts.iter().find_map(|part| match part {
        Part::Sheet(sheet) => Some(sheet.title.trim_end_matches(':')),
        Part::Prose(lines) => lines.first().map(String::as_str),
    });
    let title = first.filter(|title| !title.is_empty()).unwrap_or("loadgen").to_owned();
    Document { title, page: page.clone(), ..Document::default() }
}

/// The SLO in one sentence.
pub fn facts_of_slo(slo: &Slo) -> String {
    format!("SLO: TTFT up to {} s, TPOT up to {} ms.", slo.ttft_s, slo.tpot_s * 1e3)
}

/// What made a report: the command line, and the program.
pub fn made() -> Vec<(String, String)> {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    let command = std::iter::once("loadgen".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![pair("Command", command), pair("Program", format!("warmpath loadgen {VERSION}"))]
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=,@%+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Adds what the runs of a command say: the answer in words, and all plots that they have data for.
pub fn add_runs(
    document: &mut Document,
    title: &str,
    results: &Results,
    slo: &Slo,
    baseline: Option<&NamedPolicy>,
) {
    let own = compared(results, baseline);
    let all = entries(results, &own);
    let Some(rate) = focus(&all) else { return };
    let at_focus: Vec<&Entry> = all.iter().filter(|entry| entry.rate == rate).collect();
    document.title = title.to_owned();
    document.asked = answer::asked(results, &all, rate, slo);
    document.answer = answer::answer(results, &all, &at_focus, baseline);
    document.answer.facts.extend(tunings::facts(&results.tunings));
    let shown = chosen(&at_focus, baseline);
    let note = note(results, &shown, rate, at_focus.len());
    if !results.tunings.is_empty() {
        document.section("What was tried", "", tunings::plots(&results.tunings));
    }
    let mut first = distributions::plots(&shown, slo, results);
    first.extend(bars::plots(&shown));
    document.section("Latency and cache hits", &note, first);
    let mut loads = loads::plots(results, &all, baseline);
    loads.push(bars::costs(&shown));
    document.section("Load, capacity and cost", "", loads);
    document.section("Over time", &note, course::plots(&shown));
    document.section("Memories and links", &note, memories::plots(&shown, baseline));
    document.section("Slowest requests", &note, slowest::plots(&shown, baseline));
    document.made.extend(rests_on(&results.runs, slo));
}

/// Which runs plots show.
fn note(results: &Results, shown: &[&Entry], rate: f64, all: usize) -> String {
    let seed = shown.first().map_or(0, |entry| entry.runs[0].seed);
    let mode = main_mode(results).name();
    let which = match all - shown.len() {
        0 => String::new(),
        _ => format!(
            " The {} of {all} policies with the lowest mean TTFT, and the baseline.",
            shown.len()
        ),
    };
    format!("Runs: {mode}, {rate} times the workload's arrival rate, seed {seed}.{which}")
}

/// The profiles and seeds of the runs.
fn rests_on(runs: &[RunReport], slo: &Slo) -> Vec<(String, String)> {
    let mut made = Vec::new();
    let mut add = |name: &str, value: String| made.push((name.to_owned(), value));
    let workloads: BTreeSet<&str> = runs.iter().map(|run| run.workload.as_str()).collect();
    add("Workload", workloads.into_iter().collect::<Vec<_>>().join(", "));
    let profiles: BTreeSet<String> = runs.iter().filter_map(standing).collect();
    if !profiles.is_empty() {
        add("Step times", profiles.into_iter().collect::<Vec<_>>().join("; "));
    }
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    let ends = seeds.first().zip(seeds.last());
    add(
        "Seeds",
        match ends {
            Some((first, last)) if first != last => format!("{first} to {last}"),
            Some((only, _)) => only.to_string(),
            None => "none".to_owned(),
        },
    );
    add("SLO", format!("TTFT up to {} s, TPOT up to {} ms", slo.ttft_s, slo.tpot_s * 1e3));
    made
}

fn standing(run: &RunReport) -> Option<String> {
    let (name, standing) = (run.profile.as_ref()?, run.profile_standing.as_ref()?);
    let because = &standing.because;
    Some(match (standing.validated, standing.band_percent) {
        (true, Some(band)) => format!("{name}: within {band:.0} % in 95 of 100 steps ({because})"),
        (true, None) => format!("{name}: its file says that it was validated"),
        (false, Some(band)) => format!("{name}: unvalidated, up to {band:.0} % off ({because})"),
        (false, None) => format!("{name}: unvalidated; compare rows with each other only"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        assert_eq!(quoted("--rates=1,2"), "--rates=1,2");
        assert_eq!(quoted("a b(c=1)"), "'a b(c=1)'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
