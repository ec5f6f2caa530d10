//! Figures against load, and capacities.

use crate::figures::{AtRoom, Results, label};
use crate::report::entries::{Entry, ranked};
use crate::report::over_seeds::known_mean;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::{Axis, Bar, Bars, Chart, Line, Lines, Mark, Plot, Segment};

/// Plots show at most this many rules.
const MOST: usize = 8;

pub fn plots(results: &Results, all: &[Entry], baseline: Option<&NamedPolicy>) -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut rates: Vec<f64> = all.iter().map(|entry| entry.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.len() > 1 {
        let names = names(all, &rates, baseline);
        plots.push(goodput(results, all, &names, &rates));
        plots.push(ttft(all, &names, &rates));
        plots.push(hits(all, &names, &rates));
    }
    plots.push(capacities(results));
    plots.push(rooms(results));
    plots
}

/// The rules that are best at the highest rate, and the baseline.
fn names(all: &[Entry], rates: &[f64], baseline: Option<&NamedPolicy>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in all {
        if !names.contains(&entry.label) {
            names.push(entry.label.clone());
        }
    }
    if names.len() > MOST {
        let top: Vec<&Entry> =
            all.iter().filter(|entry| Some(&entry.rate) == rates.last()).collect();
        let best: Vec<String> =
            ranked(&top).iter().take(MOST - 1).map(|(entry, _)| entry.label.clone()).collect();
        let base: Vec<&String> =
            all.iter().filter(|entry| entry.is_of(baseline)).map(|entry| &entry.label).collect();
        names.retain(|name| best.contains(name) || base.contains(&name));
        names.truncate(MOST);
    }
    names
}

fn lines(
    all: &[Entry],
    names: &[String],
    rates: &[f64],
    of: impl Fn(&Entry) -> Option<f64>,
) -> Vec<Line> {
    let value = |name: &String, rate: f64| {
        let entry = all.iter().find(|entry| entry.rate == rate && entry.label == *name);
        entry.and_then(&of).unwrap_or(f64::NAN)
    };
    let points = |name: &String| rates.iter().map(|&rate| (rate, value(name, rate))).collect();
    names.iter().map(|name| Line::new(name, points(name))).collect()
}

fn x() -> Axis {
    Axis::linear("arrival rate, times the workload's own")
}

/// The bounds do not depend on the rule, so that of any run holds for all.
fn bound(all: &[Entry], rate: f64, of: fn(&crate::figures::Bounds) -> Option<f64>) -> Option<f64> {
    let here = all.iter().filter(|entry| entry.rate == rate);
    here.filter_map(|entry| known_mean(&entry.runs, |run| of(run.bounds.as_ref()?))).next()
}

fn goodput(results: &Results, all: &[Entry], names: &[String], rates: &[f64]) -> Plot {
    let mut marks: Vec<Mark> = Vec::new();
    let known = results.capacities.iter().filter_map(|one| Some((one, one.rate_scale?.mean)));
    let mut known: Vec<_> = known.collect();
    known.sort_by(|one, other| other.1.total_cmp(&one.1));
    marks.extend(known.first().map(|(one, rate)| {
        let name = label(Some(&one.policy), one.variant.as_deref());
        Mark::upright(format!("capacity of {name}"), *rate)
    }));
    let last = *rates.last().unwrap_or(&1.0);
    let stable = bound(all, last, |bounds| bounds.stable_below_rate_scale);
    // A bound far beyond what was played would squeeze the plot.
    let stable = stable.filter(|&stable| stable <= last * 1.6);
    marks.extend(stable.map(|rate| Mark::upright("no policy is stable beyond", rate)));
    let mut lines = lines(all, names, rates, |entry| {
        entry.mean(|figures| Some(figures.goodput_requests_per_s))
    });
    let offered: Vec<(f64, f64)> = rates
        .iter()
        .map(|&rate| {
            let entry = all.iter().find(|entry| entry.rate == rate);
            let offered = entry.and_then(|e| e.mean(|f| Some(f.offered_requests_per_s)));
            (rate, offered.unwrap_or(f64::NAN))
        })
        .collect();
    lines.push(Line::new("sent", offered));
    Plot {
        title: "Goodput against load".to_owned(),
        about:
            "Requests a second that kept the SLO, beside those that were sent. Higher is better."
                .to_owned(),
        chart: Chart::Lines(Lines {
            x: x(),
            y: Axis::linear("requests within the SLO, 1/s"),
            of: "policy".to_owned(),
            lines,
            marks,
        }),
    }
}

