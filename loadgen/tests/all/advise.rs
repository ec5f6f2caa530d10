//! `sharing`, `advise` and `generations` on few requests.

use crate::common::{loadgen, near, number, run};
use serde_json::Value;

#[test]
fn each_rung_of_the_ladder_reuses_at_least_what_the_one_before_does() {
    let args = ["sharing", "--workload", "enterprise-kb", "--requests", "500", "--workers", "4"];
    let (table, report) = run(&[&args[..], &["--tenants", "3", "--seeds", "1"]].concat());
    let rungs = report["rungs"].as_array().expect("rungs");
    let names: Vec<&str> = rungs.iter().map(|rung| rung["name"].as_str().unwrap()).collect();
    let expected = [
        "users' devices",
        "no reuse",
        "within a session",
        "within a tenant",
        "+ public prefixes",
        "+ host memory",
        "+ disk",
        "+ shared pool",
        "+ peer pull",
    ];
    assert_eq!(names, expected);
    for rung in rungs {
        assert!(table.contains(rung["name"].as_str().unwrap()), "{table}");
        let owners = &rung["hit_rate_by_owner"];
        let sum: f64 =
            ["own_session", "public", "other_session"].map(|key| number(&owners[key])).iter().sum();
        near(sum, number(&rung["hit_rate"]));
        if !rung["at_slo"].is_null() {
            let at = &rung["at_slo"];
            let parts = ["prompt_computed", "prompt_reused", "output"].map(|key| number(&at[key]));
            near(parts.iter().sum(), number(&at["served"]));
        }
    }
    let hits: Vec<f64> = rungs.iter().map(|rung| number(&rung["hit_rate"])).collect();
    assert_eq!(hits[1], 0.0, "nothing is used again");
    // From here on each rung has all parts of the one before. Where blocks lie may cost a few hits.
    for pair in hits[1..].windows(2) {
        assert!(pair[1] >= pair[0] - 0.005, "{hits:?}");
    }
    assert!(hits[2] > 0.3 && hits[3] > hits[2] + 0.05, "{hits:?}");
    assert!(
        number(&rungs[0]["hit_rate_by_owner"]["other_session"]) == 0.0,
        "devices share nothing"
    );
    let ratio = &report["ratios"][0];
    assert_eq!((&ratio["of"], &ratio["over"]), (&"+ shared pool".into(), &"+ disk".into()));
    let served = |i: usize| number(&rungs[i]["at_slo"]["served"]);
    near(number(&ratio["times"]), served(7) / served(6));
}

/// Figures are means over the seeds, ratios are formed seed by seed, and each seed's run is the one that it has alone.
#[test]
fn the_ladder_is_climbed_with_every_seed() {
    let args = ["sharing", "--workload", "enterprise-kb", "--requests", "300", "--workers", "2"];
    let (table, report) = run(&[&args[..], &["--seeds", "2", "--seed", "7"]].concat());
    let (_, alone) = run(&[&args[..], &["--seeds", "1", "--seed", "8"]].concat());
    assert!(table.contains("seeds 7 to 8") && table.contains("means over 2 seeds"), "{table}");
    let [first, second] = [&report["rungs"], &report["more_seeds"][0]];
    for (of_two, alone) in second.as_array().unwrap().iter().zip(alone["rungs"].as_array().unwrap())
    {
        for key in ["name", "hit_rate", "ttft_s", "capacity", "at_slo", "usd_per_m_served"] {
            assert_eq!(of_two[key], alone[key], "{key} of {}", alone["name"]);
        }
    }
    let mut with_interval = 0;
    for (i, over) in report["over_seeds"].as_array().unwrap().iter().enumerate() {
        let [one, other] = [&first[i], &second[i]].map(|rung| number(&rung["hit_rate"]));
        near(number(&over["hit_rate"]["mean"]), (one + other) / 2.0);
        with_interval += usize::from(!over["hit_rate"]["half_width_95"].is_null());
    }
    assert!(with_interval >= 5, "{}", report["over_seeds"]);
    let last = first.as_array().unwrap().len() - 2;
    let served = |rungs: &Value, i: usize| number(&rungs[i]["at_slo"]["served"]);
    let each = [first, second].map(|rungs| served(rungs, last) / served(rungs, last - 1));
    near(number(&report["ratios"][0]["times"]), (each[0] + each[1]) / 2.0);
    assert!(number(&report["ratios"][0]["times_half_width_95"]) > 0.0, "{}", report["ratios"]);
}

