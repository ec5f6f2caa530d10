//! What came back, with units.

use super::parts::{Asked, Entry, count, entry, is_virtual, text};
use super::stack::{ROUTER, label_of};
use crate::figures::{Measured, RunReport};
use crate::yaml::Node;
use warmpath_core::report::Spread;

/// The percentiles that the schema has names for.
const PERCENTILES: [(&str, f64); 10] = [
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99p9", 99.9),
];

pub fn results(asked: &Asked, run: &RunReport) -> Node {
    let aggregate = Node::map([
        entry("requests", requests(run)),
        entry("latency", latency(run)),
        entry("throughput", throughput(run)),
    ]);
    Node::map([
        entry("request_performance", Node::map([entry("aggregate", aggregate)])),
        entry("observability", observability(asked, run)),
    ])
}

fn number(key: &'static str, value: f64) -> Entry {
    entry(key, Node::number(value.to_string()))
}

/// A distribution.
fn measured(units: &str, all: &Measured) -> Node {
    let percentiles = PERCENTILES.map(|(key, percent)| number(key, all.at(percent)?));
    let ends = [number("mean", all.mean), number("min", all.least)];
    let most = all.at(100.0).and_then(|most| number("max", most));
    Node::map([text("units", units)].into_iter().chain(ends).chain(percentiles).chain([most]))
}

/// A distribution of which less is known.
fn spread(units: &str, all: &Spread) -> Node {
    Node::map([
        text("units", units),
        number("mean", all.mean),
        number("p50", all.p50),
        number("p90", all.p90),
        number("p99", all.p99),
    ])
}

/// A single value.
fn mean(units: &str, value: f64) -> Node {
    Node::map([text("units", units), number("mean", value)])
}

fn requests(run: &RunReport) -> Node {
    let figures = &run.figures;
    let unfinished = figures.offered.saturating_sub(figures.requests + figures.errors);
    let sketch = run.sketch.as_ref();
    let length = |all: &Measured| measured("count", all);
    let input = sketch.and_then(|sketch| sketch.prompt_tokens.as_ref()).map(length);
    let output = sketch.and_then(|sketch| sketch.output_tokens.as_ref()).map(length);
    Node::map([
        count("total", figures.offered),
        count("failures", figures.errors),
        count("incomplete", unfinished),
        input.map(|input| ("input_length", input)),
        output.map(|output| ("output_length", output)),
    ])
}

/// There is no latency between single tokens: engines deliver them in steps, and the time per output token is what is
/// measured.
fn latency(run: &RunReport) -> Node {
    let (figures, sketch) = (&run.figures, run.sketch.as_ref());
    let either = |key, units, all: Option<&Measured>, some: Option<&Spread>| -> Entry {
        let node = all.map(|all| measured(units, all));
        Some((key, node.or_else(|| some.map(|some| spread(units, some)))?))
    };
    let of = |of: fn(&crate::figures::Sketch) -> Option<&Measured>| sketch.and_then(of);
    Node::map([
        either(
            "time_to_first_token",
            "s",
            of(|sketch| sketch.ttft_s.as_ref()),
            figures.ttft_s.as_ref(),
        ),
        either(
            "normalized_time_per_output_token",
            "s/token",
            of(|sketch| sketch.per_token_s.as_ref()),
            None,
        ),
        either(
            "time_per_output_token",
            "s/token",
            of(|sketch| sketch.tpot_s.as_ref()),
            figures.tpot_s.as_ref(),
        ),
        either("request_latency", "s", of(|sketch| sketch.e2e_s.as_ref()), figures.e2e_s.as_ref()),
    ])
}

fn throughput(run: &RunReport) -> Node {
    let rates = &run.figures.throughput;
    let (input, output) = (rates.input_tokens_per_s, rates.output_tokens_per_s);
    Node::map([
        entry("input_token_rate", mean("tokens/s", input)),
        entry("output_token_rate", mean("tokens/s", output)),
        entry("total_token_rate", mean("tokens/s", input + output)),
        entry("request_rate", mean("queries/s", rates.requests_per_s)),
    ])
}

fn observability(asked: &Asked, run: &RunReport) -> Node {
    let of = |label: String, aggregate: Entry| {
        let aggregate = Node::map([aggregate]);
        Node::map([text("component_label", label), entry("aggregate", aggregate)])
    };
    let hits = run.figures.hit_rate.map(|rate| ("cache_hit_rate", mean("fraction", rate)));
    let mut components = vec![of(ROUTER.to_owned(), hits)];
    for (place, group) in run.fleet.iter().enumerate() {
        let alone = run.engine.as_ref().map(|engine| engine.utilisation);
        let share = match run.groups.get(place) {
            Some(group) => group.work.as_ref().map(|work| work.utilisation),
            None => alone,
        };
        if let Some(share) = share.filter(|_| group.workers > 0) {
            components.push(of(label_of(group), entry("gpu_utilization", mean("fraction", share))));
        }
    }
    Node::map([entry("components", Node::List(components)), entry("warmpath", own(asked, run))])
}

/// What the schema has no field for.
fn own(asked: &Asked, run: &RunReport) -> Node {
    let figures = &run.figures;
    let because = run.invalid_because.as_ref();
    Node::map([
        entry("simulated", Node::Flag(is_virtual(run))),
        run.profile.as_ref().map(|profile| ("profile", Node::text(profile))),
        run.profile.as_ref().map(|_| ("profile_validated", Node::Flag(run.profile_validated))),
        text("mode", run.mode.name()),
        run.speedup.and_then(|speedup| number("speedup", speedup)),
        number("slo_ttft_s", asked.slo.ttft_s),
        number("slo_tpot_s", asked.slo.tpot_s),
        number("within_slo", figures.within_slo),
        number("goodput_requests_per_s", figures.goodput_requests_per_s),
        entry("valid", Node::Flag(run.valid)),
        because.map(|because| ("invalid_because", Node::text(because))),
    ])
}
