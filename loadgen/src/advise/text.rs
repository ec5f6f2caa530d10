//! The advice in words.

use super::facts::{Facts, Rates};
use super::figures::Advice;
use super::options::{
    Alternative, ApiCost, Choice, Decision, Inputs, SPLIT_SAVES, break_even_share,
};
use super::sensitivity::{FACTOR, Sensitivity};
use crate::capacity::ENOUGH;
use crate::config::Setup;
use crate::economics::Sheet;
use crate::results::RunReport;
use crate::table::{align, plain, trimmed};
use std::fmt::Write;

#[derive(Debug)]
pub struct Asked<'a> {
    pub setup: &'a Setup,
    pub sheet: &'a Sheet,
    pub facts: &'a Facts,
    pub rates: &'a Rates,
    pub inputs: &'a Inputs,
    pub decision: &'a Decision,
    pub sensitivity: &'a [Sensitivity],
    pub played: Option<&'a RunReport>,
    pub monthly_given: bool,
    pub users_given: bool,
}

pub fn write(asked: &Asked<'_>) -> Advice {
    let mut advice = Advice::default();
    answer(&mut advice, asked);
    table(&mut advice, asked);
    why(&mut advice, asked);
    break_evens(&mut advice, asked);
    sensitivities(&mut advice, asked);
    played(&mut advice, asked);
    assumed(&mut advice, asked);
    advice
}

fn answer(advice: &mut Advice, asked: &Asked<'_>) {
    let name = asked.setup.source.name();
    let line = match (asked.decision.choice, &asked.facts.split) {
        (Choice::Cluster, _) => "CLUSTER: all requests to workers that share KV cache".to_owned(),
        (Choice::Devices, _) => "DEVICES: each request to its user's own device".to_owned(),
        (Choice::Split, Some(split)) => {
            let up_to = advice.count("split.up_to_tokens", f64::from(split.up_to_tokens));
            format!(
                "SPLIT: prompts of up to {up_to} tokens to their users' own devices, longer ones to the cluster"
            )
        }
        _ => "NOTHING that was looked at keeps the SLO".to_owned(),
    };
    advice.say(&format!("Advice for \"{name}\": {line}.\n"));
}

