//! The ladder: a row for each rung.

use super::ladder::DEVICES;
use super::measured::{Measured, Seeds};
use super::ratios::{Ratio, claims};
use crate::figures::Found;
use crate::report::columns::{self, percent};
use crate::report::rooms;
use crate::setup::Setup;
use crate::studies::measure::{BOUNDS, Throughput};
use warmpath_core::id::{MAX_TIERS, ORIGINS};
use warmpath_core::report::ByOwner;
use warmpath_sheet::{Column, Field, Form, Format, Page, Sheet, Style, Value};

type Of = Field<'static, Seeds>;

const DATA: [&str; 23] = [
    "rung",
    "profile",
    "profile_validated",
    "chips",
    "requests",
    "errors",
    "hit_rate",
    "hit_own_session",
    "hit_other_session",
    "hit_public",
    "ttft_mean_s",
    "ttft_p90_s",
    "tpot_mean_s",
    "within_slo",
    "requests_per_s_at_slo",
    "served_tokens_per_s_per_chip",
    "computed",
    "reused",
    "output",
    "chips_needed",
    "usd_per_m_served",
    "usd_per_m_output",
    "kwh_per_m_served",
];
const REUSE: [&str; 5] = ["rung", "hit_rate", "hit_own_session", "hit_other_session", "hit_public"];
const SERVICE: [&str; 5] = ["ttft_mean_s", "ttft_p90_s", "tpot_mean_s", "within_slo", "errors"];
const AT_SLO: [&str; 13] = [
    "rung",
    "load",
    "requests_per_s_at_slo",
    "served_tokens_per_s_per_chip",
    "computed",
    "reused",
    "output",
    "hit_rate_at_slo",
    "chips_needed",
    "usd_per_m_served",
    "usd_per_m_output",
    "kwh_per_m_served",
    "remark",
];

/// What a person reads: the workload's own load, the highest load within the SLO, and what follows from both.
pub fn page(setup: &Setup, rungs: &[Seeds], ratios: &[Ratio]) -> Page {
    let load = match setup.source.concurrency() {
        Some(sessions) => format!("{sessions} sessions at once"),
        None => "the workload's own rate".to_owned(),
    };
    let all = sheet(rungs);
    let tiers = tiers(rungs).into_iter().map(|(name, _)| format!("hit_rate_{name}"));
    let own = REUSE.map(str::to_owned).into_iter().chain(tiers);
    let own = own.chain(SERVICE.map(str::to_owned));
    let mut page = Page::default();
    let (source, fleet) = (setup.source.name(), setup.fleet.title());
    page.prose([format!("{source}, {fleet}, {}", setup.seeds_in_words())]);
    page.sheet(all.pick(own).titled(format!("At {load}:")));
    let title = "At the highest load of which 90 % are within the SLO:".to_owned();
    page.sheet(all.pick(AT_SLO).titled(title));
    let in_rooms = |rung: &Seeds| {
        let rung = rung.first();
        let of_rung = |&room| (rung.name.to_owned(), room);
        rung.kv_room.iter().map(of_rung).collect::<Vec<_>>()
    };
    let of_first = if setup.seeds == 1 { "" } else { ", of the first seed" };
    page.sheet(rooms::of(
        &format!("The same load with other room for KV{of_first}:"),
        "rung",
        rungs.iter().flat_map(in_rooms),
    ));
    let slo = &setup.slo;
    let mut lines = vec![
        format!(
            "SLO: TTFT up to {} s, TPOT up to {} ms. Tokens/s/GPU: the sum of computed and reused prompt \
             tokens and of answers (output). GPUs: needed for the load of the first table, if throughput is \
             in proportion to them. Of devices, costs are those at that load; their energy counts idle \
             hours, their costs only as far as they are charged.",
            slo.ttft_s,
            slo.tpot_s * 1e3
        ),
        sureness(setup),
    ];
    lines.extend(claims(ratios));
    lines.extend(notes(setup, rungs));
    page.prose(lines);
    page
}

/// How far a figure may be trusted.
fn sureness(setup: &Setup) -> String {
    let found = format!("Each load is found within {:.2} %", BOUNDS.within * 100.0);
    match setup.seeds {
        1 => format!(
            "{found}, on one seed: closer rungs are not told apart, and other seeds may lie further apart than that."
        ),
        seeds => format!(
            "{found}, with each seed. Figures are means over {seeds} seeds, with 95 % intervals (Student's t). GPUs are \
             those of the seed that needs most."
        ),
    }
}

/// What programs read.
pub fn data(rungs: &[Seeds]) -> Sheet {
    sheet(rungs).pick(DATA)
}

/// The sheet without rows, with a column for a tier in general.
pub fn blank() -> Sheet {
    let tiers = [("TIER".to_owned(), 0), ("pool".to_owned(), 0), ("peers".to_owned(), 0)];
    form(&tiers).sheet("Sharing: a row for each rung of the ladder")
}

fn sheet(rungs: &[Seeds]) -> Sheet {
    let form = form(&tiers(rungs));
    let mut sheet = form.sheet("");
    rungs.iter().for_each(|rung| sheet.push(form.row(rung)));
    sheet
}

