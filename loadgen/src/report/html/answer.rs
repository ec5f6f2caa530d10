//! The answer in words: which rule leads, by how much, how sure that is, and how far from the limit.

use crate::figures::{Bounds, Mode, Results};
use crate::report::entries::{Entry, ranked};
use crate::report::over_seeds::known_mean;
use std::collections::BTreeMap;
use warmpath_core::report::Slo;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_html::{Answer, Fact};
use warmpath_sheet::{Format, Style};

fn seconds(value: f64) -> String {
    Format::of(Style::Seconds).number(value)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What was played, in one line.
pub fn asked(results: &Results, all: &[Entry], rate: f64, slo: &Slo) -> String {
    let rules = all.iter().filter(|entry| entry.rate == rate).count();
    let mut rates: Vec<f64> = all.iter().map(|entry| entry.rate).collect();
    rates.dedup();
    let seeds = all.first().map_or(1, |entry| entry.runs.len());
    let requests = all.first().map_or(0, |entry| entry.runs[0].figures.offered);
    let plural = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        more => format!("{more} {}", one.replace("policy", "policie") + "s"),
    };
    let has_live = results.runs.iter().any(|run| run.mode == Mode::Live);
    let how = match (has_live, results.runs.iter().any(|run| run.mode == Mode::Sim)) {
        (true, true) => "live and simulated",
        (true, false) => "live",
        _ => "simulated",
    };
    format!(
        "{} compared, {} and {}, {how}; {requests} requests a run. SLO: TTFT up to {} s, TPOT up to {} ms.",
        plural(rules, "policy"),
        plural(rates.len(), "arrival rate"),
        plural(seeds, "seed"),
        slo.ttft_s,
        slo.tpot_s * 1e3
    )
}

pub fn answer(
    results: &Results,
    all: &[Entry],
    at_focus: &[&Entry],
    baseline: Option<&NamedPolicy>,
) -> Answer {
    let mut answer = Answer { warnings: warnings(results), ..Answer::default() };
    let ranked = ranked(at_focus);
    let Some(&(best, ttft)) = ranked.first() else {
        answer.headline =
            "No policy answered at least 99 % of its requests, so none is ranked.".to_owned();
        return answer;
    };
    answer.headline = match ranked.len() {
        1 => alone(best, ttft),
        _ => headline(all, &ranked, baseline),
    };
    let mut facts = Vec::new();
    if ranked.len() > 1 {
        facts.push(lead(&ranked, baseline));
        facts.push(sure(&ranked));
    }
    facts.extend(limits(best, ttft));
    facts.push(good(at_focus, best));
    facts.extend(capacity(results));
    facts.extend(stable(best));
    answer.facts = facts;
    answer.more = other_figures(at_focus, best);
    answer
}

/// What one row says by itself.
fn alone(entry: &Entry, ttft: f64) -> String {
    let within = entry.mean(|figures| Some(figures.within_slo)).unwrap_or(0.0);
    format!("Mean TTFT {} s; {} of the requests kept the SLO.", seconds(ttft), percent(within))
}

/// Which policies are not told apart from the best one.
fn tied<'e>(ranked: &[(&'e Entry, f64)]) -> Vec<&'e str> {
    let is_tied = |entry: &&Entry| {
        entry.compared.is_some_and(|compared| compared.by_ttft.tied_with_best == Some(true))
    };
    ranked[1..].iter().map(|(entry, _)| *entry).filter(is_tied).map(|e| e.label.as_str()).collect()
}

fn headline(all: &[Entry], at_focus: &[(&Entry, f64)], baseline: Option<&NamedPolicy>) -> String {
    let (best, ttft) = at_focus[0];
    let tied = tied(at_focus);
    let at = if several_rates(all) { format!(" at {}x", best.rate) } else { String::new() };
    let mut text = match tied.as_slice() {
        [] => format!("{} has the lowest mean TTFT{at}: {} s", best.label, seconds(ttft)),
        tied => format!(
            "{} and {} are tied for the lowest mean TTFT{at}: about {} s",
            best.label,
            tied.join(", "),
            seconds(ttft)
        ),
    };
    let base = at_focus.iter().find(|(entry, _)| entry.is_of(baseline));
    match base {
        Some((base, base_ttft))
            if base.label != best.label && !tied.contains(&base.label.as_str()) =>
        {
            let less = percent(1.0 - ttft / base_ttft);
            text.push_str(&format!(", {less} less than {}", base.label));
        }
        _ => {}
    }
    text.push('.');
    text + &elsewhere(all, best)
}