fn table(advice: &mut Advice, asked: &Asked<'_>) {
    let mut table = plain(&[
        "option",
        "keeps SLO",
        "on devices %",
        "workers",
        "GPUs",
        "USD/month",
        "USD/request",
        "USD/M served",
    ]);
    for option in &asked.decision.options {
        let name = option.choice.name();
        let key = |figure: &str| format!("{name}.{figure}");
        let mut cost = |figure: &str, value: Option<f64>| match value {
            Some(value) => advice.usd(&key(figure), value),
            None => "-".to_owned(),
        };
        let month = cost("usd_per_month", option.usd_per_month);
        let request = cost("usd_per_request", option.usd_per_request);
        let served = cost("usd_per_m_served", option.usd_per_m_served);
        let share = option.share_on_devices * 100.0;
        let share = advice.figure(&key("percent_on_devices"), share, format!("{share:.1}"));
        let workers = advice.count(&key("workers"), f64::from(option.workers));
        let chips = advice.count(&key("gpus"), f64::from(option.chips));
        let keeps = if option.keeps_slo { "yes" } else { "no" };
        table.add_row([
            name.to_owned(),
            keeps.to_owned(),
            share,
            workers,
            chips,
            month,
            request,
            served,
        ]);
    }
    for api in &asked.decision.api {
        let name = format!("API \"{}\"", api.name);
        let key = |figure: &str| format!("api.{}.{figure}", api.name);
        let month = advice.usd(&key("usd_per_month"), api.usd_per_month);
        let request = advice.usd(&key("usd_per_request"), api.usd_per_request);
        let tokens = asked.facts.prompt_tokens + asked.facts.output_tokens;
        let served = advice.usd(&key("usd_per_m_served"), api.usd_per_request * 1e6 / tokens);
        let none = String::new;
        table.add_row([name, none(), none(), none(), none(), month, request, served]);
    }
    align(&mut table, 1);
    advice.text += &trimmed(&table);
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
    let ttft = advice.amount("slo.ttft_s", setup.slo.ttft_s);
    let tpot = advice.amount("slo.tpot_ms", setup.slo.tpot_s * 1e3);
    advice.say(&format!(
        "SLO: {enough} of the requests with a TTFT of up to {ttft} s and a TPOT of up to {tpot} ms."
    ));
    let mut line = "Cluster, by what it shares:".to_owned();
    for (i, cluster) in facts.clusters.iter().enumerate() {
        let share = advice.percent(&format!("clusters.{i}.reused_percent"), cluster.reused_share);
        let rate = match cluster.requests_per_s_per_worker {
            None => "no load within the SLO".to_owned(),
            Some(rate) => {
                let name = format!("clusters.{i}.requests_per_s_per_worker");
                format!("{} requests/s a worker", advice.amount(&name, rate))
            }
        };
        let end = if i + 1 == facts.clusters.len() { "." } else { ";" };
        line += &format!(" \"{}\": {share} of prompt tokens reused, {rate}{end}", cluster.sharing);
    }
    advice.say(&line);
    let devices = &facts.devices;
    let within = advice.percent("devices.within_slo_percent", devices.within_slo);
    let p90 = advice.amount("devices.ttft_p90_s", devices.ttft_p90_s);
    let tpot = advice.amount("devices.tpot_mean_ms", devices.tpot_mean_s * 1e3);
    let reused = advice.percent("devices.reused_percent", devices.reused_share);
    advice.say(&format!(
        "Devices, \"{}\": {within} within the SLO, TTFT p90 {p90} s, mean TPOT {tpot} ms, {reused} of prompt tokens reused \
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
    match &facts.split {
        None => advice.say("No split: all prompts, or none, are short enough for the devices."),
        Some(split) => {
            let up_to = advice.count("split.up_to_tokens", f64::from(split.up_to_tokens));
            let share = advice.percent("split.percent_on_devices", split.share_on_devices);
            let saves = advice.percent("split.must_save_percent", SPLIT_SAVES);
            advice.say(&format!(
                "Split: prompts of up to {up_to} tokens, {share} of the requests, to devices. It is advised only if it saves \
                 {saves} of what the better side costs alone."
            ));
        }
    }
    advice.say("");
}

fn break_evens(advice: &mut Advice, asked: &Asked<'_>) {
    let Asked { facts, rates, inputs, decision, .. } = asked;
    advice.say("Break-even:");
    let devices = decision.options.iter().find(|option| option.choice == Choice::Devices);
    let against = devices.and_then(|option| Some(("devices".to_owned(), option.usd_per_request?)));
    let apis =
        decision.api.iter().map(|api| (format!("API \"{}\"", api.name), api.usd_per_request));
    for (name, usd) in against.into_iter().chain(apis) {
        let each = advice.usd(&format!("break_even.{name}.usd_per_request"), usd);
        let line = match break_even_share(facts, rates, inputs, usd) {
            Ok(share) => {
                let key = format!("break_even.{name}.reused_percent");
                format!("from {} of prompt tokens reused on", advice.percent(&key, share))
            }
            Err(true) => "at any share of reused tokens that was simulated".to_owned(),
            Err(false) => "at no share of reused tokens that was simulated".to_owned(),
        };
        advice.say(&format!(
            "- sharing: the cluster costs less than {name} ({each} USD a request) {line}."
        ));
    }
    let longest = f64::from(facts.devices.longest_in_time);
    let longest = advice.count("break_even.prompt_tokens", longest);
    advice.say(&format!(
        "- context: a device that is cool and idle begins to answer in time prompts of up to {longest} tokens, nothing \
         cached."
    ));
    match facts.break_even_gb_s {
        None => advice.say("- bandwidth: nothing is reused, so no tier has anything to load."),
        Some(gb_s) => {
            let gb_s = advice.amount("break_even.gb_s", gb_s);
            advice.say(&format!(
                "- bandwidth: a tier that gives a worker more than {gb_s} GB/s loads the reused part of the mean prompt faster \
                 than it is computed."
            ));
        }
    }
    for api in &decision.api {
        passed(advice, api);
    }
    if let Some(line) = charged(advice, asked) {
        advice.say(&line);
    }
    advice.say("");
}

fn passed(advice: &mut Advice, api: &ApiCost) {
    let name = &api.name;
    match (api.passed_at_requests, api.passed_at_usd_per_month) {
        (Some(requests), Some(usd)) => {
            let requests = advice.count(&format!("break_even.{name}.requests"), requests);
            let usd = advice.usd(&format!("break_even.{name}.usd_per_month"), usd);
            advice.say(&format!(
                "- volume: the cluster passes API \"{name}\" at {requests} requests a month, {usd} USD of API spend, but for \
                 the steps of whole workers."
            ));
        }
        _ => advice.say(&format!(
            "- volume: the cluster never passes API \"{name}\": a worker's month costs more than the API takes for all that \
             it serves in it."
        )),
    }
}

/// The charged share of the devices at which they cost what the cluster does.
fn charged(advice: &mut Advice, asked: &Asked<'_>) -> Option<String> {
    let Asked { rates, inputs, decision, .. } = asked;
    let of = |choice| decision.options.iter().find(|option| option.choice == choice);
    let usd = |option: Option<&Alternative>| option.and_then(|option| option.usd_per_month);
    let (cluster, devices) = (usd(of(Choice::Cluster))?, usd(of(Choice::Devices))?);
    let hours = super::options::MONTH_S / 3600.0;
    let whole = inputs.users * rates.device_owned_usd_per_hour * inputs.device_price * hours;
    let power = devices - inputs.charged_share * whole;
    let share = (cluster - power) / whole;
    let bought = advice.usd("devices.usd_per_month_if_bought", power + whole);
    let line = match share {
        _ if share <= 0.0 => "they cost more than the cluster by their power alone".to_owned(),
        _ if share >= 1.0 => "they cost less than the cluster even then".to_owned(),
        share => {
            let share = advice.percent("break_even.charged_percent", share);
            format!("they cost less than the cluster while up to {share} of that is charged")
        }
    };
    Some(format!(
        "- devices: bought for this they would cost {bought} USD a month, power included; {line}."
    ))
}

fn sensitivities(advice: &mut Advice, asked: &Asked<'_>) {
    let factor = advice.figure("sensitivity.factor", FACTOR, FACTOR.to_string());
    advice.say(&format!(
        "Most sensitive to (each input made {factor} times larger and smaller, the others as they are):"
    ));
    for (i, sensitivity) in asked.sensitivity.iter().take(2).enumerate() {
        let mut line = format!("- {}:", sensitivity.input);
        for (j, case) in sensitivity.cases.iter().enumerate() {
            let key = |figure: &str| format!("sensitivity.{i}.{j}.{figure}");
            let what = case.what.trim_start_matches("times ");
            let value = what.parse().unwrap_or_default();
            let shown = advice.figure(&key("input"), value, what.to_owned());
            let by = if what == case.what { "" } else { "times " };
            let usd = match case.usd_per_month {
                Some(usd) => format!(" at {} USD a month", advice.usd(&key("usd_per_month"), usd)),
                None => String::new(),
            };
            let end = if j == 0 { ";" } else { "" };
            line += &format!(" {by}{shown}: {}{usd}{end}", case.choice.name());
        }
        let turns = sensitivity.flips(asked.decision.choice);
        line += if turns { ". It turns the answer round." } else { ". The answer stays." };
        advice.say(&line);
    }
    advice.say("");
}

fn played(advice: &mut Advice, asked: &Asked<'_>) {
    let Some(run) = asked.played else { return };
    let chosen = asked.decision.choice;
    let needed = asked.decision.options.iter().find(|option| option.choice == chosen);
    let needed = needed.map_or(0, |option| option.workers);
    let workers = needed.min(super::MOST_WORKERS);
    let count = advice.count("played.workers", f64::from(workers));
    let of = if workers < needed { ", in proportion" } else { "" };
    advice.say(&format!("Played at the volume's peak ({}, {count} workers{of}):", chosen.name()));
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
        let hit = advice.percent(&key("hit_percent"), figures.hit_rate);
        let ttft = advice.amount(&key("ttft_p90_s"), figures.ttft_s.p90);
        let tpot = advice.amount(&key("tpot_mean_ms"), figures.tpot_s.mean * 1e3);
        advice.say(&format!(
            "- {side}: {requests} requests, {within} within the SLO, {hit} of prompt tokens reused, TTFT p90 {ttft} s, mean TPOT \
             {tpot} ms."
        ));
    }
    if misses {
        advice.say(
            "Played so it misses the SLO: throughput is not in proportion to the workers here.",
        );
    }
    advice.say("");
}

fn assumed(advice: &mut Advice, asked: &Asked<'_>) {
    let Asked { setup, sheet, rates, inputs, .. } = asked;
    advice.say("Assumed:");
    let peak = advice.amount("inputs.peak", inputs.peak);
    let users = advice.count("inputs.users", inputs.users);
    let each = advice.count("inputs.requests_per_user", inputs.monthly_requests / inputs.users);
    let why = if asked.users_given { "" } else { ", unless --users says otherwise" };
    advice.say(&format!(
        "- the busiest time has {peak} times the mean rate, and the cluster is made for it."
    ));
    advice.say(&format!("- {users} users, each with a device and {each} requests a month{why}."));
    let worker = rates.worker_usd_per_hour / f64::from(rates.chips_per_worker);
    let gpu = advice.usd("rates.gpu_usd_per_hour", worker);
    let kwh = advice.usd("prices.user_usd_per_kwh", sheet.user.usd_per_kwh);
    let share = advice.percent("inputs.charged_percent", inputs.charged_share);
    advice.say(&format!(
        "- a GPU costs {gpu} USD an hour, power and host included, whether it works or not; a device's power {kwh} USD/kWh, \
         and {share} of its price and idle power is charged."
    ));
    for api in &sheet.api {
        let name = &api.name;
        let key = |figure: &str| format!("prices.{name}.{figure}");
        let input = advice.usd(&key("input"), api.input);
        let cached = advice.usd(&key("cached"), api.cached);
        let output = advice.usd(&key("output"), api.output);
        advice.say(&format!(
            "- API \"{name}\": {input} USD a million input tokens, {cached} cached, {output} output; its cache finds what the \
             cluster's finds."
        ));
    }
    advice.say(
        "- throughput is in proportion to the number of workers, and whole workers are rented.",
    );
    let models = "- the devices run another model than the cluster, and an API a third: what their answers are worth is NOT \
                  compared. A cheaper option is cheaper, not as good.";
    advice.say(models);
    let profile = setup.fleet.profile();
    let device = &setup.devices.as_ref().expect("a scenario with devices").profile;
    for profile in [profile, device] {
        let standing = profile.standing();
        if !standing.validated {
            let band = match standing.band_percent {
                Some(percent) => {
                    let key = format!("band.{}", profile.name);
                    format!(", times may be {} % off either way", advice.amount(&key, percent))
                }
                None => String::new(),
            };
            advice.say(&format!("- profile \"{}\" is unvalidated{band}.", profile.name));
        }
    }
    advice.say("- prefill behind a cached prefix is modelled on every device.");
}

/// One row an option.
pub fn csv(decision: &Decision) -> String {
    let mut text =
        "option,chosen,keeps_slo,share_on_devices,workers,gpus,usd_per_month,usd_per_request,usd_per_m_served\n"
            .to_owned();
    let known = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for option in &decision.options {
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{}",
            option.choice.name(),
            option.choice == decision.choice,
            option.keeps_slo,
            option.share_on_devices,
            option.workers,
            option.chips,
            known(option.usd_per_month),
            known(option.usd_per_request),
            known(option.usd_per_m_served)
        )
        .expect("a string takes all");
    }
    text
}
