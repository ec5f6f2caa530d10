//! The ladder and the sweep as tables and as CSV.

use super::sweep::Point;
use super::{CLAIM, DEVICES, Measured, Ratio};
use crate::figures::Found;
use crate::play::capacity::step;
use crate::report::amount;
use crate::report::layout::{align, plain, trimmed};
use crate::setup::Setup;
use crate::studies::measure::BOUNDS;
use std::fmt::Write;
use warmpath_core::id::{MAX_TIERS, ORIGINS};

pub fn ladder(setup: &Setup, rungs: &[Measured], ratios: &[Ratio]) -> String {
    let load = match setup.source.concurrency() {
        Some(sessions) => format!("{sessions} sessions at once"),
        None => "the workload's own rate".to_owned(),
    };
    let mut text = format!(
        "{}, {}, seed {}\n\nAt {load}:\n\n{}",
        setup.source.name(),
        setup.fleet.title(),
        setup.seed,
        reuse(rungs)
    );
    text += "At the highest load of which 90 % are within the SLO:\n\n";
    text += &throughput(rungs);
    let slo = &setup.slo;
    text += &format!(
        "SLO: TTFT up to {} s, TPOT up to {} ms. Tokens/s/GPU: the sum of computed and reused prompt tokens and of answers \
         (output). GPUs: needed for the load of the first table, if throughput is in proportion to them. Of devices, \
         costs are those at that load; their energy counts idle hours, their costs only as far as they are charged.\n",
        slo.ttft_s,
        slo.tpot_s * 1e3
    );
    text += &format!(
        "Each load is found within {:.2} %, on one seed: closer rungs are not told apart, and other seeds may lie \
         further apart than that.\n",
        step(BOUNDS) * 100.0
    );
    text += &claims(ratios);
    text += &notes(setup, rungs);
    text
}

fn reuse(rungs: &[Measured]) -> String {
    let tiers = tiers(rungs);
    let mut header = vec!["rung", "hit %", "own session", "other", "public"];
    header.extend(tiers.iter().map(|(name, _)| name.as_str()));
    header.extend(["TTFT s mean", "p90", "TPOT ms", "in SLO %", "failed"]);
    let mut table = plain(&header);
    for rung in rungs {
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let owners = rung.hit_rate_by_owner;
        let mut row = vec![
            rung.name.to_owned(),
            percent(rung.hit_rate),
            percent(owners.own_session),
            percent(owners.other_session),
            percent(owners.public),
        ];
        row.extend(tiers.iter().map(|&(_, origin)| match rung.hit_rate_by_tier[origin] {
            0.0 => String::new(),
            share => percent(share),
        }));
        row.extend([
            format!("{:.3}", rung.ttft_s.mean),
            format!("{:.3}", rung.ttft_s.p90),
            format!("{:.1}", rung.tpot_s.mean * 1e3),
            percent(rung.within_slo),
            rung.errors.to_string(),
        ]);
        table.add_row(row);
    }
    align(&mut table, 1);
    trimmed(&table)
}

/// The origins of hits in any rung: names and places.
fn tiers(rungs: &[Measured]) -> Vec<(String, usize)> {
    let most = rungs.iter().max_by_key(|rung| rung.tiers.len());
    let own = most.map_or(&[][..], |rung| &rung.tiers).iter().cloned().zip(0..);
    let others = ["pool".to_owned(), "peers".to_owned()].into_iter().zip(MAX_TIERS..ORIGINS);
    let had = |&(_, origin): &(String, usize)| {
        origin < MAX_TIERS || rungs.iter().any(|rung| rung.hit_rate_by_tier[origin] > 0.0)
    };
    own.chain(others).filter(had).collect()
}

