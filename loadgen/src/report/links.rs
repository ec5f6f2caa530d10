//! The load of the links behind HBM as a table.

use super::layout::{align, over_seeds, plain, trimmed};
use crate::figures::{EngineFigures, RunReport};

/// The share of the time in which a link carries anything. None: the run has no such link.
type Busy = Box<dyn Fn(&EngineFigures) -> Option<f64>>;

/// One row per policy, variant and rate, over all seeds. Empty for HBM alone, and for live runs.
pub fn render(runs: &[RunReport]) -> String {
    let columns = columns(runs);
    if columns.is_empty() {
        return String::new();
    }
    let mut header = vec!["links busy %", "mode", "rate"];
    header.extend(columns.iter().map(|(name, _)| name.as_str()));
    let mut table = plain(&header);
    for group in over_seeds(runs) {
        let engines: Option<Vec<&EngineFigures>> =
            group.iter().map(|run| run.engine.as_ref()).collect();
        let Some(engines) = engines else { continue };
        let first = group[0];
        let mut cells =
            vec![first.label(), first.mode.name().to_owned(), first.rate_scale.to_string()];
        cells.extend(columns.iter().map(|(_, busy)| mean(&engines, busy)));
        table.add_row(cells);
    }
    align(&mut table, 2);
    format!(
        "\n{}Part of the time in which anything was on its way: from a tier to its worker, out of the pool, out of a \
         worker to its peers; mean over workers.\n",
        trimmed(&table)
    )
}

fn columns(runs: &[RunReport]) -> Vec<(String, Busy)> {
    let engines = || runs.iter().filter_map(|run| run.engine.as_ref());
    let mut columns: Vec<(String, Busy)> = Vec::new();
    for tier in engines().flat_map(|engine| &engine.tiers) {
        if columns.iter().all(|(name, _)| *name != tier.name) {
            let name = tier.name.clone();
            let busy = move |engine: &EngineFigures| {
                let tier = engine.tiers.iter().find(|tier| tier.name == name)?;
                Some(tier.load_link_utilisation)
            };
            columns.push((tier.name.clone(), Box::new(busy)));
        }
    }
    let pool = |engine: &EngineFigures| Some(engine.pool.as_ref()?.link_utilisation);
    let peers = |engine: &EngineFigures| Some(engine.peers?.link_utilisation);
    let others: [(&str, Busy); 2] = [("pool", Box::new(pool)), ("peers", Box::new(peers))];
    for (name, busy) in others {
        if engines().any(|engine| busy(engine).is_some()) {
            columns.push((name.to_owned(), busy));
        }
    }
    columns
}

fn mean(engines: &[&EngineFigures], busy: &Busy) -> String {
    let shares: Option<Vec<f64>> = engines.iter().map(|engine| busy(engine)).collect();
    shares.map_or_else(String::new, |shares| {
        format!("{:.1}", shares.iter().sum::<f64>() / shares.len() as f64 * 100.0)
    })
}
