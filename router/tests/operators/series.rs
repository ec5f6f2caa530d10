//! Each series that a dashboard or an alert reads is one that a router or a worker has.

use crate::fleet::{self, Series, values};
use crate::promql::{Selector, selectors};
use crate::{deploy, succeeds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Prometheus' own series, and the labels that it adds.
const OF_PROMETHEUS: [&str; 1] = ["up"];
const LABELS_OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

/// What vLLM's own dashboard reads (examples/observability/prometheus_grafana/grafana.json at 4b5c627).
const OF_VLLMS_DASHBOARD: [&str; 20] = [
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:e2e_request_latency_seconds_count",
    "vllm:e2e_request_latency_seconds_sum",
    "vllm:generation_tokens_total",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:inter_token_latency_seconds_count",
    "vllm:inter_token_latency_seconds_sum",
    "vllm:kv_cache_usage_perc",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prompt_tokens_total",
    "vllm:request_decode_time_seconds_sum",
    "vllm:request_generation_tokens_bucket",
    "vllm:request_max_num_generation_tokens_sum",
    "vllm:request_prefill_time_seconds_sum",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_queue_time_seconds_sum",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:time_to_first_token_seconds_sum",
];

/// A query and where it stands.
struct Query {
    at: String,
    text: String,
}

pub fn exist() {
    let mut queries = alerts();
    for (name, dashboard) in dashboards() {
        let before = queries.len();
        read(&dashboard, &name, &mut queries);
        assert!(queries.len() > before + 20, "{name} has {} queries", queries.len() - before);
    }
    let series = fleet::series();
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for Query { at, text } in &queries {
        for selector in selectors(text) {
            if !OF_PROMETHEUS.contains(&selector.name.as_str()) {
                wrong.extend(missing(&series, &selector).map(|what| format!("{at}: {what}")));
                names.insert(selector.name);
            }
        }
    }
    let of_vllm = OF_VLLMS_DASHBOARD.into_iter().filter(|name| !series.contains_key(*name));
    wrong.extend(of_vllm.map(|name| format!("vLLM's dashboard: {name}")));
    assert!(wrong.is_empty(), "what no process has:\n{}", wrong.join("\n"));
    assert!(names.len() > 40, "{names:?}");
}

/// Each query of the dashboards, as a recording rule for promtool.
pub fn queries_parse() {
    let mut queries = Vec::new();
    for (name, dashboard) in dashboards() {
        read(&dashboard, &name, &mut queries);
    }
    let rule = |(i, query): (usize, &Query)| {
        let text = query.text.replace("$__rate_interval", "5m");
        json!({ "record": format!("query:{i}"), "expr": text })
    };
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let group = json!({ "groups": [{ "name": "dashboards", "rules": rules }] });
    let folder = tempfile::tempdir().expect("a folder");
    // JSON is YAML too.
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, group.to_string()).expect("written");
    let said = succeeds(Command::new("promtool").args(["check", "rules"]).arg(&file));
    assert!(said.contains(&format!("{} rules found", queries.len())), "{said}");
}

/// What a selector asks for that no series has.
fn missing(series: &Series, selector: &Selector) -> impl Iterator<Item = String> + use<> {
    let name = &selector.name;
    let mut found = Vec::new();
    if !series.contains_key(name) {
        found.push(name.clone());
    }
    for (label, operator, value) in &selector.matchers {
        if LABELS_OF_PROMETHEUS.contains(&label.as_str()) || !found.is_empty() {
            continue;
        }
        let known = values(series, name, label);
        let asked: Vec<&str> = match operator.as_str() {
            "=~" | "!~" => value.split('|').collect(),
            _ => vec![value],
        };
        let unknown = |asked: &&str| !asked.starts_with('$') && !known.contains(asked);
        let unknown: Vec<_> = asked.into_iter().filter(unknown).collect();
        if known.is_empty() || !unknown.is_empty() {
            found.push(format!("{name}{{{label}=...}}: {unknown:?}, known are {known:?}"));
        }
    }
    found.into_iter()
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = deploy("grafana");
    let files = std::fs::read_dir(&folder).expect("dashboards").map(|file| file.expect("a file"));
    let files =
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut all: Vec<_> = files.map(|path| (shown(&path), parsed(&path))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(all.len() >= 2, "{} dashboards", all.len());
    all
}

fn shown(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn parsed(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a dashboard");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All that Grafana would send to Prometheus, wherever in the dashboard it stands.
fn read(value: &Value, at: &str, queries: &mut Vec<Query>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").or_else(|| fields.get("name")).and_then(Value::as_str);
            let at = title.map_or(at.to_owned(), |title| format!("{at} / {title}"));
            for (key, field) in fields {
                match field.as_str() {
                    Some(text) if key == "expr" => {
                        queries.push(Query { at: at.clone(), text: text.to_owned() });
                    }
                    Some(text) if key == "query" && text.contains("label_values(") => {
                        let (_, inside) = text.split_once('(').expect("what it reads");
                        let (text, label) = inside.rsplit_once(',').expect("a label");
                        let label = label.trim_end_matches(')').trim();
                        // The label must exist as well.
                        let text =
                            match (text.split_once('{'), LABELS_OF_PROMETHEUS.contains(&label)) {
                                (_, true) => text.to_owned(),
                                (Some((name, rest)), false) => {
                                    format!("{name}{{{label}=~\"$any\",{rest}")
                                }
                                (None, false) => format!("{text}{{{label}=~\"$any\"}}"),
                            };
                        queries.push(Query { at: at.clone(), text });
                    }
                    _ => read(field, &at, queries),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| read(value, at, queries)),
        _ => {}
    }
}

/// The expressions of the alert rules: on the line of `expr:`, or below it.
fn alerts() -> Vec<Query> {
    let text = std::fs::read_to_string(deploy("prometheus/alerts.yml")).expect("alerts");
    let mut found: Vec<Query> = Vec::new();
    let (mut alert, mut inside) = (String::new(), None);
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            alert = format!("alerts.yml / {name}");
        }
        if inside.is_some_and(|above| depth > above) {
            let last: &mut Query = found.last_mut().expect("an expression");
            last.text.push_str(line);
            last.text.push('\n');
            continue;
        }
        inside = None;
        if let Some(text) = line.trim().strip_prefix("expr: ") {
            inside = (text == "|").then_some(depth);
            let text = if text == "|" { String::new() } else { text.to_owned() };
            found.push(Query { at: alert.clone(), text });
        }
    }
    let alerts = text.matches("- alert: ").count();
    assert!(alerts >= 15 && found.len() == alerts, "{alerts} alerts, {} expressions", found.len());
    found
}

/// Panels have different numbers, do not overlap, and read from the chosen data source.
pub fn dashboards_are_whole() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        let uid = dashboard["uid"].as_str().expect("a uid");
        assert!(uids.insert(uid.to_owned()), "{name}: the uid {uid} twice");
        let panels = dashboard["panels"].as_array().expect("panels");
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels {
            let title = panel["title"].as_str().expect("a title");
            assert!(ids.insert(panel["id"].as_u64()), "{name} / {title}: its id twice");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
            assert!(x + w <= 24, "{name} / {title}: wider than the page");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{name} / {title}: lies on another panel");
            }
            if panel["type"] != "row" {
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name} / {title}");
                let targets = panel["targets"].as_array().expect("queries");
                assert!(!targets.is_empty(), "{name} / {title}");
            }
        }
    }
}
