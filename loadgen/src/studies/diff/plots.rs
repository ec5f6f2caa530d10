//! Two reports as plots, and in words.

use super::read::Side;
use super::rows::{Figure, Pair, not_comparable};
use super::sheets::{GOODPUT, HITS, TTFT, percent};
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Fact, Plot, Segment};

/// A plot has at most so many rows.
const MOST: usize = 24;

/// Adds the answer and the plots.
pub fn add(document: &mut Document, before: &Side, after: &Side, pairs: &[Pair<'_>]) {
    document.title = "Two reports side by side".to_owned();
    document.asked = format!("A: {}; B: {}", before.name, after.name);
    let why = not_comparable(before, after);
    document.answer.warnings = why.iter().map(|why| format!("Not comparable: {why}.")).collect();
    let changes = || pairs.iter().filter_map(|pair| Some((pair, pair.change(TTFT, percent)?)));
    let by = |one: &f64, other: &f64| one.total_cmp(other);
    let best = changes().min_by(|a, b| by(&a.1.mean, &b.1.mean));
    let worst = changes().max_by(|a, b| by(&a.1.mean, &b.1.mean));
    document.answer.headline = match best.zip(worst) {
        None => "No row of both reports has a time to first token.".to_owned(),
        Some(((_, least), (_, most))) if least.mean == 0.0 && most.mean == 0.0 => {
            format!("B has the same mean TTFT as A in all {} rows.", pairs.len())
        }
        Some(((_, least), (_, most))) => format!(
            "Mean TTFT from A to B: {:+.1} % to {:+.1} %, over {} rows.",
            least.mean,
            most.mean,
            pairs.len()
        ),
    };
    let name = |pair: &Pair<'_>| format!("{}, {} at {}x", pair.name, pair.mode, pair.rate_scale);
    let said = |label: &str, found: Option<(&Pair<'_>, crate::figures::Estimate)>| {
        found.map(|(pair, change)| {
            let half = change.half_width_95.map_or_else(String::new, |half| format!(" ±{half:.1}"));
            Fact::new(
                label,
                format!("{:+.1}{half} %", change.mean),
                format!("Mean TTFT of {}.", name(pair)),
            )
        })
    };
    document.answer.facts.extend(said("Most improved", best));
    document.answer.facts.extend(said("Least improved", worst));
    let plot = |title: &str, axis: &str, factor: f64, of: Figure| {
        let bars = pairs.iter().take(MOST).flat_map(|pair| {
            let (before, after) = pair.means(of);
            let bar = |part: usize, side: &str, value: Option<f64>| {
                let segments = vec![Segment { part, from: 0.0, to: value? * factor }];
                Some(Bar { name: format!("{side}: {}", name(pair)), segments })
            };
            [bar(0, "A", before), bar(1, "B", after)]
        });
        Plot {
            title: title.to_owned(),
            about: "Means over seeds, of A and of B.".to_owned(),
            chart: Chart::Bars(Bars {
                axis: Axis::linear(axis),
                of: "row".to_owned(),
                parts: vec!["A".to_owned(), "B".to_owned()],
                bars: bars.flatten().collect(),
                marks: Vec::new(),
            }),
        }
    };
    document.section(
        "Side by side",
        "",
        [
            plot("Mean time to first token", "mean time to first token, s", 1.0, TTFT),
            plot("Hit rate", "hit rate, % of prompt tokens", 100.0, HITS),
            plot("Goodput", "requests within the SLO, 1/s", 1.0, GOODPUT),
        ],
    );
}
