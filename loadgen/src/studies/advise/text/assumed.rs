//! The assumptions of an advice.

use crate::studies::advise::asked::Asked;
use crate::studies::advise::figures::Advice;
use warmpath_core::engine::profile::Profile;

pub fn write(advice: &mut Advice, asked: &Asked<'_>) {
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
    advice.say("- networks, people, licences, failures and spare machines are not counted.");
    let models = "- the devices run another model than the cluster, and an API a third: what their answers are worth is NOT \
                  compared. A cheaper option is cheaper, not as good.";
    advice.say(models);
    let profile = setup.fleet.profile();
    let device = &setup.devices.as_ref().expect("a scenario with devices").profile;
    let of = |profile: &Profile| (profile.name.clone(), profile.standing());
    let same = asked.facts.same_model.as_ref();
    let same = same.map(|same| (same.profile.clone(), same.standing.clone()));
    for (name, standing) in [of(profile), of(device)].into_iter().chain(same) {
        if !standing.validated {
            let band = match standing.band_percent {
                Some(percent) => {
                    let percent = advice.count(&format!("band.{name}"), percent);
                    format!(", times may be {percent} % off either way")
                }
                None => String::new(),
            };
            advice.say(&format!("- profile \"{name}\" is unvalidated{band}."));
        }
    }
    advice.say(
        "- prefill behind a cached prefix is measured on one device (vLLM on an H100) and modelled on others.",
    );
}
