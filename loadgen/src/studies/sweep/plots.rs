//! What a sweep says: who leads where, and a line for each rule along each axis.

use crate::args::{Axis, AxisArg};
use crate::figures::{Comparison, Estimate, Results};
use crate::report::html::facts_of_slo;
use std::collections::BTreeMap;
use warmpath_core::report::Slo;
use warmpath_html::{self as html, Chart, Document, Fact, Line, Lines, Plot, Scale};

/// The comparisons of one point at one rate, one for each rule.
type AtPoint<'a> = &'a [Comparison];

/// Adds the answer and the plots. `values`: of each point, in the order of the points.
pub fn add(
    document: &mut Document,
    title: &str,
    slo: &Slo,
    axes: &[AxisArg],
    values: &[Vec<f64>],
    results: &Results,
) {
    let rules =
        results.comparisons.chunk_by(|a, b| a.variant == b.variant && a.rate_scale == b.rate_scale);
    let rules = rules.map(<[Comparison]>::len).next().unwrap_or(1);
    let each: Vec<AtPoint<'_>> = results.comparisons.chunks(rules).collect();
    let rates = each.len() / values.len().max(1);
    document.title = title.to_owned();
    let names: Vec<String> = axes.iter().map(AxisArg::to_string).collect();
    document.asked = format!("{}. {}", names.join(" "), facts_of_slo(slo));
    answer(document, &each);
    for (place, arg) in axes.iter().enumerate() {
        // The other axes at their first value, and the first rate.
        let on_axis = |point: &Vec<f64>| {
            axes.iter().enumerate().all(|(i, other)| i == place || point[i] == other.values[0])
        };
        let on_axis: Vec<(f64, AtPoint<'_>)> = values
            .iter()
            .zip(each.iter().step_by(rates.max(1)))
            .filter(|(point, _)| on_axis(point))
            .map(|(point, at)| (point[place], *at))
            .collect();
        let others = axes.iter().enumerate().filter(|(i, _)| *i != place);
        let others: Vec<String> = others.map(|(_, other)| other.axis.at(other.values[0])).collect();
        let note =
            if others.is_empty() { String::new() } else { format!("At {}.", others.join(", ")) };
        document.section(format!("By {}", arg.axis.name()), &note, along(arg.axis, &on_axis));
    }
}

/// Which rule leads at how many points.
fn answer(document: &mut Document, each: &[AtPoint<'_>]) {
    let mut leads: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lost = Vec::new();
    let best = |at: AtPoint<'_>| -> Option<usize> {
        at.iter().position(|rule| rule.by_ttft.rank == Some(1))
    };
    for at in each {
        if let Some(best) = best(at) {
            *leads.entry(at[best].policy.label.as_str()).or_default() += 1;
        }
    }
    let Some((&leader, &count)) = leads.iter().max_by_key(|&(_, count)| *count) else {
        document.answer.headline =
            "No policy answered enough of its requests at any point.".to_owned();
        return;
    };
    let is_lead = |at: &&AtPoint<'_>| best(at).is_some_and(|i| at[i].policy.label == leader);
    let has_tie = |at: &&AtPoint<'_>| {
        let others = at.iter().filter(|rule| rule.policy.label != leader);
        others.into_iter().any(|rule| rule.by_ttft.tied_with_best == Some(true))
    };
    let tied = match each.iter().filter(is_lead).filter(has_tie).count() {
        0 => String::new(),
        tied => format!(", at {tied} of them tied with another rule"),
    };
    document.answer.headline =
        format!("{leader} has the lowest mean TTFT at {count} of {} points{tied}.", each.len());
    for at in each {
        let own = at.iter().find(|rule| rule.policy.label == leader);
        let (Some(own), Some(best)) = (own, best(at)) else { continue };
        if own.by_ttft.tied_with_best == Some(true) || at[best].policy.label == leader {
            continue;
        }
        if let Some(change) = own.by_ttft.change_percent {
            let point = at[best].variant.as_deref().unwrap_or_default();
            let rate = at[best].rate_scale;
            let rate = if rate == 1.0 { String::new() } else { format!(" at {rate}x") };
            lost.push(format!(
                "{point}{rate}: {} is ahead; {leader} takes {:+.1} %.",
                at[best].policy.label, change.mean
            ));
        }
    }
    let behind = lost.len();
    let note = format!("Points where another rule is ahead of {leader}, and the two are not tied.");
    document.answer.facts.push(Fact::new("Behind", format!("{behind} of {}", each.len()), note));
    document.answer.more = lost;
}

/// The plots along one axis.
fn along(axis: Axis, points: &[(f64, AtPoint<'_>)]) -> Vec<Plot> {
    type Of = fn(&Comparison) -> Option<Estimate>;
    let plots: [(&str, &str, Scale, Of); 3] = [
        ("Mean time to first token", "mean TTFT, s", Scale::Log, |rule| rule.ttft_mean_s),
        ("Hit rate", "hit rate, % of prompt tokens", Scale::Linear, |rule| rule.hit_percent),
        ("Requests within the SLO", "within the SLO, %", Scale::Linear, |rule| {
            Some(rule.within_slo_percent)
        }),
    ];
    let is_wide = |least: f64, most: f64| least > 0.0 && most / least > 8.0;
    let least = points.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|(value, _)| *value).fold(0.0, f64::max);
    let scale = if is_wide(least, most) { Scale::Log } else { Scale::Linear };
    let names = points.first().map_or(&[][..], |(_, rules)| rules);
    let plot = |(title, label, y_scale, of): (&str, &str, Scale, Of)| {
        let line = |(i, rule): (usize, &Comparison)| {
            let mut at: Vec<(f64, f64)> = points
                .iter()
                .map(|(value, rules)| (*value, of(&rules[i]).map_or(f64::NAN, |of| of.mean)))
                .collect();
            at.sort_by(|a, b| a.0.total_cmp(&b.0));
            Line::new(rule.policy.label.clone(), at)
        };
        Plot {
            title: format!("{title}, by {}", axis.name()),
            about: "Means over the seeds.".to_owned(),
            chart: Chart::Lines(Lines {
                x: html::Axis { scale, ..html::Axis::linear(axis.label()) },
                y: html::Axis { scale: y_scale, ..html::Axis::linear(label) },
                of: "policy".to_owned(),
                lines: names.iter().enumerate().map(line).collect(),
                marks: Vec::new(),
            }),
        }
    };
    plots.map(plot).into()
}