fn throughput(rungs: &[Measured]) -> String {
    let mut table = plain(&[
        "rung",
        "load",
        "req/s",
        "tokens/s/GPU",
        "computed",
        "reused",
        "output",
        "hit %",
        "GPUs",
        "USD/M served",
        "USD/M output",
        "kWh/M served",
        "",
    ]);
    for rung in rungs {
        let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), amount);
        let at_slo = rung.at_slo;
        let each = |of: &dyn Fn(&crate::studies::measure::Throughput) -> f64| {
            at_slo.as_ref().map_or_else(String::new, |at_slo| format!("{:.0}", of(at_slo)))
        };
        let (load, note) = match rung.capacity {
            None => (String::new(), String::new()),
            Some(Found::At { rate_scale, short, .. }) => {
                let note = if short { "too short: an upper bound" } else { "" };
                (format!("{rate_scale:.2}x"), note.to_owned())
            }
            Some(Found::AtLeast { rate_scale }) => {
                (format!("{rate_scale}x"), "at least".to_owned())
            }
            Some(Found::Nowhere { rate_scale, within_slo }) => (
                String::new(),
                format!("{:.0} % in SLO even at {rate_scale:.3}x", within_slo * 100.0),
            ),
        };
        table.add_row([
            rung.name.to_owned(),
            load,
            at_slo.map_or_else(String::new, |at_slo| format!("{:.2}", at_slo.requests_per_s)),
            each(&|at| at.served),
            each(&|at| at.prompt_computed),
            each(&|at| at.prompt_reused),
            each(&|at| at.output),
            rung.hit_rate_at_slo.map_or_else(String::new, |rate| format!("{:.1}", rate * 100.0)),
            rung.chips_needed.map_or_else(String::new, |chips| chips.to_string()),
            known(rung.usd_per_m_served),
            known(rung.usd_per_m_output),
            known(rung.kwh_per_m_served),
            note,
        ]);
    }
    align(&mut table, 1);
    trimmed(&table)
}

fn claims(ratios: &[Ratio]) -> String {
    let mut text = String::new();
    let of_nothing = |ratio: &Ratio| !ratio.serves && !ratio.over_serves;
    if !ratios.is_empty() && ratios.iter().all(of_nothing) {
        return "No rung serves anything within the SLO at any load, so nothing is said of 5x: set --ttft to what \
                users of such prompts wait for.\n"
            .to_owned();
    }
    for Ratio { of, over, times, serves, over_serves } in ratios {
        let said = match times {
            None if !serves && !over_serves => {
                "neither serves anything within the SLO at any load".to_owned()
            }
            None if !serves => "it serves nothing within the SLO at any load".to_owned(),
            None => "it serves within the SLO what the other does not at any load".to_owned(),
            Some(times) => {
                let reached = if *times >= CLAIM { "reached" } else { "not reached" };
                let apart = (times.max(1.0 / times) - 1.0) > step(BOUNDS);
                let apart = if apart { "" } else { " (within what a load is found to)" };
                format!("{times:.2} times the tokens/s by GPU{apart}: {CLAIM}x is {reached}")
            }
        };
        text += &format!("\"{of}\" over \"{over}\": {said}.\n");
    }
    text
}

