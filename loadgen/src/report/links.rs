//! How busy the links behind HBM are, means over all seeds.

use super::columns;
use super::over_seeds::{Alike, mean, over_seeds};
use crate::figures::{EngineFigures, RunReport};
use warmpath_sheet::{Column, Form, Format, Sheet, Value};

/// The share of the time in which a link carries anything. None: the run has no such link.
type Busy = Box<dyn Fn(&EngineFigures) -> Option<f64>>;

/// A row for each policy, variant and rate in virtual time; none where there is only HBM.
pub fn sheet(runs: &[RunReport]) -> Sheet {
    let form = form(links(runs));
    let mut sheet = form.sheet("Links busy, in %").labels(3);
    let simulated = |alike: &&Alike<'_>| alike.iter().all(|run| run.engine.is_some());
    if !links(runs).is_empty() {
        over_seeds(runs).iter().filter(simulated).for_each(|alike| sheet.push(form.row(alike)));
        sheet.note(
            "Part of the time in which anything was on its way: from a tier to its worker, out of the \
             pool, out of a worker to its peers; mean over workers.",
        );
    }
    sheet
}

/// The sheet without rows, with a column for a tier in general.
pub fn blank() -> Sheet {
    let none = || -> Busy { Box::new(|_| None) };
    let links = ["TIER", "pool", "peers"].map(|name| (name.to_owned(), none()));
    form(links.into_iter().collect()).sheet("Links busy, in %")
}

fn form<'a>(links: Vec<(String, Busy)>) -> Form<'static, Alike<'a>> {
    let link = |(name, busy): (String, Busy)| {
        let meaning = match name.as_str() {
            "pool" => "Share of the time in which the pool sent anything.".to_owned(),
            "peers" => "Share of the time in which a worker sent anything to its peers.".to_owned(),
            tier => format!("Share of the time in which a worker loaded from its tier {tier}."),
        };
        Column::number(format!("{name}_link_utilisation"), name, "share", meaning)
            .format(Format::percent(1))
            .of(move |runs: &Alike<'_>| of_all(runs, &busy))
    };
    let labels = [
        columns::label().of(|runs: &Alike<'_>| runs[0].label()),
        columns::mode().of(|runs: &Alike<'_>| runs[0].mode.name()),
        columns::rate().of(|runs: &Alike<'_>| runs[0].rate_scale),
    ];
    Form::new(labels.into_iter().chain(links.into_iter().map(link)))
}

/// Links that any run has, with their names.
fn links(runs: &[RunReport]) -> Vec<(String, Busy)> {
    let engines = || runs.iter().filter_map(|run| run.engine.as_ref());
    let mut links: Vec<(String, Busy)> = Vec::new();
    for tier in engines().flat_map(|engine| &engine.tiers) {
        if links.iter().all(|(name, _)| *name != tier.name) {
            let name = tier.name.clone();
            let busy = move |engine: &EngineFigures| {
                let tier = engine.tiers.iter().find(|tier| tier.name == name)?;
                Some(tier.load_link_utilisation)
            };
            links.push((tier.name.clone(), Box::new(busy)));
        }
    }
    let pool = |engine: &EngineFigures| Some(engine.pool.as_ref()?.link_utilisation);
    let peers = |engine: &EngineFigures| Some(engine.peers?.link_utilisation);
    let others: [(&str, Busy); 2] = [("pool", Box::new(pool)), ("peers", Box::new(peers))];
    for (name, busy) in others {
        if engines().any(|engine| busy(engine).is_some()) {
            links.push((name.to_owned(), busy));
        }
    }
    links
}

/// Blank where a run has no such link.
fn of_all(runs: &[&RunReport], busy: &Busy) -> Value {
    let of = |run: &RunReport| run.engine.as_ref().and_then(busy);
    match runs.iter().all(|run| of(run).is_some()) {
        true => mean(runs, |run| of(run).unwrap_or_default()).into(),
        false => Value::Blank,
    }
}
