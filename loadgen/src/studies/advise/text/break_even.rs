//! Where two options cost the same.

use crate::studies::advise::asked::Asked;
use crate::studies::advise::choice::Choice;
use crate::studies::advise::figures::Advice;
use crate::studies::advise::options::{self, ApiCost, BreakEven, Inputs, break_even_share, decide};

pub fn write(advice: &mut Advice, asked: &Asked<'_>) {
    let Asked { facts, rates, inputs, decision, .. } = asked;
    advice.say("Break-even:");
    let devices = decision.options.iter().find(|option| option.choice == Choice::Devices);
    let against = devices.and_then(|option| Some(("devices".to_owned(), option.usd_per_request?)));
    let apis =
        decision.api.iter().map(|api| (format!("API \"{}\"", api.name), api.usd_per_request));
    for (name, usd) in against.into_iter().chain(apis) {
        let each = advice.usd(&format!("break_even.{name}.usd_per_request"), usd);
        let line = match break_even_share(facts, rates, inputs, usd) {
            BreakEven::From(share) => {
                let key = format!("break_even.{name}.reused_percent");
                format!("from {} of prompt tokens reused on", advice.percent(&key, share))
            }
            BreakEven::Always => "at any share of reused tokens that was simulated".to_owned(),
            BreakEven::Never => "at no share of reused tokens that was simulated".to_owned(),
            BreakEven::Unknown => continue,
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
    if options::per_worker(facts).is_some() {
        decision.api.iter().for_each(|api| passed(advice, api));
    } else {
        advice.say(
            "- sharing, volume: without a load within the SLO the cluster has no price to compare.",
        );
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

/// The largest charged share at which devices are advised.
fn charged(advice: &mut Advice, asked: &Asked<'_>) -> Option<String> {
    let Asked { facts, rates, inputs, sheet, decision, .. } = asked;
    let devices = decision.options.iter().find(|option| option.choice == Choice::Devices);
    let usd = devices?.usd_per_month?.mean;
    let whole = inputs.users * rates.device_owned_usd_per_hour * inputs.device_price;
    let bought = usd + (1.0 - inputs.charged_share) * whole * options::MONTH_S / 3600.0;
    let bought = advice.usd("devices.usd_per_month_if_bought", bought);
    let choice = |charged_share| {
        let inputs = Inputs { charged_share, ..**inputs };
        decide(facts, rates, &inputs, &sheet.api).choice
    };
    let line = if choice(0.0) != Choice::Devices {
        "they are not advised, however little of that is charged".to_owned()
    } else if choice(1.0) == Choice::Devices {
        "they are advised even then".to_owned()
    } else {
        // A larger share makes devices dearer, and no other option cheaper.
        let (mut advised, mut not) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = f64::midpoint(advised, not);
            let side = if choice(middle) == Choice::Devices { &mut advised } else { &mut not };
            *side = middle;
        }
        let share = advised * 100.0;
        let shown = advice.figure("break_even.charged_percent", share, format!("{share:.2}"));
        format!(
            "they are advised while up to {shown} % of that is charged, and \"{}\" beyond",
            choice(not).name()
        )
    };
    Some(format!(
        "- devices: bought for this they would cost {bought} USD a month, power included; {line}."
    ))
}
