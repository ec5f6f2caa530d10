//! The ladder and the sweep as plots, and what they say in words.

use super::measured::Measured;
use super::ratios::{CLAIM, Ratio, claims};
use super::sweep::{At, Point};
use crate::report::html::{facts_of_slo, rooms_of};
use crate::setup::Setup;
use warmpath_html::{
    Axis, Bar, Bars, Chart, Document, Fact, Line, Lines, Mark, Plot, Scale, Segment,
};
use warmpath_sheet::amount;

fn bars(
    title: &str,
    about: &str,
    axis: Axis,
    parts: &[&str],
    bars: impl Iterator<Item = Bar>,
) -> Plot {
    let parts = parts.iter().map(|&part| part.to_owned()).collect();
    let (of, marks) = ("rung".to_owned(), Vec::new());
    let chart = Chart::Bars(Bars { axis, of, parts, bars: bars.collect(), marks });
    Plot { title: title.to_owned(), about: about.to_owned(), chart }
}

fn plain(name: &str, to: f64) -> Bar {
    Bar { name: name.to_owned(), segments: vec![Segment { part: 0, from: 0.0, to }] }
}

/// Adds what the ladder says.
pub fn add_ladder(document: &mut Document, setup: &Setup, rungs: &[Measured], ratios: &[Ratio]) {
    document.title = format!("What sharing is worth: {}", setup.source.name());
    document.asked =
        format!("{}, seed {}. {}", setup.fleet.title(), setup.seed, facts_of_slo(&setup.slo));
    let served = |rung: &Measured| rung.at_slo.map(|at| at.served);
    let best = rungs.iter().filter_map(|rung| Some((rung, served(rung)?)));
    let best = best.max_by(|one, other| one.1.total_cmp(&other.1));
    document.answer.headline = match best {
        None => "No rung serves anything within the SLO at any load.".to_owned(),
        Some((rung, tokens)) => {
            let first = rungs.iter().filter_map(|rung| Some((rung, served(rung)?))).next();
            let first = first.filter(|(first, _)| first.name != rung.name);
            let over = first.map_or_else(String::new, |(first, least)| {
                format!(", {:.2} times \"{}\"", tokens / least, first.name)
            });
            format!(
                "\"{}\" serves the most: {tokens:.0} tokens/s by GPU within the SLO{over}.",
                rung.name
            )
        }
    };
    // Users' devices run another model.
    let workers = rungs.iter().filter(|rung| rung.at_slo.is_some());
    let cheapest = workers.filter_map(|rung| Some((rung, rung.usd_per_m_served?)));
    let cheapest = cheapest.min_by(|one, other| one.1.total_cmp(&other.1));
    document.answer.facts.extend(cheapest.map(|(rung, usd)| {
        let note = format!("\"{}\": the least cost of a million tokens served.", rung.name);
        Fact::new("Cheapest", format!("{} USD", amount(usd)), note)
    }));
    let reuse = rungs.iter().filter_map(|rung| Some((rung, rung.hit_rate?)));
    document.answer.facts.extend(reuse.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(rung, share)| {
        let note = format!("\"{}\": the highest hit rate, of prompt tokens.", rung.name);
        Fact::new("Most reuse", format!("{:.1} %", share * 100.0), note)
    }));
    document.answer.more = claims(ratios);
    let throughput = rungs.iter().filter_map(|rung| {
        let at = rung.at_slo?;
        Some(Bar::stacked(rung.name, [at.prompt_computed, at.prompt_reused, at.output]))
    });
    let owners = rungs.iter().filter_map(|rung| {
        let by = rung.hit_rate_by_owner?;
        let parts = [by.own_session, by.other_session, by.public].map(|share| share * 100.0);
        Some(Bar::stacked(rung.name, parts))
    });
    let cost = |of: fn(&Measured) -> Option<f64>| {
        rungs.iter().filter_map(move |rung| Some(plain(rung.name, of(rung)?)))
    };
    document.section("The ladder", "Each rung shares what the one above it does, and more.", [
        bars(
            "Tokens a second by GPU, within the SLO",
            "At the highest load of which 90 % keep the SLO. Longer is better.",
            Axis::linear("tokens/s by GPU"),
            &["prompt, computed", "prompt, reused", "answer"],
            throughput,
        ),
        bars(
            "Hit rate, by whose requests left the tokens",
            "At the workload's own load.",
            Axis::linear("hit rate, % of prompt tokens"),
            &["own session", "other sessions", "public prefix"],
            owners,
        ),
        bars(
            "Cost of a million tokens served",
            "At the highest load within the SLO; of devices, at the workload's own. Shorter is better.",
            Axis::linear("USD per million tokens"),
            &["cost"],
            cost(|rung| rung.usd_per_m_served),
        ),
        bars(
            "Energy of a million tokens served",
            "The same for energy.",
            Axis::linear("kWh per million tokens"),
            &["energy"],
            cost(|rung| rung.kwh_per_m_served),
        ),
        bars(
            "Mean time to first token at the workload's own load",
            "Shorter is better.",
            Axis::linear("mean time to first token, s"),
            &["TTFT"],
            cost(|rung| rung.ttft_s.map(|ttft| ttft.mean)),
        ),
        rooms_of(
            rungs.iter().map(|rung| (rung.name.to_owned(), rung.kv_room.as_slice())),
            "rung",
            "at the highest load within the SLO",
        ),
    ]);
}