fn notes(setup: &Setup, rungs: &[Measured]) -> String {
    let mut text = String::new();
    if setup.source.tenants().count() == 1 {
        text += "One tenant: what the operator could declare public is in its scope anyway (--tenants).\n";
    }
    if let Some(devices) = rungs.iter().find(|rung| rung.name == DEVICES) {
        text += &format!(
            "Devices of profile {} run another model than the workers: costs compare, answers do not. They are \
             charged by user.charged_share of the price sheet.\n",
            devices.profile
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for rung in rungs.iter().filter(|rung| !rung.profile_validated) {
        if !names.contains(&rung.profile.as_str()) {
            names.push(&rung.profile);
        }
    }
    if !names.is_empty() {
        text += &format!("Unvalidated profiles: {}.\n", names.join(", "));
    }
    if let Some(note) = setup.source.note() {
        text += &format!("{note}\n");
    }
    text + "Prefill behind a cached prefix is measured on one device (vLLM on an H100) and modelled on others.\n"
}

pub fn ladder_csv(rungs: &[Measured]) -> String {
    let mut text = "rung,profile,profile_validated,chips,requests,errors,hit_rate,hit_own_session,\
                    hit_other_session,hit_public,ttft_mean_s,ttft_p90_s,tpot_mean_s,within_slo,\
                    requests_per_s_at_slo,served_tokens_per_s_per_chip,computed,reused,output,\
                    chips_needed,usd_per_m_served,usd_per_m_output,kwh_per_m_served\n"
        .to_owned();
    let known = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for rung in rungs {
        let at = |of: fn(&crate::studies::measure::Throughput) -> f64| {
            known(rung.at_slo.as_ref().map(of))
        };
        let owners = rung.hit_rate_by_owner;
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            rung.name,
            rung.profile,
            rung.profile_validated,
            rung.chips,
            rung.requests,
            rung.errors,
            rung.hit_rate,
            owners.own_session,
            owners.other_session,
            owners.public,
            rung.ttft_s.mean,
            rung.ttft_s.p90,
            rung.tpot_s.mean,
            rung.within_slo,
            at(|at| at.requests_per_s),
            at(|at| at.served),
            at(|at| at.prompt_computed),
            at(|at| at.prompt_reused),
            at(|at| at.output),
            rung.chips_needed.map(|chips| chips.to_string()).unwrap_or_default(),
            known(rung.usd_per_m_served),
            known(rung.usd_per_m_output),
            known(rung.kwh_per_m_served)
        )
        .expect("a string takes all");
    }
    text
}

pub fn sweep(points: &[Point]) -> String {
    let mut table = plain(&[
        "axis",
        "reused",
        "prompt",
        "pool GB/s",
        "workers",
        "texts/HBM",
        "hit % without",
        "with",
        "req/s without",
        "with",
        "times",
        "",
    ]);
    let mut last = "";
    for point in points {
        if !last.is_empty() && last != point.axis {
            table.add_row([""]);
        }
        last = point.axis;
        let said = match point.times {
            Some(times) if times >= CLAIM => format!("{CLAIM}x reached"),
            None if point.with > 0.0 => "only with the pool".to_owned(),
            None => "neither".to_owned(),
            Some(_) => String::new(),
        };
        // Without a load there is no hit rate.
        let hit = |served: f64, rate: f64| match served > 0.0 {
            true => format!("{:.1}", rate * 100.0),
            false => "-".to_owned(),
        };
        table.add_row([
            point.axis.to_owned(),
            format!("{:.0} %", point.at.reused_share * 100.0),
            format!("{:.0}", point.at.prompt_tokens),
            point.at.gb_s.to_string(),
            point.at.workers.to_string(),
            point.at.working_set.to_string(),
            hit(point.without, point.hit_rate_without),
            hit(point.with, point.hit_rate_with),
            format!("{:.2}", point.without),
            format!("{:.2}", point.with),
            point.times.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}")),
            said,
        ]);
    }
    align(&mut table, 1);
    format!(
        "{}Requests a second within the SLO of a fleet whose texts lie in HBM alone, and of one with a pool that \
         holds all of them; one axis at a time, the others as in the first row. Each text is asked about 24 \
         times; the first half is not counted. Where one or neither keeps the SLO at any load, the last column \
         says so.\n",
        trimmed(&table)
    )
}

pub fn sweep_csv(points: &[Point]) -> String {
    let mut text =
        "axis,reused_share,prompt_tokens,pool_gb_s,workers,working_set,hit_rate_without,\
                    hit_rate_with,requests_per_s_without,requests_per_s_with,times\n"
            .to_owned();
    for point in points {
        let at = point.at;
        let times = point.times.map(|times| times.to_string()).unwrap_or_default();
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{times}",
            point.axis,
            at.reused_share,
            at.prompt_tokens,
            at.gb_s,
            at.workers,
            at.working_set,
            point.hit_rate_without,
            point.hit_rate_with,
            point.without,
            point.with
        )
        .expect("a string takes all");
    }
    text
}
