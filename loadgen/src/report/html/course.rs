//! The course of runs: queues, hits, load of each worker, and what was asked by phases and intervals.

use super::bars::origin_name;
use crate::figures::{CourseFigures, Moment, Sketch, SpanFigures};
use crate::report::entries::Entry;
use warmpath_core::id::ORIGINS;
use warmpath_html::{Axis, Chart, Heat, Line, Lines, Mark, Plot};

/// Rows of a plot of workers. Of more workers some are shown.
const MOST_WORKERS: usize = 64;
/// Plots of workers: one for each of so many rules.
const MOST_HEATS: usize = 6;
/// Marks that a plot has room for.
const MOST_MARKS: usize = 5;

fn time() -> Axis {
    Axis::linear("model time, s")
}

fn over_time(title: String, about: &str, y: Axis, lines: Vec<Line>, marks: Vec<Mark>) -> Plot {
    let of = "policy".to_owned();
    let chart = Chart::Lines(Lines { x: time(), y, of, lines, marks });
    Plot { title, about: about.to_owned(), chart }
}

pub fn plots(shown: &[&Entry]) -> Vec<Plot> {
    let mut plots = vec![waiting(shown)];
    plots.extend(intervals(shown));
    plots.push(hits(shown));
    plots.extend(by_tier(shown));
    plots.extend(workers(shown));
    plots
}

fn line(entry: &Entry, of: impl Fn(&Sketch) -> Vec<(f64, f64)>) -> Option<Line> {
    Some(Line::new(&entry.label, of(entry.sketch()?)))
}

fn waiting(shown: &[&Entry]) -> Plot {
    let points =
        |sketch: &Sketch| sketch.moments.iter().map(|part| (part.at_s, part.waiting)).collect();
    over_time(
        "Requests that wait for their first token".to_owned(),
        "Queued or in prefill, in the whole system. A line that keeps rising says that the fleet does not keep up.",
        Axis::linear("requests without a first token"),
        shown.iter().filter_map(|entry| line(entry, points)).collect(),
        marks(shown),
    )
}

fn hits(shown: &[&Entry]) -> Plot {
    let points = |sketch: &Sketch| {
        let share = |part: &Moment| {
            let share = part.cached.iter().sum::<f64>() / part.prompt_tokens * 100.0;
            (part.at_s, share)
        };
        sketch.moments.iter().map(share).collect()
    };
    over_time(
        "Hit rate over time".to_owned(),
        "Cached prompt tokens of the requests that were due in a part of the run. A drop says that caches lose what \
         is asked for again.",
        Axis::linear("hit rate, % of prompt tokens"),
        shown.iter().filter_map(|entry| line(entry, points)).collect(),
        marks(shown),
    )
}

/// Where the hits of the first rule lay over time, where there are several tiers.
fn by_tier(shown: &[&Entry]) -> Option<Plot> {
    let entry = shown.last()?;
    let sketch = entry.sketch()?;
    let total = |origin: usize| sketch.moments.iter().map(|part| part.cached[origin]).sum::<f64>();
    let used: Vec<usize> = (0..ORIGINS).filter(|&origin| total(origin) > 0.0).collect();
    if used.len() < 2 {
        return None;
    }
    let line = |&origin: &usize| {
        let share = |part: &Moment| (part.at_s, part.cached[origin] / part.prompt_tokens * 100.0);
        let name = origin_name(&entry.runs[0].tiers, origin);
        Line::new(name, sketch.moments.iter().map(share).collect())
    };
    Some(Plot {
        title: format!("Hits by tier over time: {}", entry.label),
        about: "Where cached prompt tokens lay. A tier that takes over says that the one before it is full.".to_owned(),
        chart: Chart::Lines(Lines {
            x: time(),
            y: Axis::linear("hit rate, % of prompt tokens"),
            of: "tier".to_owned(),
            lines: used.iter().map(line).collect(),
            marks: marks(shown),
        }),
    })
}

/// What the operator or the fleet did meanwhile.
fn marks(shown: &[&Entry]) -> Vec<Mark> {
    let course = shown.first().and_then(|entry| entry.runs[0].course.as_ref());
    let marks = course.and_then(|course| course.marks.as_ref());
    let marks = marks.into_iter().flatten().take(MOST_MARKS);
    marks.map(|mark| Mark::upright(mark.short(), mark.at_s)).collect()
}