/// Adds what the sweep says: a plot for each axis.
pub fn add_sweep(document: &mut Document, points: &[Point]) {
    type Of = fn(&At) -> f64;
    const AXES: [(&str, &str, Scale, Of); 5] = [
        ("reused share", "reused part of a prompt, %", Scale::Linear, |at| at.reused_share * 100.0),
        ("prompt tokens", "prompt, tokens", Scale::Log, |at| at.prompt_tokens),
        ("pool GB/s", "bandwidth from the pool to a worker, GB/s", Scale::Log, |at| at.gb_s),
        ("workers", "workers", Scale::Log, |at| f64::from(at.workers)),
        ("texts / HBM", "all texts, times the HBM of all workers", Scale::Log, |at| at.working_set),
    ];
    let best = points.iter().filter_map(|point| Some((point, point.times?)));
    let best = best.max_by(|one, other| one.1.total_cmp(&other.1));
    let reached =
        points.iter().filter(|point| point.times.is_some_and(|times| times >= CLAIM)).count();
    document.title = "Where a shared pool makes a fleet five times as fast".to_owned();
    document.answer.headline = match best {
        None => "No point serves anything without the pool within the SLO.".to_owned(),
        Some((_, times)) => format!(
            "At most {times:.2} times as fast; {CLAIM}x is reached at {reached} of {} points.",
            points.len()
        ),
    };
    let plot = |(axis, label, scale, of): (&str, &str, Scale, Of)| {
        let on_axis = points.iter().filter(|point| [axis, "base"].contains(&point.axis));
        let value = |point: &Point| (of(&point.at), point.times.unwrap_or(f64::NAN));
        let mut values: Vec<(f64, f64)> = on_axis.map(value).collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        Plot {
            title: format!("Times as fast with a pool, by {axis}"),
            about: "Requests a second within the SLO with the pool, divided by those without it."
                .to_owned(),
            chart: Chart::Lines(Lines {
                x: Axis { scale, ..Axis::linear(label) },
                y: Axis::linear("times as fast"),
                of: "fleet".to_owned(),
                lines: vec![Line::new("with the pool", values)],
                marks: vec![Mark::across(format!("{CLAIM}x, as claimed"), CLAIM)],
            }),
        }
    };
    let note = "One axis at a time; the others as in the first row of the table.";
    document.section("One axis at a time", note, AXES.map(plot));
}
