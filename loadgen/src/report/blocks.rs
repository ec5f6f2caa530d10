//! A comparison at a glance, in block characters: how long requests waited for their first token, by rule.

use super::entries::{Entry, chosen, entries, focus};
use crate::figures::Results;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_sheet::{amount, width};

/// Columns that the plot needs at least beside the names.
const LEAST: usize = 20;
const MOST: usize = 80;
/// The plot ends at this percentile; a few requests would squeeze all others.
const ENDS: [f64; 2] = [5.0, 99.0];

/// A line for each rule, and an axis. Empty where there is nothing to compare.
pub fn blocks(results: &Results, baseline: Option<&NamedPolicy>, width: usize) -> String {
    let all = entries(results, &[]);
    let Some(rate) = focus(&all) else { return String::new() };
    let here: Vec<&Entry> = all.iter().filter(|entry| entry.rate == rate).collect();
    let shown: Vec<(&str, &[(f64, f64)])> = chosen(&here, baseline)
        .into_iter()
        .filter_map(|entry| {
            let ttft = entry.sketch()?.ttft_s.as_ref()?;
            Some((entry.label.as_str(), ttft.percentiles.as_slice()))
        })
        .collect();
    if shown.len() < 2 {
        return String::new();
    }
    let title =
        format!("TTFT at {rate}x, s: p5 ░ p25 ▓ p50 █ p75 ▓ p95 ░ p99, on a scale of powers");
    drawn(&title, &shown, width)
}

fn drawn(title: &str, rows: &[(&str, &[(f64, f64)])], room: usize) -> String {
    let names = rows.iter().map(|(name, _)| width::of(name)).max().unwrap_or(0);
    let columns = room.saturating_sub(names + 2).clamp(LEAST, MOST);
    let at = |ttft: &[(f64, f64)], percent: f64| {
        let found = ttft.iter().find(|(own, _)| *own == percent);
        found.map_or(0.0, |(_, seconds)| *seconds).max(1e-6)
    };
    let [low, high] = ENDS.map(|end| rows.iter().map(move |(_, ttft)| at(ttft, end)));
    let low = low.fold(f64::INFINITY, f64::min);
    let high = high.fold(0.0, f64::max).max(low * 1.5);
    let place = |seconds: f64| {
        let share = (seconds / low).ln() / (high / low).ln();
        ((share * (columns - 1) as f64).round() as usize).min(columns - 1)
    };
    let mut text = format!("\n{title}\n");
    for (name, ttft) in rows {
        let ends = [5.0, 25.0, 50.0, 75.0, 95.0, 99.0].map(|percent| place(at(ttft, percent)));
        let [p5, p25, p50, p75, p95, p99] = ends;
        let letter = |column: usize| match column {
            _ if column == p50 => '█',
            _ if (p25..=p75).contains(&column) => '▓',
            _ if (p5..=p95).contains(&column) => '░',
            _ if (p5..=p99).contains(&column) => '·',
            _ => ' ',
        };
        let bar: String = (0..columns).map(letter).collect();
        let gap = " ".repeat(names - width::of(name) + 2);
        text.push_str(&format!("{}\n", format!("{name}{gap}{bar}").trim_end()));
    }
    let middle = (low * high).sqrt();
    let [low, middle, high] = [low, middle, high].map(amount);
    let left = (columns / 2).saturating_sub(low.len() + middle.len() / 2);
    let right = columns.saturating_sub(low.len() + left + middle.len() + high.len());
    let gap = |count: usize| " ".repeat(count.max(1));
    text.push_str(&format!(
        "{}{low}{}{middle}{}{high}\n",
        " ".repeat(names + 2),
        gap(left),
        gap(right)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: [(f64, f64); 6] =
        [(5.0, 0.1), (25.0, 0.1), (50.0, 1.0), (75.0, 1.0), (95.0, 10.0), (99.0, 10.0)];
    const LONG: [(f64, f64); 6] =
        [(5.0, 1.0), (25.0, 10.0), (50.0, 10.0), (75.0, 100.0), (95.0, 100.0), (99.0, 1000.0)];

    /// Four powers of ten on 41 columns: ten columns each.
    #[test]
    fn a_line_says_where_the_requests_of_a_policy_are() {
        let text = drawn("t", &[("a", &SHORT), ("long", &LONG)], 47);
        let expected = "
t
a     ▓▓▓▓▓▓▓▓▓▓█░░░░░░░░░░
long            ░░░░░░░░░░█▓▓▓▓▓▓▓▓▓▓··········
      0.100             10.00              1000
";
        assert_eq!(text, expected);
    }

    #[test]
    fn it_fits_the_room() {
        for room in [40, 60, 200] {
            let text = drawn("t", &[("policy", &SHORT), ("other", &LONG)], room);
            assert!(text.lines().all(|line| width::of(line) <= room), "{room}: {text}");
        }
    }
}
