//! The advice as a text.

mod assumed;
mod break_even;
mod compare;

use super::asked::Asked;
use super::band::Band;
use super::choice::Choice;
use super::facts::{Cluster, Split};
use super::figures::Advice;
use super::option_sheet;
use super::options::{MOST_WORKERS, SPLIT_SAVES};
use super::sensitivity::{FACTOR, KV_ROOM, Sensitivity};
use crate::figures::ENOUGH;

/// The whole advice.
pub fn write(asked: &Asked<'_>) -> Advice {
    let mut advice = Advice::default();
    answer(&mut advice, asked);
    option_sheet::write(&mut advice, asked);
    why(&mut advice, asked);
    compare::write(&mut advice, asked);
    break_even::write(&mut advice, asked);
    sensitivities(&mut advice, asked);
    played(&mut advice, asked);
    assumed::write(&mut advice, asked);
    advice
}

fn answer(advice: &mut Advice, asked: &Asked<'_>) {
    let name = asked.setup.source.name();
    let split = asked.facts.splits.iter().find(|split| split.choice == asked.decision.choice);
    let line = match (asked.decision.choice, split) {
        (Choice::Cluster, _) => "CLUSTER: all requests to workers that share KV cache".to_owned(),
        (Choice::ClusterSameModel, _) => {
            "CLUSTER, with the devices' model, which costs less there than on the devices"
                .to_owned()
        }
        (Choice::Devices, _) => "DEVICES: each request to its user's own device".to_owned(),
        (Choice::SplitByLength | Choice::SplitByClass, Some(split)) => {
            let stays = which(advice, split);
            format!("SPLIT: {stays} to their users' own devices, the others to the cluster")
        }
        _ => "NOTHING that was looked at keeps the SLO".to_owned(),
    };
    advice.say(&format!("Advice for \"{name}\": {line}."));
    rests_on(advice, asked);
    advice.say("");
}

/// What the answer depends on, or how far the cluster is from the SLO.
fn rests_on(advice: &mut Advice, asked: &Asked<'_>) {
    let Asked { facts, inputs, decision, .. } = asked;
    if decision.choice == Choice::Nothing
        && let Some(least) = facts.whole().and_then(|cluster| cluster.least)
    {
        let last = facts.clusters.len() - 1;
        let key = |figure: &str| format!("clusters.{last}.least.{figure}");
        let ttft = advice.known(&key("ttft_p90_s"), least.ttft_p90_s, "s");
        let tpot = advice.known(&key("tpot_mean_ms"), milliseconds(least.tpot_mean_s), "ms");
        advice.say(&format!(
            "Even at the least load the cluster has a TTFT p90 of {ttft} and a mean TPOT of {tpot}; --ttft and --tpot ask \
             for more."
        ));
    }
    if decision.options.iter().any(|o| o.choice == decision.choice && o.share_on_devices > 0.0) {
        let share = advice.percent("inputs.charged_percent", inputs.charged_share);
        advice.say(&format!(
            "It counts users' devices as theirs already: {share} of their price and idle power is charged (--charged-share)."
        ));
    }
}

