//! The groups of a mixed fleet as a table.

use super::layout::{align, over_seeds, plain, trimmed};
use crate::figures::{GroupWork, HandoverFigures, LiveHandover, RunReport};
use warmpath_core::event::Role;

/// KV transfers of live runs, one line each.
fn live(runs: &[RunReport]) -> String {
    let line = |run: &RunReport| {
        let LiveHandover { requests, tokens, bytes } = run.live.as_ref()?.handover?;
        let (who, gb) = (run.label(), bytes as f64 / 1e9);
        Some(format!(
            "{who}, live: {gb:.1} GB of KV handed over for {requests} requests, {tokens} tokens.\n"
        ))
    };
    runs.iter().filter_map(line).collect()
}

/// One row per policy, mode, rate and group, as means over all seeds. Empty if the fleet has no
/// groups.
pub fn render(runs: &[RunReport]) -> String {
    let live = live(runs);
    let told = |run: &&RunReport| run.groups.iter().any(|group| group.work.is_some());
    let runs: Vec<&RunReport> = runs.iter().filter(told).collect();
    let mut header = vec![
        "group",
        "policy",
        "mode",
        "rate",
        "workers",
        "busy %",
        "prefill tokens",
        "output tokens",
    ];
    let hands_over = runs.iter().any(|run| hand_over(run).is_some());
    header.extend(if hands_over { &["handed GB", "link %", "waited s/req"][..] } else { &[] });
    let mut table = plain(&header);
    if runs.is_empty() {
        return live;
    }
    for alike in over_seeds(runs) {
        for i in 0..alike[0].groups.len() {
            table.add_row(row(&alike, i, hands_over));
        }
    }
    align(&mut table, 4);
    let legend =
        "Handed: KV to workers that answer, over links that were busy so long; waited: for it.\n";
    format!("{}{}{live}", trimmed(&table), if hands_over { legend } else { "" })
}

fn hand_over(run: &RunReport) -> Option<&HandoverFigures> {
    run.engine.as_ref()?.handover.as_ref()
}

/// The cells of one group, over runs that differ only in their seed.
fn row(runs: &[&RunReport], i: usize, hands_over: bool) -> Vec<String> {
    let (run, group) = (runs[0], &runs[0].groups[i]);
    let mean = |of: &dyn Fn(&GroupWork) -> f64| {
        let each = runs.iter().filter_map(|run| run.groups[i].work.as_ref().map(of));
        each.sum::<f64>() / runs.len() as f64
    };
    let name = match group.role {
        Role::Both => group.name.clone(),
        role => format!("{} ({})", group.name, role.name()),
    };
    let mut cells = vec![name, run.label(), run.mode.name().to_owned(), run.rate_scale.to_string()];
    cells.extend([
        group.workers.to_string(),
        format!("{:.1}", mean(&|work| work.utilisation * 100.0)),
        format!("{:.0}", mean(&|work| work.prefill_tokens as f64)),
        format!("{:.0}", mean(&|work| work.output_tokens as f64)),
    ]);
    if hands_over && group.role == Role::Decode {
        let waited = |run: &&RunReport| {
            hand_over(run).map_or(0.0, |h| h.wait_s) / run.figures.requests.max(1) as f64
        };
        let mean = runs.iter().map(waited).sum::<f64>() / runs.len() as f64;
        cells.extend([String::new(), String::new(), format!("{mean:.3}")]);
    } else if hands_over {
        cells.push(format!("{:.1}", mean(&|work| work.handed_over_bytes as f64 / 1e9)));
        cells.push(format!("{:.1}", mean(&|work| work.handover_link_utilisation * 100.0)));
    }
    cells
}
