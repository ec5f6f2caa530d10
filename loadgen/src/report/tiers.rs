//! Hit rate by where the blocks came from, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, known_mean, mean, over_seeds};
use crate::figures::{EngineFigures, RunReport};
use warmpath_core::id::{MAX_TIERS, ORIGINS};
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Value};

/// Names of the origins that are not a worker's own tiers, in their order.
const OTHERS: [&str; ORIGINS - MAX_TIERS] = ["pool", "peers"];

/// A row for each policy, variant, mode and rate; none where all runs have only HBM.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let from_others = |run: &RunReport| {
        let shares = run.figures.hit_rate_by_tier;
        shares.is_some_and(|shares| shares[MAX_TIERS..].iter().any(|&share| share > 0.0))
    };
    let shared = runs.iter().any(from_others);
    let form = form(&tiers(runs), shared);
    let mut sheet = form.sheet("Hit rate by origin").labels(3);
    if shared || runs.iter().any(|run| run.tiers.len() > 1) {
        over_seeds(runs).iter().for_each(|alike| sheet.push(form.row(alike)));
        sheet.note(
            "Loaded: from the workers' own tiers behind HBM; fetched: from pool and peers. Copies: \
             of each block, over the workers that hold it at the end.",
        );
        runs.iter().filter_map(failures).for_each(|line| sheet.note(line));
    }
    sheet
}

/// The sheet without rows, with a column for a tier in general.
pub fn blank() -> Sheet {
    form(&["TIER".to_owned()], true).sheet("Hit rate by origin")
}

/// Names of the tiers of all runs, those of the run with the most tiers first.
fn tiers(runs: &[RunReport]) -> Vec<String> {
    let most = runs.iter().max_by_key(|run| run.tiers.len());
    let mut names: Vec<String> = most.map(|run| run.tiers.clone()).unwrap_or_default();
    for name in runs.iter().flat_map(|run| &run.tiers) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn form<'a>(tiers: &[String], shared: bool) -> Form<'static, Alike<'a>> {
    let labels = [
        columns::label().of(|runs: &Alike<'_>| runs[0].label()),
        columns::mode().of(|runs: &Alike<'_>| runs[0].mode.name()),
        columns::rate().of(|runs: &Alike<'_>| runs[0].rate_scale),
    ];
    let own = tiers.iter().cloned().map(|name| {
        let column = origin(
            &name,
            format!("The part of the hit rate that lay in the workers' tier {name}."),
        );
        column.of(move |runs: &Alike<'_>| {
            let place = runs[0].tiers.iter().position(|tier| *tier == name);
            place.map_or(Value::Blank, |place| part(runs, place).into())
        })
    });
    let others = OTHERS.into_iter().zip(MAX_TIERS..ORIGINS).filter(|_| shared);
    let others = others.map(|(name, place)| {
        let column =
            origin(name, format!("The part of the hit rate that was fetched from {name}."));
        column.of(move |runs: &Alike<'_>| part(runs, place))
    });
    Form::new(labels.into_iter().chain(own).chain(others).chain(moved()))
}

fn origin(name: &str, meaning: String) -> Column {
    Column::number(format!("hit_rate_{name}"), name.to_owned(), "share", meaning)
        .under("hit %")
        .format(Format::percent(1))
}

/// None: a run answered no request.
fn part(runs: &[&RunReport], place: usize) -> Option<f64> {
    known_mean(runs, |run| run.figures.hit_rate_by_tier.map(|shares| shares[place]))
}

/// What crossed the links, which is known in virtual time.
fn moved<'a>() -> Vec<Field<'static, Alike<'a>>> {
    let loaded = "Bytes that workers loaded from their own tiers behind HBM.";
    let fetched = "Bytes that workers fetched from the pool and from peers.";
    let waited = "Time that a request waited on average for loads and fetches.";
    let copies = "Workers that hold a block at the end, mean over all blocks that are held.";
    vec![
        Column::number("loaded_bytes", "loaded GB", "bytes", loaded)
            .format(Format::gigabytes(1))
            .of(|runs: &Alike<'_>| of_engine(runs, |_, engine| loaded_bytes(engine))),
        Column::number("fetched_bytes", "fetched GB", "bytes", fetched)
            .format(Format::gigabytes(1))
            .of(|runs: &Alike<'_>| of_engine(runs, |_, engine| engine.fetched_bytes)),
        columns::seconds("load_wait_s", "waited s/req", waited).of(|runs: &Alike<'_>| {
            of_engine(runs, |run, engine| engine.load_wait_s / run.figures.requests as f64)
        }),
        Column::number("copies", "copies", "copies", copies).format(Format::digits(2)).of(
            |runs: &Alike<'_>| {
                of_engine(runs, |_, engine| {
                    engine.resident_copies as f64 / engine.resident_blocks as f64
                })
            },
        ),
    ]
}

fn loaded_bytes(engine: &EngineFigures) -> f64 {
    engine.tiers.iter().fold(0.0, |sum, tier| sum + tier.loaded_bytes)
}

/// Blank for live runs.
fn of_engine(runs: &[&RunReport], of: impl Fn(&RunReport, &EngineFigures) -> f64) -> Value {
    match runs[0].engine {
        Some(_) => {
            mean(runs, |run| run.engine.as_ref().map_or(0.0, |engine| of(run, engine))).into()
        }
        None => Value::Blank,
    }
}

/// Why fetches of a run failed, if any did.
fn failures(run: &RunReport) -> Option<String> {
    let engine = run.engine.as_ref().filter(|engine| engine.failed_fetches > 0)?;
    let by = engine.failed_fetches_by;
    let kinds =
        [("missing", by.missing), ("gone", by.gone), ("late", by.late), ("corrupt", by.corrupt)];
    let some = kinds.iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<_> = some.map(|(why, count)| format!("{count} {why}")).collect();
    let (all, kinds) = (engine.failed_fetches, kinds.join(", "));
    Some(format!("{}, {}: {all} fetches failed: {kinds}.", run.label(), run.mode.name()))
}