fn why(advice: &mut Advice, asked: &Asked<'_>) {
    let Asked { setup, facts, inputs, .. } = asked;
    let requests = advice.count("inputs.monthly_requests", inputs.monthly_requests);
    let prompt = advice.count("facts.prompt_tokens", facts.prompt_tokens);
    let output = advice.count("facts.output_tokens", facts.output_tokens);
    let per_month = inputs.monthly_requests * (facts.prompt_tokens + facts.output_tokens) / 1e6;
    let tokens = advice.count("inputs.monthly_m_tokens", per_month);
    let origin = if asked.monthly_given { "" } else { " (the workload's own rate at the peak)" };
    advice.say(&format!(
        "Volume: {requests} requests a month{origin} of {prompt} prompt and {output} answer tokens in the mean, \
         {tokens} million tokens."
    ));
    let enough = advice.percent("slo.share", ENOUGH);
    let each = if setup.source.classes().is_empty() { "" } else { " of each class" };
    let ttft = advice.amount("slo.ttft_s", setup.slo.ttft_s);
    let tpot = advice.amount("slo.tpot_ms", setup.slo.tpot_s * 1e3);
    advice.say(&format!(
        "SLO: {enough} of the requests{each} with a TTFT of up to {ttft} s and a TPOT of up to {tpot} ms."
    ));
    advice.say("Cluster, by what it shares:");
    for (i, cluster) in facts.clusters.iter().enumerate() {
        let said = serves(advice, &format!("clusters.{i}"), cluster, facts.seeds);
        advice.say(&format!("- \"{}\": {said}", cluster.sharing));
    }
    match (&facts.same_model, &facts.no_same_model) {
        (Some(same), _) => {
            let key = "cluster_same_model";
            let chips =
                advice.count("cluster_same_model.gpus_per_worker", same.chips_per_worker.into());
            let said = serves(advice, key, &same.cluster, facts.seeds);
            advice.say(&format!(
                "- \"{}\" with the devices' model, \"{}\" in \"{}\" on {chips} GPU a worker: {said}",
                same.cluster.sharing, same.model, same.precision
            ));
        }
        (None, Some(why)) => {
            advice.say(&format!("The devices' model on the cluster is not compared: {why}."));
        }
        (None, None) => {}
    }
    let devices = &facts.devices;
    let within = advice.percent("devices.within_slo_percent", devices.within_slo.mean);
    let p90 = advice.known("devices.ttft_p90_s", devices.ttft_p90_s, "s");
    let tpot = advice.known("devices.tpot_mean_ms", milliseconds(devices.tpot_mean_s), "ms");
    let reused = advice.known_percent("devices.reused_percent", devices.reused_share);
    advice.say(&format!(
        "Devices, \"{}\": {within} within the SLO, TTFT p90 {p90}, mean TPOT {tpot}, {reused} of prompt tokens reused \
         (a user's own).",
        devices.profile
    ));
    if devices.too_large > 0 {
        let many = advice.count("devices.too_large", devices.too_large as f64);
        let of = advice.count("devices.requests", devices.requests as f64);
        advice.say(&format!(
            "A device has no room for {many} of {of} requests; they count as failed."
        ));
    }
    for class in &devices.classes {
        let key = format!("devices.{}.within_slo_percent", class.name);
        let within = advice.percent(&key, class.within_slo.mean);
        advice.say(&format!("- of class \"{}\": {within} within the SLO.", class.name));
    }
    if facts.splits.is_empty() {
        advice.say(
            "No split: nearly all requests, or none, are such that a device answers them in time.",
        );
    }
    for split in &facts.splits {
        let key = split.choice.key();
        let stays = which(advice, split);
        let share = advice.percent(&format!("{key}.percent_on_devices"), split.share_on_devices);
        let short = if split.short { TOO_SHORT } else { "" };
        let rate = match split.requests_per_s_per_worker {
            Some(rate) => rate_of(advice, key, rate),
            None => "no load within the SLO".to_owned(),
        };
        let name = split.choice.name();
        advice.say(&format!(
            "\"{name}\": {stays} to devices, {share} of all requests: {rate}{short}."
        ));
    }
    if !facts.splits.is_empty() {
        let saves = advice.percent("split.must_save_percent", SPLIT_SAVES);
        advice.say(&format!(
            "A split is two systems to run, and advised only if it saves {saves} of what the better side costs alone."
        ));
    }
    advice.say("");
}

/// Which requests go to devices, in words.
fn which(advice: &mut Advice, split: &Split) -> String {
    match (&split.stays.classes, split.stays.up_to_tokens) {
        (Some(names), _) => format!("requests of class \"{}\"", names.join("\", \"")),
        (None, up_to) => {
            let key = format!("{}.up_to_tokens", split.choice.key());
            let up_to = advice.count(&key, f64::from(up_to.unwrap_or(0)));
            format!("prompts of up to {up_to} tokens")
        }
    }
}

const TOO_SHORT: &str =
    " (an upper bound: the workload is too short to show that it could be kept up)";

/// What a cluster serves within the SLO, or how it misses it.
fn serves(advice: &mut Advice, key: &str, cluster: &Cluster, seeds: u64) -> String {
    let share = advice.known_percent(&format!("{key}.reused_percent"), cluster.reused_share);
    let rate = match (cluster.requests_per_s_per_worker, cluster.least) {
        (Some(rate), _) => rate_of(advice, key, rate),
        (None, None) => "no load within the SLO".to_owned(),
        (None, Some(least)) => {
            let with = without(advice, key, cluster.seeds_without, seeds);
            let key = |figure: &str| format!("{key}.least.{figure}");
            let within = advice.percent(&key("within_slo_percent"), least.within_slo);
            let ttft = advice.known(&key("ttft_p90_s"), least.ttft_p90_s, "s");
            let tpot = advice.known(&key("tpot_mean_ms"), milliseconds(least.tpot_mean_s), "ms");
            format!(
                "no load within the SLO{with}: at the least that was tried {within} of the requests are, TTFT p90 {ttft}, \
                 mean TPOT {tpot}"
            )
        }
    };
    let short = if cluster.short { TOO_SHORT } else { "" };
    format!("{share} of prompt tokens reused, {rate}{short}.")
}

/// How many of the seeds have no load within the SLO. Empty if all of them.
fn without(advice: &mut Advice, key: &str, without: u64, seeds: u64) -> String {
    if without == seeds {
        return String::new();
    }
    let without = advice.count(&format!("{key}.seeds_without"), without as f64);
    let seeds = advice.count("facts.seeds", seeds as f64);
    format!(" with {without} of {seeds} seeds")
}

