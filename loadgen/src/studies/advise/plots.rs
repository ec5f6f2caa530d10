//! The advice as plots, and in words at the top.

use super::asked::Asked;
use super::choice::Choice;
use super::options::{Alternative, Inputs, cluster_costs, decide};
use super::sensitivity::Sensitivity;
use crate::report::html::facts_of_slo;
use warmpath_html::{Axis, Bar, Bars, Chart, Document, Fact, Line, Lines, Mark, Plot, Segment};
use warmpath_sheet::{Format, Style, amount};

/// Volumes of the cost curve: this many to each side, by this factor in all.
const VOLUMES: i32 = 8;
const VOLUME_FACTOR: f64 = 16.0;

fn usd(value: f64) -> String {
    format!("{} USD", Format::of(Style::Money).number(value))
}

/// Adds the answer and the plots.
pub fn add(document: &mut Document, asked: &Asked<'_>) {
    let Asked { setup, inputs, decision, facts, .. } = asked;
    document.title = format!("Advice for \"{}\"", setup.source.name());
    document.asked = format!(
        "{} requests a month, {} users, peak {} times the mean. {}",
        Format::of(Style::Commas).number(inputs.monthly_requests),
        Format::of(Style::Commas).number(inputs.users),
        inputs.peak,
        facts_of_slo(&setup.slo)
    );
    let chosen = decision.options.iter().find(|option| option.choice == decision.choice);
    let cost = |option: &Alternative| Some(option.usd_per_month?.mean);
    let answer = &mut document.answer;
    answer.headline = match chosen.and_then(|option| Some((option, cost(option)?))) {
        None => "No option that was looked at keeps the SLO.".to_owned(),
        Some((option, month)) => {
            let what = match option.choice {
                Choice::Devices => "Use the users' devices".to_owned(),
                Choice::SplitByLength | Choice::SplitByClass => {
                    format!("Use a {}", option.choice.name())
                }
                _ => format!("Use the {}", option.choice.name()),
            };
            format!("{what}: {} a month.", usd(month))
        }
    };
    let others = decision.options.iter().filter(|o| o.keeps_slo && o.choice != decision.choice);
    let next = others.filter_map(|option| Some((option, cost(option)?)));
    let next = next.min_by(|one, other| one.1.total_cmp(&other.1));
    answer.facts.extend(next.map(|(option, month)| {
        let smaller = match option.choice {
            Choice::ClusterSameModel => {
                " It runs a smaller model, so it counts only where devices keep the SLO."
            }
            _ => "",
        };
        let note =
            format!("A month of {}, which keeps the SLO too.{smaller}", option.choice.name());
        Fact::new("The cheapest other option", usd(month), note)
    }));
    if let Some(band) = chosen.and_then(|option| option.usd_per_month) {
        let (value, note) = match band.low == band.high {
            true => {
                ("one figure".to_owned(), "All seeds need the same number of workers.".to_owned())
            }
            false => (
                format!("{} to {}", amount(band.low), amount(band.high)),
                format!("USD a month, over {} seeds and the step of the search.", facts.seeds),
            ),
        };
        answer.facts.push(Fact::new("How sure", value, note));
    }
    let flips: Vec<&str> = asked
        .sensitivity
        .iter()
        .filter(|one| one.flips(decision.choice))
        .map(|one| one.input)
        .collect();
    let (value, note) = match flips.as_slice() {
        [] => ("no input".to_owned(), "No input that was varied changes the choice.".to_owned()),
        flips => (format!("{} inputs", flips.len()), format!("{}.", flips.join(", "))),
    };
    answer.facts.push(Fact::new("What changes the choice", value, note));
    let depends = sensitivity(asked.sensitivity, chosen);
    document.section("Costs", "", [options(asked), volumes(asked), break_even(asked), depends]);
}

fn options(asked: &Asked<'_>) -> Plot {
    let options = asked.decision.options.iter().filter_map(|option| {
        let band = option.usd_per_month?;
        let missed = if option.keeps_slo { "" } else { " (misses the SLO)" };
        let part = |part, from, to| Segment { part, from, to };
        let segments = vec![part(0, 0.0, band.low), part(1, band.low, band.high)];
        Some(Bar { name: format!("{}{missed}", option.choice.name()), segments })
    });
    let apis = asked.decision.api.iter().map(|api| Bar {
        name: format!("API \"{}\"", api.name),
        segments: vec![Segment { part: 0, from: 0.0, to: api.usd_per_month }],
    });
    Plot {
        title: "Cost of each option in a month".to_owned(),
        about: "The band is what seeds and the step of the search leave open. Shorter is better."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("USD a month"),
            of: "option".to_owned(),
            parts: vec!["at least".to_owned(), "up to".to_owned()],
            bars: options.chain(apis).collect(),
            marks: Vec::new(),
        }),
    }
}

