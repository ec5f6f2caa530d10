//! The tables of the ranking.

use super::cells::{Cell, Figures};
use warmpath_core::routing::policy::{Group, PolicyConfig};
use warmpath_sheet::{Column, Form, Format, Sheet, Style};

/// Policies whose E2E is worse than another's by less than this are its rivals by TTFT.
const RIVAL_E2E: f64 = 1.05;

/// One policy over all cells.
#[derive(Clone, Debug)]
struct Row {
    policy: String,
    cells: usize,
    first: usize,
    ttft: f64,
    ttft_worst: f64,
    e2e: f64,
    goodput: f64,
}

/// A cell where the chosen policy is behind.
#[derive(Clone, Debug)]
struct Behind {
    report: String,
    rate: f64,
    figure: &'static str,
    own: f64,
    by: String,
    other: f64,
    e2e: f64,
}

/// Each policy over all cells, the best mean TTFT first. `within`: how far behind the best a policy
/// still counts as first, in percent.
pub fn standing(cells: &[Cell], within: f64) -> Sheet {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in cells.iter().flat_map(|cell| &cell.policies) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut rows: Vec<Row> = names.into_iter().map(|name| row(cells, name, within)).collect();
    rows.sort_by(|one, other| one.ttft.total_cmp(&other.ttft));
    let form = standing_form();
    let mut sheet = form.sheet(format!("Over {} cells", cells.len()));
    rows.iter().for_each(|row| sheet.push(form.row(row)));
    sheet.note(format!(
        "A cell is a report at a rate. Ratios are to the cell's best, as geometric means. First: \
         within {within} % of the best mean TTFT."
    ));
    sheet
}

fn row(cells: &[Cell], name: &str, within: f64) -> Row {
    let mut row = Row {
        policy: name.to_owned(),
        cells: 0,
        first: 0,
        ttft: 0.0,
        ttft_worst: 0.0,
        e2e: 0.0,
        goodput: 0.0,
    };
    let mut with_goodput = 0;
    for cell in cells {
        let Some(own) = of(cell, name) else { continue };
        let least = |figure: fn(&Figures) -> f64| {
            cell.policies.iter().map(|(_, of)| figure(of)).fold(f64::INFINITY, f64::min)
        };
        let ttft = own.ttft_mean_s / least(|of| of.ttft_mean_s);
        row.cells += 1;
        row.first += usize::from(ttft <= 1.0 + within / 100.0);
        row.ttft += ttft.ln();
        row.ttft_worst = row.ttft_worst.max(ttft);
        row.e2e += (own.e2e_mean_s / least(|of| of.e2e_mean_s)).ln();
        let most = -least(|of| -of.goodput_per_s);
        // Where no policy keeps the SLO there is nothing to compare.
        if most > 0.0 && own.goodput_per_s > 0.0 {
            with_goodput += 1;
            row.goodput += (own.goodput_per_s / most).ln();
        }
    }
    let mean = |sum: f64, of: usize| (sum / of.max(1) as f64).exp();
    row.ttft = mean(row.ttft, row.cells);
    row.e2e = mean(row.e2e, row.cells);
    row.goodput = mean(row.goodput, with_goodput);
    row
}

fn of<'a>(cell: &'a Cell, name: &str) -> Option<&'a Figures> {
    cell.policies.iter().find(|(other, _)| other == name).map(|(_, figures)| figures)
}