fn ttft(all: &[Entry], names: &[String], rates: &[f64]) -> Plot {
    let mut lines = lines(all, names, rates, |entry| entry.ttft());
    let least: Vec<(f64, f64)> = rates
        .iter()
        .map(|&rate| {
            (rate, bound(all, rate, |bounds| Some(bounds.least_ttft_mean_s)).unwrap_or(f64::NAN))
        })
        .collect();
    if least.iter().any(|(_, seconds)| seconds.is_finite()) {
        lines.push(Line::new("no policy can be below", least));
    }
    Plot {
        title: "Mean time to first token against load".to_owned(),
        about: "Means over seeds. Lower is better; the last line is the bound of docs/bounds.md."
            .to_owned(),
        chart: Chart::Lines(Lines {
            x: x(),
            y: Axis::log("mean time to first token, s"),
            of: "policy".to_owned(),
            lines,
            marks: Vec::new(),
        }),
    }
}

fn hits(all: &[Entry], names: &[String], rates: &[f64]) -> Plot {
    let mut lines = lines(all, names, rates, |entry| Some(entry.mean(|f| f.hit_rate)? * 100.0));
    type Of = fn(&crate::figures::Bounds) -> Option<f64>;
    let bounds: [(&str, Of); 2] = [
        ("best cache of this memory", |bounds| Some(bounds.optimal_hit_rate)),
        ("cache without a limit", |bounds| Some(bounds.infinite_hit_rate)),
    ];
    for (name, of) in bounds {
        let points: Vec<(f64, f64)> = rates
            .iter()
            .map(|&rate| (rate, bound(all, rate, of).map_or(f64::NAN, |share| share * 100.0)))
            .collect();
        if points.iter().any(|(_, share)| share.is_finite()) {
            lines.push(Line::new(name, points));
        }
    }
    Plot {
        title: "Hit rate against load, with its bounds".to_owned(),
        about: "Cached prompt tokens of all prompt tokens. No policy can pass the two bounds."
            .to_owned(),
        chart: Chart::Lines(Lines {
            x: x(),
            y: Axis::linear("hit rate, % of prompt tokens"),
            of: "policy".to_owned(),
            lines,
            marks: Vec::new(),
        }),
    }
}

fn capacities(results: &Results) -> Plot {
    let bar = |capacity: &crate::figures::Capacity| {
        let rate = capacity.rate_scale?.mean;
        let name = label(Some(&capacity.policy), capacity.variant.as_deref());
        Some(Bar { name, segments: vec![Segment { part: 0, from: 0.0, to: rate }] })
    };
    let mut bars: Vec<Bar> = results.capacities.iter().filter_map(bar).collect();
    bars.sort_by(|a, b| b.segments[0].to.total_cmp(&a.segments[0].to));
    Plot {
        title: "Capacity: the highest load within the SLO".to_owned(),
        about:
            "The arrival rate at which 90 % of the requests just keep the SLO. Longer is better."
                .to_owned(),
        chart: Chart::Bars(Bars {
            axis: Axis::linear("arrival rate, times the workload's own"),
            of: "policy".to_owned(),
            parts: vec!["capacity".to_owned()],
            bars,
            marks: Vec::new(),
        }),
    }
}

fn rooms(results: &Results) -> Plot {
    let rows = results.capacities.iter().map(|capacity| {
        (label(Some(&capacity.policy), capacity.variant.as_deref()), capacity.kv_room.as_slice())
    });
    rooms_of(rows, "policy", "at its capacity")
}

/// Hit rates with other room for KV.
pub fn rooms_of<'a>(
    rows: impl IntoIterator<Item = (String, &'a [AtRoom])>,
    of: &str,
    load: &str,
) -> Plot {
    let line = |(name, rooms): (String, &[AtRoom])| {
        let point = |room: &AtRoom| {
            (room.kv_room * 100.0, room.hit_rate.map_or(f64::NAN, |share| share * 100.0))
        };
        Line::new(name, rooms.iter().map(point).collect())
    };
    Plot {
        title: format!("Hit rate with other room for KV, {load}"),
        about: "The load stays the same. A steep line says that the fleet is near the edge of its memory.".to_owned(),
        chart: Chart::Lines(Lines {
            x: Axis::linear("room for KV, % of the workers' own").starting_at(85.0).up_to(115.0),
            y: Axis::linear("hit rate, % of prompt tokens"),
            of: of.to_owned(),
            lines: rows.into_iter().filter(|(_, rooms)| !rooms.is_empty()).take(MOST).map(line).collect(),
            marks: Vec::new(),
        }),
    }
}
