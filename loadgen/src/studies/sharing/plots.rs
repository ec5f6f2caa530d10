//! The ladder and the sweep as plots, and what they say in words.

use super::measured::{Measured, Seeds};
use super::ratios::{CLAIM, Ratio, claims};
use super::sweep::{At, Point};
use crate::report::html::{facts_of_slo, rooms_of};
use crate::setup::Setup;
use crate::studies::measure::Throughput;
use warmpath_core::report::ByOwner;
use warmpath_html::{
    Axis, Bar, Bars, Chart, Document, Fact, Line, Lines, Mark, Plot, Scale, Segment,
};
use warmpath_sheet::amount;

/// A part of a bar.
type Part<'a> = &'a dyn Fn(&Measured) -> Option<f64>;

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
pub fn add_ladder(document: &mut Document, setup: &Setup, rungs: &[Seeds], ratios: &[Ratio]) {
    document.title = format!("What sharing is worth: {}", setup.source.name());
    document.asked = format!(
        "{}, {}. {}",
        setup.fleet.title(),
        setup.seeds_in_words(),
        facts_of_slo(&setup.slo)
    );
    let served = |rung: &Seeds| rung.mean(|rung| rung.at_slo.map(|at| at.served));
    let best = rungs.iter().filter_map(|rung| Some((rung, served(rung)?)));
    let best = best.max_by(|one, other| one.1.total_cmp(&other.1));
    document.answer.headline = match best {
        None => "No rung serves anything within the SLO at any load.".to_owned(),
        Some((rung, tokens)) => {
            let first = rungs.iter().filter_map(|rung| Some((rung, served(rung)?))).next();
            let first = first.filter(|(first, _)| first.name() != rung.name());
            let over = first.map_or_else(String::new, |(first, least)| {
                format!(", {:.2} times \"{}\"", tokens / least, first.name())
            });
            format!(
                "\"{}\" serves the most: {tokens:.0} tokens/s by GPU within the SLO{over}.",
                rung.name()
            )
        }
    };
    // Users' devices run another model.
    let workers = rungs.iter().filter(|rung| served(rung).is_some());
    let cheapest =
        workers.filter_map(|rung| Some((rung, rung.mean(|rung| rung.usd_per_m_served)?)));
    let cheapest = cheapest.min_by(|one, other| one.1.total_cmp(&other.1));
    document.answer.facts.extend(cheapest.map(|(rung, usd)| {
        let note = format!("\"{}\": the least cost of a million tokens served.", rung.name());
        Fact::new("Cheapest", format!("{} USD", amount(usd)), note)
    }));
    let reuse = rungs.iter().filter_map(|rung| Some((rung, rung.mean(|rung| rung.hit_rate)?)));
    document.answer.facts.extend(reuse.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(rung, share)| {
        let note = format!("\"{}\": the highest hit rate, of prompt tokens.", rung.name());
        Fact::new("Most reuse", format!("{:.1} %", share * 100.0), note)
    }));
    document.answer.more = claims(ratios);
    // A part that a seed lacks leaves its bar out.
    let stacked = |rung: &Seeds, parts: [Part<'_>; 3]| {
        let [one, two, three] = parts.map(|part| rung.mean(part));
        Some(Bar::stacked(rung.name(), [one?, two?, three?]))
    };
    let throughput = rungs.iter().filter_map(|rung| {
        let at = |of: fn(&Throughput) -> f64| move |rung: &Measured| rung.at_slo.as_ref().map(of);
        let (computed, reused) = (at(|at| at.prompt_computed), at(|at| at.prompt_reused));
        stacked(rung, [&computed, &reused, &at(|at| at.output)])
    });
    let owners = rungs.iter().filter_map(|rung| {
        let of = |of: fn(&ByOwner<f64>) -> f64| {
            move |rung: &Measured| rung.hit_rate_by_owner.as_ref().map(|by| of(by) * 100.0)
        };
        let (own, other) = (of(|by| by.own_session), of(|by| by.other_session));
        stacked(rung, [&own, &other, &of(|by| by.public)])
    });
    let cost = |of: fn(&Measured) -> Option<f64>| {
        rungs.iter().filter_map(move |rung| Some(plain(rung.name(), rung.mean(of)?)))
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
            rungs.iter().map(|rung| (rung.name().to_owned(), rung.first().kv_room.as_slice())),
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
    let reached = points.iter().filter(|point| point.reaches(CLAIM)).count();
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
