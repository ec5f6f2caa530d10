//! How full memories were and how busy links, over time.

use crate::figures::Occupancy;
use crate::report::entries::{Entry, best_and_baseline};
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::{Axis, Chart, Line, Lines, Plot};

/// Of the best rule and of the baseline, where there is more than HBM.
pub fn plots(shown: &[&Entry], baseline: Option<&NamedPolicy>) -> Vec<Plot> {
    let all = best_and_baseline(shown, baseline);
    all.into_iter().flat_map(of_entry).collect()
}

fn of_entry(entry: &Entry) -> Vec<Plot> {
    let Some(Occupancy { held, busy }) = entry.sketch().and_then(|one| one.occupancy.as_ref())
    else {
        return Vec::new();
    };
    let plot = |title: &str, about: &str, y: Axis, of: &str, lines: &[_]| {
        let line = |(name, points): &(String, Vec<(f64, f64)>)| Line::new(name, points.clone());
        Plot {
            title: format!("{title}: {}", entry.label),
            about: about.to_owned(),
            chart: Chart::Lines(Lines {
                x: Axis::linear("model time, s"),
                y,
                of: of.to_owned(),
                lines: lines.iter().map(line).collect(),
                marks: Vec::new(),
            }),
        }
    };
    vec![
        plot(
            "How full each memory is",
            "KV blocks in a memory in percent of its room, over all workers. A full one gives up a \
             block for each that comes.",
            Axis::linear("room in use, %").up_to(100.0),
            "memory",
            held,
        ),
        plot(
            "How busy each link is",
            "The share of the time in which something is under way, over all workers that have the link. At 100 % \
             what must be loaded or sent waits.",
            // Most links are idle most of the time.
            Axis::linear("time in use, %"),
            "link",
            busy,
        ),
    ]
}
