//! Many policies: which is the best at each rate, and which are tied with it.

use super::columns;
use crate::figures::{Comparison, Estimate, SMALLEST_PERCENT, Standing, label};
use warmpath_sheet::{Column, Field, Form, Format, Sheet, Style, Value};

/// With two policies, the table of all figures says as much.
const LEAST_POLICIES: usize = 3;

/// One policy.
struct Row<'a> {
    /// At each rate, in the order of the columns.
    at: Vec<&'a Comparison>,
    /// The mean of its ranks by mean TTFT.
    rank: f64,
}

type Of<'a> = Field<'static, Row<'a>>;

/// A row for each policy, the best first. Empty for few policies.
pub fn sheet(title: &str, comparisons: &[Comparison]) -> Sheet {
    let mut rates: Vec<f64> = Vec::new();
    for comparison in comparisons {
        if !rates.contains(&comparison.rate_scale) {
            rates.push(comparison.rate_scale);
        }
    }
    let form = form(&rates);
    let mut sheet = form.sheet(title).labels(2);
    // The comparisons of a variant stand together: for each rate all policies.
    for of_variant in comparisons.chunk_by(|one, other| one.variant == other.variant) {
        let policies = of_variant.len() / rates.len();
        if policies < LEAST_POLICIES {
            continue;
        }
        let at = |policy| of_variant.iter().skip(policy).step_by(policies).collect();
        let mut rows: Vec<Row<'_>> =
            (0..policies).map(|policy| Row::new(at(policy), policies)).collect();
        rows.sort_by(|one, other| one.rank.total_cmp(&other.rank));
        sheet.begin_group();
        rows.iter().for_each(|row| sheet.push(form.row(row)));
    }
    if !sheet.is_empty() {
        notes(comparisons).into_iter().for_each(|note| sheet.note(note));
    }
    sheet
}

/// The sheet without rows, for one rate.
pub fn blank() -> Sheet {
    form(&[1.0]).sheet("Ranking: three policies or more at several seeds or rates")
}

impl<'a> Row<'a> {
    fn new(at: Vec<&'a Comparison>, policies: usize) -> Self {
        // A policy without a rank stands behind those that have one.
        let ranks = at.iter().map(|of| of.by_ttft.rank.map_or(policies as f64, f64::from));
        let rank = ranks.sum::<f64>() / at.len() as f64;
        Self { at, rank }
    }
}

fn form<'a>(rates: &[f64]) -> Form<'static, Row<'a>> {
    let meaning = "Mean over the rates of its rank by mean TTFT; 1 is the best at every rate.";
    let digits = usize::from(rates.len() > 1);
    let first = [
        columns::label()
            .of(|row: &Row<'a>| label(Some(&row.at[0].policy), row.at[0].variant.as_deref())),
        Column::number("rank", "rank", "rank", meaning)
            .format(Format::digits(digits))
            .of(|row: &Row<'a>| row.rank),
    ];
    let ttft =
        figure(rates, "ttft", "mean TTFT", |row| (&row.by_ttft, seconds(row.ttft_mean_s.as_ref())));
    let e2e =
        figure(rates, "e2e", "mean E2E", |row| (&row.by_e2e, seconds(row.e2e_mean_s.as_ref())));
    let goodput = figure(rates, "goodput", "goodput", |row| {
        (&row.by_goodput, format!("{:.2}/s", row.goodput_requests_per_s.mean))
    });
    let hit = rates.iter().enumerate().map(|(i, rate)| {
        let meaning = "Cached prompt tokens in percent of all prompt tokens.";
        Column::number(format!("hit_percent_{rate}x"), format!("{rate}x"), "%", meaning)
            .under("hit %")
            .format(Format::digits(1))
            .of(move |row: &Row<'a>| row.at[i].hit_percent.map(|hit| hit.mean))
    });
    Form::new(first.into_iter().chain(ttft).chain(e2e).chain(goodput).chain(hit))
}

/// The best has one; the others do not show theirs.
fn seconds(value: Option<&Estimate>) -> String {
    value.map_or_else(String::new, |value| {
        format!("{} s", Format::of(Style::Seconds).number(value.mean))
    })
}

/// A column for each rate. `at` finds where a policy stands, and its mean as text.
fn figure<'a>(
    rates: &[f64],
    key: &'static str,
    heading: &'static str,
    at: fn(&Comparison) -> (&Standing, String),
) -> Vec<Of<'a>> {
    let meaning = format!(
        "The best {heading} at the rate; for the other policies the difference to it, and whether \
         they are tied."
    );
    let column = |(i, rate): (usize, &f64)| {
        Column::number(format!("{key}_{rate}x"), format!("{rate}x"), "%", meaning.clone())
            .under(heading)
            .of(move |row: &Row<'a>| {
                let comparison = row.at[i];
                let (standing, mean) = at(comparison);
                cell(comparison, standing, &mean)
            })
    };
    rates.iter().enumerate().map(column).collect()
}