#[test]
fn two_workloads_get_opposite_advice_and_every_figure_is_in_the_json() {
    let mut choices = Vec::new();
    for workload in ["enterprise-kb", "commodity-qa"] {
        let args = ["advise", "--workload", workload, "--requests", "500", "--seeds", "2"];
        let (text, report) = run(&args);
        assert!(text.contains("what their answers are worth is NOT compared"), "{text}");
        assert!(text.contains("unvalidated"), "{text}");
        let figures = report["figures"].as_array().expect("figures");
        for shown in numbers(&text) {
            let known = figures.iter().any(|figure| figure["shown"] == *shown);
            assert!(known, "{shown} is no figure of the JSON:\n{text}");
        }
        for figure in figures {
            let shown = figure["shown"].as_str().expect("a text").replace(',', "");
            let decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let off = shown.parse::<f64>().expect("a number") - number(&figure["value"]);
            assert!(off.abs() <= 0.500_001 * 10f64.powi(-(decimals as i32)), "{figure}");
        }
        let decision = &report["decision"];
        let choice = decision["choice"].as_str().unwrap().to_owned();
        let options = decision["options"].as_array().expect("options");
        let chosen = options.iter().find(|option| option["choice"] == choice.as_str()).unwrap();
        assert_eq!(chosen["keeps_slo"], true);
        let month = format!("{choice}.usd_per_month");
        let figure = figures.iter().find(|figure| figure["name"] == month.as_str()).unwrap();
        near(number(&figure["value"]), number(&chosen["usd_per_month"]["mean"]));
        bands(options);
        kv_room(&text, &report);
        model_and_place(&text, options, figures);
        choices.push(choice);
    }
    assert_eq!(choices[1], "devices", "short questions, each on its own");
    assert_ne!(choices[0], "devices", "long texts that many ask about");
}

/// The band of a month holds its mean. With two seeds, the band of a search is not a point.
fn bands(options: &[Value]) {
    for option in options.iter().filter(|option| !option["usd_per_month"].is_null()) {
        let [low, mean, high] =
            ["low", "mean", "high"].map(|key| number(&option["usd_per_month"][key]));
        assert!(low <= mean && mean <= high, "{option}");
        let full = &option["usd_per_request_full"];
        if number(&option["workers"]) > 0.0 {
            assert!(number(&full["high"]) > 1.05 * number(&full["low"]), "{option}");
        }
    }
}

/// What 10 % less and more room for KV do is always shown, with the capacity that was found.
fn kv_room(text: &str, report: &Value) {
    assert!(text.contains("- room for KV: times 0.9:"), "{text}");
    let all = report["sensitivity"].as_array().expect("sensitivities");
    let rooms = all.iter().find(|one| one["input"] == "room for KV").expect("the room for KV");
    let cases = rooms["cases"].as_array().expect("two cases");
    let whats: Vec<&Value> = cases.iter().map(|case| &case["what"]).collect();
    assert_eq!(whats, ["times 0.9", "times 1.1"]);
    let rates = cases.iter().map(|case| number(&case["requests_per_s_per_worker"]));
    let rates: Vec<f64> = rates.collect();
    // The search finds a load within 6 %.
    assert!(rates[0] > 0.0 && rates[1] > 0.93 * rates[0], "{rooms}");
}

/// The factor of the model times the factor of the location is the whole cost factor.
fn model_and_place(text: &str, options: &[Value], figures: &[Value]) {
    let usd = |choice: &str| {
        let option = options.iter().find(|option| option["choice"] == choice).expect("an option");
        number(&option["usd_per_request_full"]["mean"])
    };
    let [cluster, same, devices] = ["cluster", "cluster_same_model", "devices"].map(usd);
    assert!(cluster > same && same > devices, "{cluster}, {same}, {devices}");
    let times = |part: &str| {
        let name = format!("model_or_place.{part}_times");
        let figure = figures.iter().find(|figure| figure["name"] == name.as_str());
        number(&figure.expect("a figure")["value"])
    };
    near(times("model"), cluster / same);
    near(times("model") * times("place"), times("whole"));
    assert!(text.contains("cluster, devices' model"), "{text}");
}