/// The mean over the seeds, and its band.
fn rate_of(advice: &mut Advice, key: &str, rate: Band) -> String {
    let name = format!("{key}.requests_per_s_per_worker");
    let mean = advice.amount(&name, rate.mean);
    let low = advice.amount(&format!("{name}.low"), rate.low);
    let high = advice.amount(&format!("{name}.high"), rate.high);
    format!("{mean} requests/s a worker ({low} to {high})")
}

fn sensitivities(advice: &mut Advice, asked: &Asked<'_>) {
    let chosen = asked.decision.choice;
    let (rooms, others): (Vec<&Sensitivity>, Vec<&Sensitivity>) =
        asked.sensitivity.iter().partition(|one| one.input == KV_ROOM);
    let moves = |one: &&Sensitivity| one.flips(chosen) || one.effect > 1.0;
    let moving: Vec<&Sensitivity> = others.into_iter().filter(moves).take(2).collect();
    let factor = advice.figure("sensitivity.factor", FACTOR, FACTOR.to_string());
    if moving.is_empty() {
        advice.say(&format!(
            "No input that was made {factor} times larger and smaller turns the answer round, or moves its cost."
        ));
    } else {
        advice.say(&format!(
            "Most sensitive to (each input made {factor} times larger and smaller, a share nothing and all, the others as they are):"
        ));
    }
    for (i, sensitivity) in moving.into_iter().enumerate() {
        varied(advice, asked, sensitivity, &format!("sensitivity.{i}"));
    }
    // Seldom known to a few percent, and near the edge of a working set a few percent decide.
    for sensitivity in rooms {
        advice.say("With less and more room for KV on each worker:");
        varied(advice, asked, sensitivity, "sensitivity.kv_room");
    }
    advice.say("");
}

/// What is chosen with both values of an input, and what it costs.
fn varied(advice: &mut Advice, asked: &Asked<'_>, sensitivity: &Sensitivity, key: &str) {
    let mut line = format!("- {}:", sensitivity.input);
    for (j, case) in sensitivity.cases.iter().enumerate() {
        let key = |figure: &str| format!("{key}.{j}.{figure}");
        let what = case.what.trim_start_matches("times ");
        let value = what.parse().unwrap_or_default();
        let shown = advice.figure(&key("input"), value, what.to_owned());
        let by = if what == case.what { "" } else { "times " };
        let usd = match case.usd_per_month {
            Some(usd) => format!(" at {} USD a month", advice.usd(&key("usd_per_month"), usd)),
            None => String::new(),
        };
        let rate = case.requests_per_s_per_worker.filter(|_| sensitivity.input == KV_ROOM);
        let rate = rate.map_or_else(String::new, |rate| {
            let rate = advice.amount(&key("requests_per_s_per_worker"), rate);
            format!(", the cluster serves {rate} requests/s a worker")
        });
        let end = if j == 0 { ";" } else { "" };
        line += &format!(" {by}{shown}: {}{usd}{rate}{end}", case.choice.name());
    }
    let turns = sensitivity.flips(asked.decision.choice);
    line += if turns { ". It turns the answer round." } else { ". The answer stays." };
    advice.say(&line);
}

fn played(advice: &mut Advice, asked: &Asked<'_>) {
    let Some(run) = asked.played else { return };
    let chosen = asked.decision.choice;
    let needed = asked.decision.options.iter().find(|option| option.choice == chosen);
    let needed = needed.map_or(0, |option| option.workers);
    let workers = needed.min(MOST_WORKERS);
    let count = advice.count("played.workers", f64::from(workers));
    let of = if workers < needed { ", in proportion" } else { "" };
    let plural = if workers == 1 { "worker" } else { "workers" };
    advice.say(&format!("Played at the volume's peak ({}, {count} {plural}{of}):", chosen.name()));
    let sides = match &run.devices {
        None => vec![("all", &run.figures)],
        Some(report) => {
            let mut sides = vec![("together", &run.figures), ("devices", &report.devices)];
            sides.extend(report.cluster.as_ref().map(|cluster| ("cluster", cluster)));
            sides
        }
    };
    let misses = run.figures.within_slo < ENOUGH;
    for (side, figures) in sides {
        let key = |figure: &str| format!("played.{side}.{figure}");
        let requests = advice.count(&key("requests"), figures.requests as f64);
        let within = advice.percent(&key("within_slo_percent"), figures.within_slo);
        let hit = advice.known_percent(&key("hit_percent"), figures.hit_rate);
        let ttft = advice.known(&key("ttft_p90_s"), figures.ttft_s.map(|ttft| ttft.p90), "s");
        let tpot = advice.known(
            &key("tpot_mean_ms"),
            milliseconds(figures.tpot_s.map(|tpot| tpot.mean)),
            "ms",
        );
        advice.say(&format!(
            "- {side}: {requests} requests, {within} within the SLO, {hit} of prompt tokens reused, TTFT p90 {ttft}, mean TPOT \
             {tpot}."
        ));
    }
    if misses {
        advice.say(
            "Played so it misses the SLO: throughput is not in proportion to the workers here.",
        );
    }
    advice.say("");
}

fn milliseconds(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| seconds * 1e3)
}