fn several_rates(all: &[Entry]) -> bool {
    all.iter().any(|entry| entry.rate != all[0].rate)
}

/// Whether the same policy leads at the other rates.
fn elsewhere(all: &[Entry], best: &Entry) -> String {
    if !several_rates(all) {
        return String::new();
    }
    let mut leaders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rates: Vec<f64> = all.iter().map(|entry| entry.rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    for rate in rates.into_iter().filter(|&rate| rate != best.rate) {
        let here: Vec<&Entry> = all.iter().filter(|entry| entry.rate == rate).collect();
        if let Some((leader, _)) = ranked(&here).first() {
            leaders.entry(leader.label.clone()).or_default().push(format!("{rate}x"));
        }
    }
    let same = leaders.len() == 1 && leaders.contains_key(&best.label);
    if same {
        return " It leads at every other rate too.".to_owned();
    }
    let said: Vec<String> =
        leaders.iter().map(|(label, rates)| format!("{label} at {}", rates.join(", "))).collect();
    if said.is_empty() {
        String::new()
    } else {
        format!(" Elsewhere the lowest has {}.", said.join("; "))
    }
}

fn lead(ranked: &[(&Entry, f64)], baseline: Option<&NamedPolicy>) -> Fact {
    let ((best, ttft), (second, next)) = (ranked[0], ranked[1]);
    let base =
        ranked.iter().find(|(entry, _)| entry.is_of(baseline) && entry.label != second.label);
    let base = base.filter(|(entry, _)| entry.label != best.label);
    let base = base.map_or_else(String::new, |(base, mean)| {
        format!("; {}, the baseline: {} s", base.label, seconds(*mean))
    });
    Fact::new(
        format!("Lead of {}", best.label),
        percent(next / ttft - 1.0),
        format!("The second, {}, has a mean TTFT of {} s{base}.", second.label, seconds(next)),
    )
}

fn sure(ranked: &[(&Entry, f64)]) -> Fact {
    let (best, second) = (ranked[0].0, ranked[1].0);
    let seeds = best.runs.len();
    let standing = second.compared.map(|compared| &compared.by_ttft);
    let change = standing.and_then(|standing| standing.change_percent);
    let Some((change, half)) = change.and_then(|one| Some((one, one.half_width_95?))) else {
        let note = match seeds {
            1 => "One seed has no interval. --seeds 5 shows how far seeds differ.",
            _ => "Every seed gave the same figures, so they count as one.",
        };
        return Fact::new("How sure", "not known", note);
    };
    let tied = tied(ranked);
    let value = match tied.len() {
        0 => "told apart".to_owned(),
        1 => format!("tied with {}", tied[0]),
        more => format!("tied with {more} others"),
    };
    let basis = match change.over_parts {
        true => "by a block bootstrap of this one run; other arrivals may differ more".to_owned(),
        false => format!("over {seeds} seeds"),
    };
    let needed = standing.and_then(|standing| standing.seeds_for_5_percent);
    let needed = needed.filter(|&needed| needed as usize > seeds && !tied.is_empty());
    let needed = needed.map_or_else(String::new, |seeds| format!(" {seeds} seeds would tell 5 %."));
    let mean = change.mean;
    let note = format!("{}: {mean:+.1} ±{half:.1} %, {basis}.{needed}", second.label);
    Fact::new("How sure", value, note)
}

/// How far the best policy is from what no policy can beat.
fn limits(best: &Entry, ttft: f64) -> Vec<Fact> {
    let of = |figure: &dyn Fn(&Bounds) -> Option<f64>| {
        known_mean(&best.runs, |run| run.bounds.as_ref().and_then(figure))
    };
    let mut facts = Vec::new();
    if let (Some(least), Some(ratio)) =
        (of(&|b| Some(b.least_ttft_mean_s)), of(&Bounds::ttft_ratio))
    {
        facts.push(Fact::new(
            "Distance from the limit",
            format!("{ratio:.1} times"),
            format!(
                "Mean TTFT {} s; no policy can go below {} s with these requests.",
                seconds(ttft),
                seconds(least)
            ),
        ));
    }
    if let (Some(hit), Some(optimal), Some(infinite)) = (
        of(&|b| Some(b.hit_rate)),
        of(&|b| Some(b.optimal_hit_rate)),
        of(&|b| Some(b.infinite_hit_rate)),
    ) {
        facts.push(Fact::new(
            format!("Hit rate of {}", best.label),
            percent(hit),
            format!(
                "Of prompt tokens. At most {} fit this memory, {} a memory without limit.",
                percent(optimal),
                percent(infinite)
            ),
        ));
    }
    facts
}

fn stable(best: &Entry) -> Option<Fact> {
    let stable = known_mean(&best.runs, |run| run.bounds.as_ref()?.stable_below_rate_scale)?;
    let note = format!("Beyond this arrival rate no policy keeps up. This is {}x.", best.rate);
    Some(Fact::new("Stable below", format!("{stable:.2}x"), note))
}

fn good(at_focus: &[&Entry], best: &Entry) -> Fact {
    let within = |entry: &Entry| entry.mean(|figures| Some(figures.within_slo)).unwrap_or(0.0);
    let top = at_focus.iter().max_by(|one, other| within(one).total_cmp(&within(other)));
    let note = match top {
        Some(top) if within(top) > within(best) + 5e-4 => {
            format!(
                "Of the requests of {}. The most has {}: {}.",
                best.label,
                top.label,
                percent(within(top))
            )
        }
        _ if at_focus.len() > 1 => format!("Of the requests of {}. No other has more.", best.label),
        _ => "Of the requests that were sent.".to_owned(),
    };
    Fact::new("Within the SLO", percent(within(best)), note)
}

fn capacity(results: &Results) -> Option<Fact> {
    let known = results.capacities.iter().filter_map(|one| Some((one, one.rate_scale?.mean)));
    let (top, rate) = known.max_by(|one, other| one.1.total_cmp(&other.1))?;
    Some(Fact::new(
        "Highest capacity",
        format!("{rate:.2}x"),
        format!(
            "{}: the highest rate at which {:.0} % of the requests keep the SLO.",
            top.policy.label,
            top.within_slo * 100.0
        ),
    ))
}

/// Where another policy leads by another figure.
fn other_figures(at_focus: &[&Entry], best: &Entry) -> Vec<String> {
    type Of = fn(&warmpath_core::report::Figures) -> Option<f64>;
    let figures: [(&str, Of, f64, &str); 3] = [
        ("TPOT", |f| Some(f.tpot_s?.mean * 1e3), 1.0, "ms mean TPOT"),
        ("time to the last token", |f| Some(f.e2e_s?.mean), 1.0, "s mean time to the last token"),
        ("p99 of TTFT", |f| Some(f.ttft_s?.p99), 1.0, "s at the 99th percentile of TTFT"),
    ];
    let mut said = Vec::new();
    for (_, of, _, unit) in figures {
        let known = at_focus.iter().filter(|entry| entry.ttft().is_some());
        let known = known.filter_map(|entry| Some((entry, entry.mean(of)?)));
        let Some((top, value)) = known.min_by(|one, other| one.1.total_cmp(&other.1)) else {
            continue;
        };
        if let Some(own) = best.mean(of).filter(|own| top.label != best.label && value < own * 0.99)
        {
            said.push(format!(
                "By another figure {} is ahead: {} {unit}, against {} of {}.",
                top.label,
                seconds(value),
                seconds(own),
                best.label
            ));
        }
    }
    said
}

/// What makes figures doubtful.
fn warnings(results: &Results) -> Vec<String> {
    let not_valid = results.runs.iter().filter(|run| !run.valid);
    let mut warnings: Vec<String> = not_valid
        .map(|run| {
            let why = run.invalid_because.as_deref().unwrap_or("unknown");
            format!("Not valid: {}, {} at {}x: {why}", run.label(), run.mode.name(), run.rate_scale)
        })
        .collect();
    warnings.dedup();
    if warnings.len() > 4 {
        let more = warnings.len() - 4;
        warnings.truncate(4);
        warnings
            .push(format!("{more} more runs are not valid; the notes below the tables say why."));
    }
    let unvalidated =
        results.runs.iter().any(|run| run.profile.is_some() && !run.profile_validated);
    if unvalidated {
        warnings.push(
            "Step times of a profile are unvalidated: compare policies with each other, not with a real fleet."
                .to_owned(),
        );
    }
    warnings
}
