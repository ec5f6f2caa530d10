//! All that a person reads of a command's runs.

use super::{
    bounds, capacities, classes, course, devices, economics, footnotes, grid, groups, links,
    owners, ranking, rooms, runs, signs, stages, targets, tiers, verdicts,
};
use crate::figures::{Mode, Results, RunReport};
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_sheet::{Page, Sheet};

/// Single runs or a grid, then the tables that some runs have, then what the figures rest on.
pub fn page(title: &str, results: &Results, slo: &Slo, baseline: Option<&NamedPolicy>) -> Page {
    let all = &results.runs;
    let is_grid = !results.comparisons.is_empty();
    let single = |run: &&RunReport| !is_grid || run.mode != Mode::Sim;
    let singles: Vec<&RunReport> = all.iter().filter(single).collect();
    let mut page = Page::default();
    page.sheet(runs::table(title, &singles));
    if is_grid {
        // The title stands above the first table alone.
        let above = if singles.is_empty() { title } else { "" };
        let ranking = ranking::sheet(above, &results.comparisons);
        let is_ranked = !ranking.is_empty();
        page.sheet(ranking);
        let above = if is_ranked { "Each policy at each rate" } else { above };
        page.sheet(grid::sheet(above, &results.comparisons));
    }
    page.sheet(targets::sheet(all));
    let tables =
        [groups::sheet, tiers::sheet, links::sheet, devices::sheet, classes::sheet, stages::sheet];
    tables.into_iter().for_each(|sheet| page.sheet(sheet(all)));
    page.sheet(bounds::sheet(all));
    course::sheets(all).into_iter().for_each(|sheet| page.sheet(sheet));
    page.sheet(economics::sheet(all));
    if results.by_owner {
        page.sheet(owners::sheet(all));
    }
    if !results.capacities.is_empty() {
        page.sheet(capacities::sheet(&results.capacities));
        page.sheet(rooms::sheet(&results.capacities));
    }
    let within = format!(
        "Within the SLO (good): TTFT up to {} s and TPOT up to {} ms.",
        slo.ttft_s,
        slo.tpot_s * 1e3
    );
    let mut lines = vec![within];
    lines.extend(footnotes::footnotes(all));
    lines.extend(signs::signs(all));
    lines.extend(results.notes.iter().cloned());
    if !is_grid {
        lines.extend(verdicts::verdicts(all, baseline));
    }
    page.prose(lines);
    page
}

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    let mut blanks = vec![
        runs::blank(),
        targets::blank(),
        ranking::blank(),
        grid::blank(),
        bounds::blank(),
        groups::blank(),
        tiers::blank(),
        links::blank(),
        devices::blank(),
        classes::blank(),
        stages::blank(),
        economics::blank(),
        owners::blank(),
        capacities::blank(),
        rooms::blank(),
    ];
    blanks.extend(course::blanks());
    blanks
}
