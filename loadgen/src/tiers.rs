//! Hit rate by tier, as a table of its own: only runs with tiers behind HBM have one.

use crate::results::{Mode, RunReport};
use crate::table::{align, plain, trimmed};

/// One row a policy, mode and rate, over all seeds; nothing where there is only HBM.
pub fn render(runs: &[RunReport]) -> String {
    let Some(most) = runs.iter().max_by_key(|run| run.tiers.len()) else { return String::new() };
    if most.tiers.len() < 2 {
        return String::new();
    }
    let mut header = vec!["hit % by tier".to_owned(), "mode".to_owned(), "rate".to_owned()];
    header.extend(most.tiers.iter().cloned());
    for behind in &most.tiers[1..] {
        header.push(format!("{behind} loaded GB"));
        header.push("link busy %".to_owned());
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = plain(&header);
    let mut done: Vec<(Option<_>, Mode, f64)> = Vec::new();
    for run in runs {
        let key = (run.policy, run.mode, run.rate_scale);
        if !done.contains(&key) {
            done.push(key);
            let same = |other: &&RunReport| (other.policy, other.mode, other.rate_scale) == key;
            table.add_row(row(&runs.iter().filter(same).collect::<Vec<_>>(), most.tiers.len()));
        }
    }
    align(&mut table, 2);
    trimmed(&table)
}

fn row(runs: &[&RunReport], tiers: usize) -> Vec<String> {
    let mean = |of: &dyn Fn(&RunReport) -> f64| {
        runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64
    };
    let first = runs[0];
    let policy = first.policy.map_or_else(|| "(the target's)".to_owned(), |p| p.to_string());
    let mut cells = vec![policy, first.mode.name().to_owned(), first.rate_scale.to_string()];
    for tier in 0..tiers {
        let percent = mean(&|run| run.figures.hit_rate_by_tier[tier] * 100.0);
        cells.push(format!("{percent:.1}"));
    }
    for behind in 0..tiers - 1 {
        let of = |run: &RunReport, what: fn(&crate::results::TierFigures) -> f64| {
            run.engine.as_ref().and_then(|engine| engine.tiers.get(behind)).map_or(0.0, what)
        };
        if first.engine.is_none() {
            cells.extend([String::new(), String::new()]);
            continue;
        }
        cells.push(format!("{:.1}", mean(&|run| of(run, |tier| tier.loaded_bytes)) / 1e9));
        let busy = mean(&|run| of(run, |tier| tier.load_link_utilisation)) * 100.0;
        cells.push(format!("{busy:.1}"));
    }
    cells
}