/// No first token comes within a microsecond, so the advice is based on no capacity.
#[test]
fn an_advice_without_an_option_exits_with_1_and_says_how_far_the_slo_is_missed() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let args = ["advise", "--workload", "commodity-qa", "--requests", "100", "--seeds", "1"];
    let output = loadgen(folder.path(), &[&args[..], &["--ttft", "0.000001"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOTHING that was looked at keeps the SLO"), "{text}");
    assert!(
        text.contains("at the least that was tried 0.0 % of the requests are, TTFT p90"),
        "{text}"
    );
    assert!(
        !text.contains("the cluster costs less than") && !text.contains("passes API"),
        "{text}"
    );
}

#[test]
fn devices_with_the_clusters_model_add_no_option() {
    let profile = ["--device-profile", "llama-70b-int4-m5-max", "--seeds", "1"];
    let args = ["advise", "--workload", "commodity-qa", "--requests", "200"];
    let (text, report) = run(&[&args[..], &profile].concat());
    let options = report["decision"]["options"].as_array().expect("options");
    assert!(options.iter().all(|option| option["choice"] != "cluster_same_model"), "{report}");
    let why = "is not compared: the cluster runs it: both serve \"llama-3.1-70b\"";
    assert!(text.contains(why), "{text}");
}

/// The numbers in a text that are outside quotes.
fn numbers(text: &str) -> Vec<String> {
    let plain: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let trim = |word: &str| word.trim_matches(|c| c == '.' || c == ',').to_owned();
    // "p90" is a name.
    let plain = plain.replace("p90", "");
    let words = plain.split(|c: char| !is_part(c)).map(trim);
    words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn chips_without_measurements_are_bands_and_chips_without_prices_have_no_cost() {
    let args = [
        "generations",
        "--workload",
        "enterprise-kb",
        "--requests",
        "300",
        "--devices",
        "h200,vera-rubin",
    ];
    let (table, report) = run(&args);
    let rows = report["rows"].as_array().expect("rows");
    let pair = |row: &Value, key: &str| [number(&row[key][0]), number(&row[key][1])];
    let [measured, claimed] = rows.as_slice() else { panic!("{report}") };
    let [low, high] = pair(measured, "tokens_per_s_per_chip");
    assert!(measured["validated"] == true && low == high && low > 0.0, "{measured}");
    let [low, high] = pair(claimed, "tokens_per_s_per_chip");
    assert!(claimed["validated"] == false && low < high, "{claimed}");
    assert!(claimed["usd_per_m_served"][0].is_null() && table.contains("unvalidated"), "{table}");
    let (_, priced) = run(&[&args[..], &["--price", "vera-rubin=10"]].concat());
    let usd = pair(&priced["rows"][1], "usd_per_m_served");
    let tokens = pair(&priced["rows"][1], "tokens_per_s_per_chip");
    assert!(usd[0] > usd[1] && usd[1] > 0.0, "slower chips cost more a token: {usd:?}");
    // At the break-even price, a million tokens cost what they cost on the first device.
    let even = pair(&priced["rows"][1], "break_even_usd_per_hour");
    let first = number(&priced["rows"][0]["usd_per_m_served"][1]);
    near(even[1], first * tokens[1] * 3600.0 / 1e6);
}

#[test]
fn bad_questions_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let refused = |args: &[&str], part: &str| crate::common::refused(folder.path(), args, part);
    refused(&["sharing", "--workload", "no-such"], "unknown workload");
    refused(&["sharing", "--sweep", "--workload", "chat"], "--sweep");
    refused(&["sharing", "--ttft", "0"], "--ttft");
    refused(&["advise", "--peak", "0.5"], "--peak");
    refused(&["advise", "--charged-share", "2"], "--charged-share");
    refused(&["advise", "--seeds", "0"], "--seeds");
    refused(&["advise", "--profile", "deepseek-v3-nvfp4-8xgb300"], "--price");
    refused(&["generations", "--devices", "abacus"], "unknown device");
    refused(&["generations", "--realization", "0"], "--realization");
    refused(&["generations", "--profile", "lab-tp4"], "made-up profile");
}