fn form(tiers: &[(String, usize)]) -> Form<'static, Seeds> {
    let parts = which_rung().into_iter().chain(hits()).chain(tiers.iter().map(origin));
    Form::new(parts.chain(service()).chain(throughput()).chain(costs()))
}

fn which_rung() -> Vec<Of> {
    let text = Column::text;
    let chips = "Chips of the fleet; 0 where devices serve.";
    let validated = "Whether the profile's times were compared with measurements.";
    vec![
        text("rung", "rung", "The rung: each shares what the one above it does, and more.")
            .of(|rung: &Seeds| rung.first().name),
        text("profile", "profile", "The profile of the workers, or of the devices.")
            .of(|rung: &Seeds| rung.first().profile.clone()),
        text("profile_validated", "validated", validated)
            .of(|rung: &Seeds| rung.first().profile_validated),
        Column::number("chips", "chips", "chips", chips).of(|rung: &Seeds| rung.first().chips),
        columns::requests().of(|rung: &Seeds| rung.first().requests),
    ]
}

/// A mean over the seeds, with its interval; blank where a seed has no such figure.
fn interval(rung: &Seeds, of: impl Fn(&Measured) -> Option<f64>) -> Value {
    let over = rung.over(of);
    over.map_or(Value::Blank, |over| Value::interval(over.mean, over.half_width_95))
}

fn hits() -> Vec<Of> {
    let own = "The part of the hit rate that earlier requests of the same session left.";
    let other = "The part of the hit rate that requests of other sessions left.";
    let public = "The part of the hit rate that lay in the operator's public prefix.";
    let part = |of: fn(&ByOwner<f64>) -> f64| {
        move |rung: &Seeds| rung.mean(|rung| rung.hit_rate_by_owner.as_ref().map(of))
    };
    vec![
        columns::hit_rate()
            .interval()
            .of(|rung: &Seeds| known(interval(rung, |rung| rung.hit_rate))),
        percent("hit_own_session", "own session", own).of(part(|parts| parts.own_session)),
        percent("hit_other_session", "other", other).of(part(|parts| parts.other_session)),
        percent("hit_public", "public", public).of(part(|parts| parts.public)),
    ]
}

/// A figure that should be there.
fn known(value: Value) -> Value {
    if value == Value::Blank { Value::Absent } else { value }
}

/// The part of the hit rate that lay in one place; blank where it is nothing.
fn origin((name, place): &(String, usize)) -> Of {
    let (name, place) = (name.clone(), *place);
    let meaning = format!("The part of the hit rate that came from {name}.");
    Column::number(format!("hit_rate_{name}"), name, "share", meaning)
        .format(Format::percent(1))
        .of(move |rung: &Seeds| {
            let share = rung.mean(|rung| Some(rung.hit_rate_by_tier?[place]));
            Value::or_blank(share.filter(|&share| share != 0.0))
        })
}

/// Names of the origins of hits that any rung has, with their places.
fn tiers(rungs: &[Seeds]) -> Vec<(String, usize)> {
    let rungs = || rungs.iter().flat_map(|rung| &rung.each);
    let most = rungs().max_by_key(|rung| rung.tiers.len());
    let own = most.map_or(&[][..], |rung| &rung.tiers).iter().cloned().zip(0..);
    let others = ["pool".to_owned(), "peers".to_owned()].into_iter().zip(MAX_TIERS..ORIGINS);
    let had = |&(_, origin): &(String, usize)| {
        origin < MAX_TIERS
            || rungs().any(|rung| rung.hit_rate_by_tier.is_some_and(|shares| shares[origin] > 0.0))
    };
    own.chain(others).filter(had).collect()
}

fn service() -> Vec<Of> {
    vec![
        columns::ttft_mean()
            .interval()
            .of(|rung: &Seeds| known(interval(rung, |rung| rung.ttft_s.map(|ttft| ttft.mean)))),
        columns::ttft_p90().of(|rung: &Seeds| rung.mean(|rung| rung.ttft_s.map(|ttft| ttft.p90))),
        columns::tpot_mean().of(|rung: &Seeds| rung.mean(|rung| rung.tpot_s.map(|tpot| tpot.mean))),
        columns::within_slo().of(|rung: &Seeds| rung.mean(|rung| Some(rung.within_slo))),
        columns::failed().of(|rung: &Seeds| rung.each.iter().map(|rung| rung.errors).sum::<u64>()),
    ]
}

