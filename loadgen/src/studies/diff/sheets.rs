//! Two reports as tables: the rows that both have, and the settings that differ.

use super::read::{Run, Settings, Side};
use super::rows::{Figure, Pair, alone, not_comparable};
use crate::figures::Estimate;
use warmpath_sheet::{Column, Field, Form, Format, Page, Sheet, Style, Value};

const TITLE: &str = "Differences, row by row";
const SETTINGS: &str = "Settings that differ";
/// Settings are shown up to this number.
const MOST_SETTINGS: usize = 40;

pub const TTFT: Figure = |run: &Run| run.ttft_s?.mean;
pub const HITS: Figure = |run: &Run| run.hit_rate;
pub const GOODPUT: Figure = |run: &Run| run.goodput_requests_per_s;

/// In percent of the first.
pub fn percent(before: f64, after: f64) -> f64 {
    if before == after { 0.0 } else { (after / before - 1.0) * 100.0 }
}

/// In points of percent.
fn points(before: f64, after: f64) -> f64 {
    (after - before) * 100.0
}

/// What a person reads.
pub fn page(before: &Side, after: &Side, pairs: &[Pair<'_>]) -> Page {
    let mut page = Page::default();
    page.prose([format!("A: {}; B: {}", before.name, after.name)]);
    let why = not_comparable(before, after);
    page.prose(why.iter().map(|why| format!("! Not comparable: {why}.")));
    let form = form();
    let mut sheet = form.sheet(TITLE).labels(3);
    pairs.iter().for_each(|pair| sheet.push(form.row(pair)));
    sheet.note(
        "B less A: of hit rates and shares in points, of all others in percent of A. With several seeds: seed by seed, \
         with 95 % intervals; \"?\": it holds 0, or there is one seed. A ! marks rows of runs that are not valid.",
    );
    for (side, name) in [(before, "A"), (after, "B")] {
        let rows = alone(side, pairs);
        if !rows.is_empty() {
            sheet.note(format!("Only in {name}: {}.", rows.join("; ")));
        }
    }
    page.sheet(sheet);
    page.sheet(settings(&before.settings, &after.settings));
    page
}

/// The sheets without rows.
pub fn blanks() -> Vec<Sheet> {
    vec![form().sheet(TITLE), settings_form().sheet(SETTINGS)]
}

fn form<'a>() -> Form<'static, Pair<'a>> {
    let mut fields: Vec<Field<'static, Pair<'a>>> = vec![
        Column::text("label", "policy", "The policy, and the variant if there are several.")
            .of(|pair: &Pair<'_>| pair.name.clone()),
        Column::text("mode", "mode", "Live or simulated; a ! marks runs that are not valid.").of(
            |pair: &Pair<'_>| format!("{}{}", pair.mode, if pair.is_valid() { "" } else { " !" }),
        ),
        Column::number("rate_scale", "rate", "ratio", "Factor for the workload's arrival rate.")
            .format(Format::PLAIN.suffix("x"))
            .of(|pair: &Pair<'_>| pair.rate_scale),
    ];
    let share = (Format::percent(1), "share", points as fn(f64, f64) -> f64, "points", "%");
    let seconds = (Format::of(Style::Seconds), "s", percent as fn(f64, f64) -> f64, "%", "s");
    let rate = (Format::digits(2), "requests/s", percent as fn(f64, f64) -> f64, "%", "/s");
    let tpot = (Format::milliseconds(1), "s", percent as fn(f64, f64) -> f64, "%", "ms");
    let figures: [(&str, &str, &str, Figure, _); 8] = [
        ("hit_rate", "hit", "Cached prompt tokens divided by all of them", HITS, share),
        ("ttft_mean_s", "TTFT", "Mean time to first token", TTFT, seconds),
        (
            "ttft_p99_s",
            "TTFT p99",
            "99th percentile of the time to first token",
            |run| run.ttft_s?.p99,
            seconds,
        ),
        ("tpot_mean_s", "TPOT", "Mean time per further token", |run| run.tpot_s?.mean, tpot),
        ("e2e_mean_s", "E2E", "Mean time to the last token", |run| run.e2e_s?.mean, seconds),
        ("goodput_requests_per_s", "good", "Requests a second within the SLO", GOODPUT, rate),
        (
            "within_slo",
            "in SLO",
            "Requests within the SLO divided by those sent",
            |run| run.within_slo,
            share,
        ),
        (
            "errors",
            "failed",
            "Failed requests divided by those sent",
            |run| Some(run.errors as f64 / run.offered.max(1) as f64),
            share,
        ),
    ];
    for (key, heading, meaning, of, (format, unit, difference, of_change, shown)) in figures {
        let group = format!("{heading} {shown}");
        let side = |end: &str, name: &str| {
            Column::number(
                format!("{key}_{end}"),
                name.to_owned(),
                unit,
                format!("{meaning}, in {name}."),
            )
            .format(format)
            .under(group.clone())
        };
        fields.push(side("a", "A").of(move |pair: &Pair<'_>| pair.means(of).0));
        fields.push(side("b", "B").of(move |pair: &Pair<'_>| pair.means(of).1));
        let meaning = format!("{meaning}: B less A, in {of_change}.");
        fields.push(
            Column::number(format!("{key}_change"), format!("B-A {of_change}"), of_change, meaning)
                .format(Format::of(Style::Change(1)))
                .interval()
                .under(group)
                .of(move |pair: &Pair<'_>| change(pair.change(of, difference))),
        );
    }
    Form::new(fields)
}

fn change(estimate: Option<Estimate>) -> Value {
    // A difference of exactly nothing is told.
    estimate.map_or(Value::Absent, |one| match one.mean {
        0.0 => 0.0.into(),
        mean => Value::interval(mean, one.half_width_95),
    })
}

/// A setting, and its value in both.
type Setting = (String, String, String);

fn settings_form() -> Form<'static, Setting> {
    Form::new([
        Column::text("setting", "setting", "Its path in the configuration of the report.")
            .of(|(key, ..): &Setting| key.clone()),
        Column::text("a", "A", "Its value in the first report.")
            .wraps()
            .of(|s: &Setting| s.1.clone()),
        Column::text("b", "B", "Its value in the second report.")
            .wraps()
            .of(|s: &Setting| s.2.clone()),
    ])
}

/// The settings that differ.
pub fn settings(before: &Settings, after: &Settings) -> Sheet {
    let form = settings_form();
    let mut sheet = form.sheet(SETTINGS);
    let keys = before.keys().chain(after.keys());
    let keys: std::collections::BTreeSet<&String> = keys.collect();
    let value =
        |side: &Settings, key: &str| side.get(key).cloned().unwrap_or_else(|| "-".to_owned());
    let differ: Vec<Setting> = keys
        .into_iter()
        .map(|key| (key.clone(), value(before, key), value(after, key)))
        .filter(|(_, one, other)| one != other)
        .collect();
    differ.iter().take(MOST_SETTINGS).for_each(|row| sheet.push(form.row(row)));
    match differ.len().checked_sub(MOST_SETTINGS) {
        Some(more) if more > 0 => sheet.note(format!("{more} more settings differ.")),
        _ if differ.is_empty() => sheet.note("All settings are the same."),
        _ => {}
    }
    sheet
}
