//! The causes of a difference between options, and which differences the runs can show.

use crate::figures::ENOUGH;
use crate::studies::advise::asked::Asked;
use crate::studies::advise::band::Band;
use crate::studies::advise::choice::Choice;
use crate::studies::advise::figures::Advice;
use crate::studies::advise::options::Alternative;

pub fn write(advice: &mut Advice, asked: &Asked<'_>) {
    model_or_place(advice, asked);
    told(advice, asked);
    devices_at_the_edge(advice, asked);
    advice.say("");
}

fn option<'a>(asked: &'a Asked<'_>, choice: Choice) -> Option<&'a Alternative> {
    asked.decision.options.iter().find(|option| option.choice == choice)
}

/// How much of the cluster's extra cost comes from its model, and how much from its location.
fn model_or_place(advice: &mut Advice, asked: &Asked<'_>) {
    let usd = |choice| option(asked, choice)?.usd_per_request_full.map(|usd| usd.mean);
    let [cluster, same, devices] =
        [Choice::Cluster, Choice::ClusterSameModel, Choice::Devices].map(usd);
    let (Some(cluster), Some(same), Some(devices)) = (cluster, same, devices) else { return };
    if devices <= 0.0 || same <= 0.0 {
        return;
    }
    let [whole, model, place] =
        [("whole", cluster / devices), ("model", cluster / same), ("place", same / devices)]
            .map(|(name, times)| advice.amount(&format!("model_or_place.{name}_times"), times));
    let usd = advice.usd("model_or_place.same_model_usd_per_request", same);
    advice.say(&format!(
        "Model or place: whole workers left out, a request on the cluster costs {whole} times what it does on a device: \
         {model} times for the larger model (the devices' model on the cluster costs {usd} USD a request), and that {place} \
         times for the place."
    ));
    if option(asked, Choice::Devices).is_some_and(|devices| !devices.keeps_slo) {
        advice.say("The devices miss the SLO, so what they save is not the same service.");
    }
}

/// Whether another option may cost as little as the advised one.
fn told(advice: &mut Advice, asked: &Asked<'_>) {
    let chosen = asked.decision.choice;
    let band = |option: &Alternative| option.usd_per_month.filter(|_| option.keeps_slo);
    let Some(own) = option(asked, chosen).and_then(band) else { return };
    let others = asked.decision.options.iter().filter(|option| option.choice != chosen);
    let others: Vec<(Choice, Band)> =
        others.filter_map(|option| Some((option.choice, band(option)?))).collect();
    let close: Vec<&str> = others
        .iter()
        .filter(|(_, other)| own.overlaps(*other))
        .map(|(choice, _)| choice.name())
        .collect();
    match close.as_slice() {
        [] if others.is_empty() => advice.say("No other option keeps the SLO."),
        [] => advice.say(&format!(
            "No other option that keeps the SLO comes within the band of \"{}\". What profiles may be off by is no part of \
             a band.",
            chosen.name()
        )),
        close => advice.say(&format!(
            "NOT TOLD APART: the band of \"{}\" and that of \"{}\" overlap, so these runs do not say which is cheaper.",
            chosen.name(),
            close.join("\", \"")
        )),
    }
}

/// Whether the seeds agree that devices keep the SLO, or miss it.
fn devices_at_the_edge(advice: &mut Advice, asked: &Asked<'_>) {
    for (class, Band { low, high, .. }) in asked.facts.devices.within() {
        if low < ENOUGH && high >= ENOUGH {
            let (of, key) = match class {
                None => (String::new(), "devices.within_slo_percent".to_owned()),
                Some(name) => {
                    (format!(" of class \"{name}\""), format!("devices.{name}.within_slo_percent"))
                }
            };
            let low = advice.percent(&format!("{key}.low"), low);
            let high = advice.percent(&format!("{key}.high"), high);
            advice.say(&format!(
                "NOT TOLD: whether devices keep the SLO differs by seed, {low} to {high} of the requests{of}."
            ));
        }
    }
}