/// At the highest load within the SLO; blank where there is none.
fn throughput() -> Vec<Of> {
    let tokens = |key, heading, meaning, of: fn(&Throughput) -> f64| {
        Column::number(key, heading, "tokens/s/chip", meaning)
            .format(Format::digits(0))
            .of(move |rung: &Seeds| Value::or_blank(rung.mean(|rung| rung.at_slo.as_ref().map(of))))
    };
    let load = "The highest load that keeps the SLO, divided by the workload's own.";
    let served = "Prompt tokens, computed or reused, and answer tokens served a second by a chip.";
    let needed =
        "Chips that the workload's own load takes, if throughput is in proportion to them.";
    vec![
        Column::number("load", "load", "ratio", load)
            .format(Format::digits(2).suffix("x"))
            .interval()
            .of(|rung: &Seeds| interval(rung, Measured::load)),
        Column::number(
            "requests_per_s_at_slo",
            "req/s",
            "requests/s",
            "Requests a second at that load.",
        )
        .format(Format::digits(2))
        .of(|rung: &Seeds| {
            Value::or_blank(rung.mean(|rung| rung.at_slo.map(|at| at.requests_per_s)))
        }),
        Column::number("served_tokens_per_s_per_chip", "tokens/s/GPU", "tokens/s/chip", served)
            .format(Format::digits(0))
            .interval()
            .of(|rung: &Seeds| interval(rung, |rung| rung.at_slo.map(|at| at.served))),
        tokens("computed", "computed", "Prompt tokens computed a second by a chip.", |at| {
            at.prompt_computed
        }),
        tokens("reused", "reused", "Prompt tokens reused a second by a chip.", |at| {
            at.prompt_reused
        }),
        tokens("output", "output", "Answer tokens a second by a chip.", |at| at.output),
        percent("hit_rate_at_slo", "hit %", "The hit rate at that load.")
            .of(|rung: &Seeds| Value::or_blank(rung.mean(|rung| rung.hit_rate_at_slo))),
        Column::number("chips_needed", "GPUs", "chips", needed).of(|rung: &Seeds| {
            // Whole workers: those of the seed that needs most.
            let needed: Option<Vec<u32>> = rung.each.iter().map(|rung| rung.chips_needed).collect();
            Value::or_blank(needed.and_then(|needed| needed.into_iter().max()))
        }),
    ]
}

fn costs() -> Vec<Of> {
    let number = |key, heading, unit, meaning| {
        Column::number(key, heading, unit, meaning).format(Format::of(Style::Amount))
    };
    let served = "Cost of a million prompt and answer tokens.";
    let energy = "Energy of a million prompt and answer tokens.";
    vec![
        number("usd_per_m_served", "USD/M served", "USD/M tokens", served)
            .interval()
            .of(|rung: &Seeds| known(interval(rung, |rung| rung.usd_per_m_served))),
        number(
            "usd_per_m_output",
            "USD/M output",
            "USD/M tokens",
            "Cost of a million answer tokens.",
        )
        .of(|rung: &Seeds| rung.mean(|rung| rung.usd_per_m_output)),
        number("kwh_per_m_served", "kWh/M served", "kWh/M tokens", energy)
            .of(|rung: &Seeds| rung.mean(|rung| rung.kwh_per_m_served)),
        Column::text("remark", "", "Why there is no load, or why the load is a bound.")
            .wraps()
            .of(remark),
    ]
}

/// How the searches ended, if one of them found no load or a bound.
fn remark(rung: &Seeds) -> Value {
    let remarks: Vec<String> = rung.each.iter().filter_map(remark_of).collect();
    match remarks.first() {
        None => Value::Blank,
        Some(first) if remarks.len() == rung.each.len() => first.clone().into(),
        Some(first) => format!("{} of {} seeds: {first}", remarks.len(), rung.each.len()).into(),
    }
}

fn remark_of(rung: &Measured) -> Option<String> {
    match rung.capacity? {
        Found::At { short: true, .. } => Some("too short: an upper bound".to_owned()),
        Found::AtLeast { .. } => Some("at least".to_owned()),
        Found::Nowhere { rate_scale, within_slo } => {
            Some(format!("{:.0} % in SLO even at {rate_scale:.3}x", within_slo * 100.0))
        }
        Found::At { .. } => None,
    }
}

fn notes(setup: &Setup, rungs: &[Seeds]) -> Vec<String> {
    let mut notes = Vec::new();
    if setup.source.tenants().count() == 1 {
        let tenants = "One tenant: what the operator could declare public is in its scope anyway (--tenants).";
        notes.push(tenants.to_owned());
    }
    if let Some(devices) = rungs.iter().map(Seeds::first).find(|rung| rung.name == DEVICES) {
        notes.push(format!(
            "Devices of profile {} run another model than the workers: costs compare, answers do not. They \
             are charged by user.charged_share of the price sheet.",
            devices.profile
        ));
    }
    for rung in rungs {
        let why = rung.each.iter().find_map(|rung| rung.invalid_because.as_ref());
        let rung = rung.first();
        notes.extend(why.map(|why| format!("! {} is not valid: {why}", rung.name)));
    }
    let mut names: Vec<&str> = Vec::new();
    for rung in rungs.iter().map(Seeds::first).filter(|rung| !rung.profile_validated) {
        if !names.contains(&rung.profile.as_str()) {
            names.push(&rung.profile);
        }
    }
    if !names.is_empty() {
        notes.push(format!("Unvalidated profiles: {}.", names.join(", ")));
    }
    notes.extend(setup.source.note());
    notes.push(
        "Prefill behind a cached prefix is measured on one device (vLLM on an H100) and modelled on others.".to_owned(),
    );
    notes
}