/// Rates and latencies by interval, or by phase.
fn intervals(shown: &[&Entry]) -> Vec<Plot> {
    let spans = |course: &CourseFigures| -> Vec<SpanFigures> {
        if course.intervals.is_empty() { course.phases.clone() } else { course.intervals.clone() }
    };
    let lines = |of: &dyn Fn(&SpanFigures) -> Option<f64>| -> Vec<Line> {
        let line = |entry: &&Entry| {
            let course = entry.runs[0].course.as_ref()?;
            let point = |span: &SpanFigures| {
                (f64::midpoint(span.from_s, span.to_s), of(span).unwrap_or(f64::NAN))
            };
            Some(Line::new(&entry.label, spans(course).iter().map(point).collect()))
        };
        shown.iter().filter_map(line).collect()
    };
    let mut good = lines(&|span| Some(span.good_per_s));
    if let Some(course) = shown.first().and_then(|entry| entry.runs[0].course.as_ref()) {
        let point = |span: &SpanFigures| (f64::midpoint(span.from_s, span.to_s), span.sent_per_s);
        good.push(Line::new("sent", spans(course).iter().map(point).collect()));
    }
    vec![
        over_time(
            "Goodput by interval".to_owned(),
            "Requests that kept the SLO, by when they were due, beside those that were sent.",
            Axis::linear("requests, 1/s"),
            good,
            marks(shown),
        ),
        over_time(
            "99th percentile of TTFT by interval".to_owned(),
            "Of the requests that were due in an interval.",
            Axis::log("p99 of time to first token, s"),
            lines(&|span| span.figures.ttft_s.map(|ttft| ttft.p99)),
            marks(shown),
        ),
    ]
}

/// The load of each worker: one plot for each rule, with the same shades.
fn workers(shown: &[&Entry]) -> Vec<Plot> {
    // Devices number their requests' workers by themselves.
    let simple = shown.iter().filter(|entry| entry.runs[0].devices.is_none());
    let sketches: Vec<(&str, &Sketch)> = simple
        .filter_map(|entry| Some((entry.label.as_str(), entry.sketch()?)))
        .filter(|(_, sketch)| !sketch.on_worker.is_empty())
        .take(MOST_HEATS)
        .collect();
    let cells = |sketch: &Sketch| -> Vec<f64> {
        let mut cells: Vec<f64> = sketch.on_worker.iter().flatten().copied().collect();
        cells.sort_unstable_by(f64::total_cmp);
        cells
    };
    // One cell of a rule in trouble would leave all others without a shade.
    let high = |sketch: &Sketch| {
        let cells = cells(sketch);
        cells.get((cells.len().saturating_sub(1)) * 99 / 100).copied().unwrap_or(0.0)
    };
    let mut highs: Vec<f64> = sketches.iter().map(|(_, sketch)| high(sketch)).collect();
    highs.sort_unstable_by(f64::total_cmp);
    let most = highs.get(highs.len() / 2).copied().unwrap_or(0.0).max(1.0);
    sketches.iter().map(|(label, sketch)| heat(label, sketch, most)).collect()
}

fn heat(label: &str, sketch: &Sketch, most: f64) -> Plot {
    let count = sketch.on_worker.len();
    let every = count.div_ceil(MOST_WORKERS);
    let shown: Vec<usize> = (0..count).step_by(every).collect();
    let about = match every {
        1 => String::new(),
        every => format!(" One of {every} workers is shown."),
    };
    Plot {
        title: format!("Load of each worker: {label}"),
        about: format!(
            "The mean number of requests that a worker has, waiting or being answered. Dark rows beside pale ones: \
             the policy packs.{about}"
        ),
        chart: Chart::Heat(Heat {
            x: Axis { to: Some(sketch.span_s.1), ..time() },
            from: sketch.span_s.0,
            to: sketch.span_s.1,
            of: "worker".to_owned(),
            unit: "requests".to_owned(),
            rows: shown.iter().map(|worker| format!("w{worker}")).collect(),
            cells: shown.iter().map(|&worker| sketch.on_worker[worker].clone()).collect(),
            most,
        }),
    }
}
