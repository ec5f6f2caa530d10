//! Many seeds or rates as a table: one row per policy and rate.

use super::layout::{align, plain, trimmed};
use super::numbers::{half, interval};
use crate::figures::{Comparison, Estimate, label};

pub fn grid(comparisons: &[Comparison]) -> String {
    let baseline = comparisons.first().map_or("", |first| first.baseline.as_str());
    let mut table = plain(&[
        "policy",
        "rate",
        "hit %",
        "TTFT s mean",
        "TTFT s p99",
        "TPOT ms",
        "in SLO %",
        "max/mean",
        "hit points",
        "mean TTFT",
    ]);
    let mut last = None;
    for row in comparisons {
        if last.replace(row.rate_scale).is_some_and(|last| last != row.rate_scale) {
            table.add_row([""]);
        }
        let against = |estimate: &Option<Estimate>, unit: &str| match estimate {
            Some(estimate) => {
                let clear = if estimate.is_clear() { "" } else { " ?" };
                format!("{:+.1}{}{unit}{clear}", estimate.mean, half(estimate, 1.0, 1))
            }
            None => String::new(),
        };
        table.add_row([
            label(Some(&row.policy), row.variant.as_deref()),
            format!("{}x", row.rate_scale),
            interval(&row.hit_percent, 1.0, 1),
            interval(&row.ttft_mean_s, 1.0, 3),
            interval(&row.ttft_p99_s, 1.0, 2),
            interval(&row.tpot_mean_s, 1e3, 1),
            interval(&row.within_slo_percent, 1.0, 1),
            balance(&row.balance_max_over_mean),
            against(&row.hit_points, ""),
            against(&row.ttft_change_percent, " %"),
        ]);
    }
    align(&mut table, 1);
    let seeds = comparisons.first().map_or(0, |first| first.hit_percent.n);
    let how = if seeds > 1 {
        format!(
            "Means over {seeds} seeds with 95 % intervals (Student's t); the last two columns are \
             differences to {baseline}, seed by seed. \"?\": the interval holds 0."
        )
    } else {
        format!("One seed, so no intervals; the last two columns are differences to {baseline}.")
    };
    format!("{}{how}\n", trimmed(&table))
}

/// The ratio is at least 1. 0 means that it was not computed, since the roles of the workers differ.
fn balance(estimate: &Estimate) -> String {
    if estimate.mean > 0.0 { format!("{:.2}", estimate.mean) } else { "-".to_owned() }
}