fn cell(comparison: &Comparison, standing: &Standing, mean: &str) -> Value {
    match (standing.rank, &standing.change_percent) {
        (None, _) => {
            let failed = 100.0 - comparison.answered_percent.mean;
            format!("failed {failed:.0} %").into()
        }
        (Some(1), None) => format!("best {mean}").into(),
        // The best is 0 at a seed, and this one is not.
        (Some(_), None) => Value::Absent,
        (Some(_), Some(change)) => match standing.tied_with_best {
            Some(true) => format!("tied {}", difference(change)).into(),
            Some(false) | None => difference(change).into(),
        },
    }
}

/// +17 ±3, or +0.3 ±0.9: no more digits than say something.
fn difference(change: &Estimate) -> String {
    let digits = usize::from(change.mean.abs() < 10.0);
    Format::of(Style::Signed(digits)).interval(change.mean, change.half_width_95)
}

/// What the policy that is nearest to the best needs at each rate, by mean TTFT.
fn seeds_needed(comparisons: &[Comparison]) -> Option<String> {
    let mut nearest: Vec<(f64, f64, u32)> = Vec::new();
    for row in comparisons {
        let Some(change) = row.by_ttft.change_percent else { continue };
        let Some(seeds) = row.by_ttft.seeds_for_5_percent else { continue };
        let this = (row.rate_scale, change.mean.abs(), seeds);
        match nearest.iter_mut().find(|(rate, ..)| *rate == row.rate_scale) {
            Some(other) if other.1 > this.1 => *other = this,
            Some(_) => {}
            None => nearest.push(this),
        }
    }
    let each: Vec<String> =
        nearest.iter().map(|(rate, _, seeds)| format!("{seeds} at {rate}x")).collect();
    let list = each.join(", ");
    (!each.is_empty()).then(|| {
        format!(
            "Seeds that tell a difference of 5 % in mean TTFT between the best and the next one from none, in 19 of 20 \
             comparisons: {list}."
        )
    })
}

fn notes(comparisons: &[Comparison]) -> Vec<String> {
    let ns = || comparisons.iter().map(|row| row.goodput_requests_per_s.n);
    let (least, seeds) = (ns().min().unwrap_or(0), ns().max().unwrap_or(0));
    let best = "best: the best mean at this rate. The other cells are differences to it in percent";
    let mut notes = Vec::new();
    let over_parts =
        comparisons.iter().any(|row| row.by_ttft.change_percent.is_some_and(|c| c.over_parts));
    match over_parts {
        true if seeds < 2 => notes.push(format!(
            "{best}, with 95 % intervals (block bootstrap of the one run). They say how sure this run is, not what \
             other arrivals would change: for that, use --seeds."
        )),
        _ if seeds < 2 => notes.push(format!(
            "{best}. One seed, or the same run with every seed: so there are no intervals, and no \
             policy can be called tied."
        )),
        _ => notes.push(format!(
            "{best}, seed by seed, with 95 % intervals (Student's t, {seeds} seeds)."
        )),
    }
    if seeds > 1 || over_parts {
        notes.push(format!(
            "tied: 0 is within the interval of 99 %, or the difference is below {SMALLEST_PERCENT} %, too small \
             to matter. These runs do not tell the two apart; more seeds may."
        ));
        notes.push(
            "The intervals hold together for all policies of a rate (Bonferroni). The best was picked from the same \
             runs."
                .to_owned(),
        );
        notes.extend(seeds_needed(comparisons));
        if least < 2 && seeds > 1 {
            notes.push(
                "Policies whose runs are the same with every seed have no interval between them, so \
                 they cannot be called tied."
                    .to_owned(),
            );
        }
    }
    if comparisons.iter().any(|row| row.by_ttft.rank.is_none()) {
        notes.push(
            "failed: more than 1 % of the requests had no answer. Latencies are those of the \
             answered ones, so the policy is not ranked by them."
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests;
