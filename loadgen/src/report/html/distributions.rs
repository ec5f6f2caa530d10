//! Distributions of latencies by rule.

use crate::figures::{Measured, Mode, Results, Sketch};
use crate::report::entries::{Entry, main_mode, of_mode};
use warmpath_core::report::Slo;
use warmpath_html::{Axis, Chart, Line, Lines, Mark, Plot};

const ABOUT: &str = "A point says which share of the answered requests needed at most this time. Left and up is better.";

pub fn plots(shown: &[&Entry], slo: &Slo, results: &Results) -> Vec<Plot> {
    let mut plots = vec![
        distribution("Time to first token", shown, slo.ttft_s, |sketch| sketch.ttft_s.as_ref()),
        distribution("Time per further token", shown, slo.tpot_s, |sketch| sketch.tpot_s.as_ref()),
    ];
    let live = of_mode(results, Mode::Live);
    if main_mode(results) != Mode::Live && !live.is_empty() {
        let live: Vec<&Entry> = live.iter().take(8).collect();
        let title = "Time to first token, live";
        plots.push(distribution(title, &live, slo.ttft_s, |sketch| sketch.ttft_s.as_ref()));
    }
    plots
}

fn distribution(
    what: &str,
    shown: &[&Entry],
    slo_s: f64,
    values: fn(&Sketch) -> Option<&Measured>,
) -> Plot {
    let line = |entry: &&Entry| {
        let measured = values(entry.sketch()?).into_iter().flat_map(|all| &all.percentiles);
        let points = measured.map(|&(percent, seconds)| (seconds, percent));
        Some(Line::new(&entry.label, points.collect()))
    };
    Plot {
        title: format!("{what}, by share of requests"),
        about: ABOUT.to_owned(),
        chart: Chart::Lines(Lines {
            x: Axis::log(format!("{}, s", what.trim_end_matches(", live").to_lowercase())),
            y: Axis::linear("share of requests, %").up_to(100.0),
            of: "policy".to_owned(),
            lines: shown.iter().filter_map(line).collect(),
            marks: vec![Mark::upright(format!("SLO {slo_s} s"), slo_s)],
        }),
    }
}