/// Where a policy is behind by more than `within` percent: behind a naive policy in any figure, or behind
/// a rival in mean TTFT. A rival is a policy whose mean E2E is at most 5 % worse.
pub fn behind(cells: &[Cell], policy: &str, within: f64) -> Sheet {
    let form = behind_form();
    let mut sheet = form.sheet(format!("Where {policy} is behind by more than {within} %"));
    for cell in cells {
        let Some(own) = of(cell, policy) else { continue };
        let mut rows: Vec<Behind> = Vec::new();
        let others = || cell.policies.iter().filter(|(name, _)| name != policy);
        let mut weigh = |figure, of: fn(&Figures) -> f64, lower: bool, naive: bool| {
            let counts = |(name, other): &&(String, Figures)| match naive {
                true => is_naive(name),
                false => other.e2e_mean_s <= own.e2e_mean_s * RIVAL_E2E,
            };
            let better = |one: f64, other: f64| if lower { one < other } else { one > other };
            let Some((name, best)) = others()
                .filter(counts)
                .reduce(|one, other| if better(of(&other.1), of(&one.1)) { other } else { one })
            else {
                return;
            };
            let (mine, theirs) = (of(own), of(best));
            let ratio = if lower { mine / theirs } else { theirs / mine };
            if ratio > 1.0 + within / 100.0 {
                rows.push(Behind {
                    report: cell.report.clone(),
                    rate: cell.rate_scale,
                    figure,
                    own: mine,
                    by: name.clone(),
                    other: theirs,
                    e2e: (own.e2e_mean_s / best.e2e_mean_s - 1.0) * 100.0,
                });
            }
        };
        weigh("TTFT mean, rival", |of| of.ttft_mean_s, true, false);
        weigh("TTFT mean, naive", |of| of.ttft_mean_s, true, true);
        weigh("TTFT p99, naive", |of| of.ttft_p99_s, true, true);
        weigh("E2E mean, naive", |of| of.e2e_mean_s, true, true);
        weigh("goodput, naive", |of| of.goodput_per_s, false, true);
        sheet.begin_group();
        rows.iter().for_each(|row| sheet.push(form.row(row)));
    }
    if sheet.is_empty() {
        sheet.note(format!("{policy} is behind by more than {within} % in no cell."));
    }
    sheet
}

fn is_naive(label: &str) -> bool {
    let name = label.split('(').next().unwrap_or(label);
    PolicyConfig::catalogue().iter().any(|rule| rule.name == name && rule.group == Group::Naive)
}

fn standing_form() -> Form<'static, Row> {
    let number = |key, heading, unit, meaning| Column::number(key, heading, unit, meaning);
    let ratio =
        |key, heading, meaning| number(key, heading, "ratio", meaning).format(Format::digits(3));
    Form::new([
        Column::text("policy", "policy", "The policy.").of(|row: &Row| row.policy.clone()),
        number("cells", "cells", "cells", "Cells with figures of it.")
            .of(|row: &Row| row.cells as f64),
        number("first", "first", "cells", "Cells where it is first or nearly so by mean TTFT.")
            .of(|row: &Row| row.first as f64),
        ratio("ttft", "mean", "Mean TTFT over the best, as a geometric mean over the cells.")
            .under("TTFT over best")
            .of(|row: &Row| row.ttft),
        ratio("ttft_worst", "worst", "The same in the cell where it is largest.")
            .under("TTFT over best")
            .of(|row: &Row| row.ttft_worst),
        ratio("e2e", "E2E", "Mean E2E over the best, as a geometric mean over the cells.")
            .of(|row: &Row| row.e2e),
        ratio("goodput", "goodput", "Goodput over the best, as a geometric mean over the cells.")
            .of(|row: &Row| row.goodput),
    ])
}

fn behind_form() -> Form<'static, Behind> {
    let number = |key, heading, unit, meaning| Column::number(key, heading, unit, meaning);
    Form::new([
        Column::text("report", "report", "The report, and the variant where there are several.")
            .of(|row: &Behind| row.report.clone()),
        number("rate_scale", "rate", "x", "Multiple of the workload's rate.")
            .format(Format::PLAIN.suffix("x"))
            .of(|row: &Behind| row.rate),
        Column::text("figure", "figure", "The figure, and the policies that it is held against.")
            .of(|row: &Behind| row.figure),
        number("own", "own", "s or 1/s", "Its own figure.")
            .format(Format::of(Style::Amount))
            .of(|row: &Behind| row.own),
        number("best", "best", "s or 1/s", "The best of the others.")
            .format(Format::of(Style::Amount))
            .of(|row: &Behind| row.other),
        Column::text("by", "by", "Which of the others has it.").of(|row: &Behind| row.by.clone()),
        number(
            "e2e_change",
            "own E2E",
            "%",
            "Its mean E2E against that one\'s: what the lead costs.",
        )
        .format(Format::of(Style::Signed(1)).suffix(" %"))
        .of(|row: &Behind| row.e2e),
    ])
}

/// The tables without rows.
pub fn blanks() -> [Sheet; 2] {
    let standing = standing_form().sheet("A ranking over reports");
    [standing, behind_form().sheet("Where a policy is behind")]
}