/// The cost of each option at other volumes, with the rates that were found.
fn volumes(asked: &Asked<'_>) -> Plot {
    let Asked { facts, rates, inputs, sheet, .. } = asked;
    let factors =
        (-VOLUMES..=VOLUMES).map(|i| VOLUME_FACTOR.powf(f64::from(i) / f64::from(VOLUMES)));
    let decided: Vec<_> = factors
        .map(|factor| {
            // As many users for a request as now.
            let inputs = Inputs {
                monthly_requests: inputs.monthly_requests * factor,
                users: (inputs.users * factor).max(1.0),
                ..**inputs
            };
            (inputs.monthly_requests, decide(facts, rates, &inputs, &sheet.api))
        })
        .collect();
    let line = |choice: Choice| {
        let point = |(requests, decision): &(f64, super::options::Decision)| {
            let option = decision.options.iter().find(|option| option.choice == choice);
            let cost = option.and_then(|option| Some(option.usd_per_month?.mean));
            (*requests, cost.map_or(f64::NAN, |cost| cost / requests * 1e3))
        };
        Line::new(choice.name(), decided.iter().map(point).collect())
    };
    let mut lines: Vec<Line> =
        asked.decision.options.iter().map(|option| line(option.choice)).collect();
    lines.extend(asked.decision.api.iter().map(|api| {
        let each = api.usd_per_request * 1e3;
        let points = decided.iter().map(|(requests, _)| (*requests, each)).collect();
        Line::new(format!("API \"{}\"", api.name), points)
    }));
    Plot {
        title: "Cost of a thousand requests against volume".to_owned(),
        about: "Whole workers: at small volumes one worker costs as much as a full one. Users grow with the volume.".to_owned(),
        chart: Chart::Lines(Lines {
            x: Axis::log("requests a month"),
            y: Axis::log("USD per 1,000 requests"),
            of: "option".to_owned(),
            lines,
            marks: vec![Mark::upright("asked", inputs.monthly_requests)],
        }),
    }
}

/// The cost of a request on clusters that reuse more and more, beside devices and APIs.
fn break_even(asked: &Asked<'_>) -> Plot {
    let Asked { facts, rates, inputs, decision, .. } = asked;
    let points = cluster_costs(facts, rates, inputs);
    let points = points.into_iter().map(|(share, usd)| (share * 100.0, usd * 1e3)).collect();
    let devices = decision.options.iter().find(|option| option.choice == Choice::Devices);
    let devices = devices.and_then(|option| Some(("devices".to_owned(), option.usd_per_request?)));
    let apis =
        decision.api.iter().map(|api| (format!("API \"{}\"", api.name), api.usd_per_request));
    let marks = devices.into_iter().chain(apis);
    Plot {
        title: "Break-even of sharing".to_owned(),
        about: "What a request costs on a cluster that reuses a share of the prompt tokens, whole workers left out. \
                Where the line is below another option, the cluster is cheaper."
            .to_owned(),
        chart: Chart::Lines(Lines {
            x: Axis::linear("reused prompt tokens, %"),
            y: Axis::log("USD per 1,000 requests"),
            of: "option".to_owned(),
            lines: vec![Line::new("cluster", points)],
            marks: marks.map(|(name, usd)| Mark::across(name, usd * 1e3)).collect(),
        }),
    }
}

fn sensitivity(all: &[Sensitivity], chosen: Option<&Alternative>) -> Plot {
    let bar = |one: &Sensitivity| {
        let costs = one.cases.iter().filter_map(|case| case.usd_per_month);
        let now = chosen.and_then(|option| Some(option.usd_per_month?.mean));
        let costs: Vec<f64> = costs.chain(now).collect();
        let from = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let to = costs.iter().copied().fold(0.0, f64::max);
        let [low, high] = &one.cases;
        let flips = |case: &super::sensitivity::Case| match chosen {
            Some(option) if option.choice != case.choice => format!(": {}", case.choice.name()),
            _ => String::new(),
        };
        let cases = format!("{}{}, {}{}", low.what, flips(low), high.what, flips(high));
        Bar {
            name: format!("{} ({cases})", one.input),
            segments: vec![Segment { part: 0, from, to }],
        }
    };
    let now = chosen.and_then(|option| Some(option.usd_per_month?.mean));
    Plot {
        title: "Cost of what is advised, with other inputs".to_owned(),
        about: "From the lowest to the highest monthly cost when an input is varied. A name after a colon: another \
                option is advised then."
            .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("USD a month"),
            of: "input".to_owned(),
            parts: vec!["cost".to_owned()],
            bars: all.iter().map(bar).collect(),
            marks: now.map(|usd| Mark::upright("now", usd)).into_iter().collect(),
        }),
    }
}
