//! llm-d: an `EndpointPickerConfig` for its endpoint picker. Names are those of `llm-d-router` ebab6879, which is
//! v0.10.0-rc.1 and 62 commits: `apix/config/v1alpha1`, and the parameters of each plugin in
//! `pkg/epp/framework/plugins`. Producers that have no parameters are made by the picker itself.

use super::deployment::{About, Deployment, File};
use super::parameters::Parameters;
use crate::yaml::{Entries, Node, unless};
use anyhow::Result;

pub const ABOUT: About = About {
    title: "llm-d",
    version: "v0.10.0-rc.1-62-gebab6879 (llm-d/llm-d-router)",
    command: "epp",
    deploys: &[
        ("random", "random-picker"),
        ("least-loaded", "active-request-scorer"),
        ("llm-d-weighted", "weighted scorers"),
        ("llm-d-precise", "precise-prefix-cache-producer"),
        ("llm-d-sticky", "prefix-cache-affinity-filter"),
        ("llm-d-no-hit-lru", "no-hit-lru-scorer"),
        ("llm-d-token-load", "token-load-scorer"),
    ],
    nearest: &[
        ("round-robin", "random"),
        ("power-of-two", "least-loaded"),
        ("session-affinity", "its session-affinity-scorer"),
        ("warmpath", "llm-d-sticky(index=exact)"),
        ("kv-aware", "llm-d-token-load(index=exact)"),
        ("sticky-session", "its session-affinity-scorer"),
        ("wait-for-room", "least-loaded"),
    ],
};

const APPROXIMATE: &str = "approx-prefix-cache-producer";
const PRECISE: &str = "precise-prefix-cache-producer";

pub fn deployment(rule: &mut Parameters) -> Result<Deployment> {
    let mut to = Deployment::default();
    let mut profile = Profile::default();
    match rule.rule() {
        "llm-d-weighted" => weighted(rule, &mut profile, &mut to)?,
        "llm-d-precise" => precise(rule, &mut profile, &mut to)?,
        "llm-d-sticky" => sticky(rule, &mut profile, &mut to)?,
        "llm-d-no-hit-lru" => no_hit_lru(rule, &mut profile, &mut to)?,
        "llm-d-token-load" => token_load(rule, &mut profile, &mut to)?,
        "least-loaded" => profile.scorer("active-request-scorer", "1", Vec::new()),
        _ => profile.picker = "random-picker",
    }
    to.notes.append(&mut profile.notes);
    to.file = Some(File { flag: "--config-file", content: profile.config(), in_flags: None });
    Ok(to)
}

/// A scheduling profile with its plugins.
struct Profile {
    plugins: Vec<Node>,
    /// What the profile refers to, in order.
    used: Vec<Node>,
    picker: &'static str,
    /// Whether what workers hold comes from their events.
    events: bool,
    notes: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            plugins: Vec::new(),
            used: Vec::new(),
            picker: "max-score-picker",
            events: false,
            notes: Vec::new(),
        }
    }
}

impl Profile {
    fn plugin(&mut self, kind: &'static str, parameters: Entries) {
        let mut entries = vec![("type", Node::text(kind))];
        if !parameters.is_empty() {
            entries.push(("parameters", Node::Map(parameters)));
        }
        self.plugins.push(Node::Map(entries));
    }

    /// A plugin of the profile. A weight of 0 leaves it out.
    fn scorer(&mut self, kind: &'static str, weight: &str, parameters: Entries) {
        if weight != "0" {
            self.plugin(kind, parameters);
            let weight = ("weight", Node::number(weight));
            self.used.push(Node::Map(vec![("pluginRef", Node::text(kind)), weight]));
        } else if parameters.iter().any(|(_, value)| matches!(value, Node::Number(_))) {
            self.notes
                .push(format!("the weight of {kind} is 0, so it is left out with its parameters"));
        }
    }

    fn filter(&mut self, kind: &'static str, parameters: Entries) {
        self.plugin(kind, parameters);
        self.used.push(Node::Map(vec![("pluginRef", Node::text(kind))]));
    }

    /// How a plugin that reads prefixes finds them.
    fn producer(&self) -> Option<(&'static str, Node)> {
        self.events.then(|| ("prefixMatchInfoProducerName", Node::text(PRECISE)))
    }

    fn config(mut self) -> Node {
        self.plugin(self.picker, Vec::new());
        self.plugin("single-profile-handler", Vec::new());
        self.used.push(Node::Map(vec![("pluginRef", Node::text(self.picker))]));
        let profile =
            Node::Map(vec![("name", Node::text("default")), ("plugins", Node::List(self.used))]);
        let mut config = vec![
            ("apiVersion", Node::text("llm-d.ai/v1alpha1")),
            ("kind", Node::text("EndpointPickerConfig")),
            ("plugins", Node::List(self.plugins)),
        ];
        if self.events {
            let extractor = Node::Map(vec![("pluginRef", Node::text(PRECISE))]);
            let source = Node::Map(vec![
                ("pluginRef", Node::text("endpoint-notification-source")),
                ("extractors", Node::List(vec![extractor])),
            ]);
            config.push(("dataLayer", Node::Map(vec![("sources", Node::List(vec![source]))])));
        }
        config.push(("schedulingProfiles", Node::List(vec![profile])));
        Node::Map(config)
    }
}

fn listed<const N: usize>(entries: [Option<(&'static str, Node)>; N]) -> Entries {
    entries.into_iter().flatten().collect()
}

/// Where it has it from what workers hold.
fn prefixes(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    if rule.is("index", "exact") {
        rule.without_effect(&["block_tokens", "max_tokens", "capacity", "auto_tune"]);
        follow_events(profile, to, Vec::new());
        return Ok(());
    }
    let block_tokens = rule.within("block_tokens", 64.0..=f64::INFINITY)?;
    let auto_tune = rule.is("auto_tune", "true");
    if block_tokens != "64" && auto_tune {
        to.note("blockSizeTokens counts where a worker does not report the size of its blocks (autoTune)");
    }
    let parameters = listed([
        (!auto_tune).then_some(("autoTune", Node::Flag(false))),
        unless("64", "blockSizeTokens", block_tokens),
        unless("131072", "maxPrefixTokensToMatch", rule.take("max_tokens")),
        unless("31250", "lruCapacityPerServer", rule.take("capacity")),
    ]);
    profile.plugin(APPROXIMATE, parameters);
    Ok(())
}

fn follow_events(profile: &mut Profile, to: &mut Deployment, parameters: Entries) {
    profile.events = true;
    let renderer = Node::Map(vec![("url", Node::text("http://localhost:8000"))]);
    profile.plugin("token-producer", vec![("modelName", Node::text("MODEL")), ("vllm", renderer)]);
    profile.plugin("endpoint-notification-source", Vec::new());
    profile.plugin(PRECISE, parameters);
    to.note("set modelName to the served model, and url to a vLLM that renders its prompts");
    to.note(
        "workers must publish KV events on port 5557; for blocks that are not of 16 tokens set \
             tokenProcessorConfig.blockSizeTokens",
    );
}

/// How often the metrics of workers are read.
fn polls(rule: &mut Parameters, to: &mut Deployment) -> Result<()> {
    let seconds = rule.within("poll_s", 0.05..=f64::INFINITY)?;
    if seconds != "0.05" {
        to.flags.set("--refresh-metrics-interval", format!("{seconds}s"));
    }
    Ok(())
}

fn weighted(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    prefixes(rule, profile, to)?;
    polls(rule, to)?;
    let load_aware = rule.take("load_aware");
    let token_load = rule.take("token_load");
    let active = rule.take("active");
    queue_kv_prefix(rule, profile, true);
    let threshold = unless("128", "threshold", rule.take("waiting_most"));
    profile.scorer("load-aware-scorer", &load_aware, listed([threshold]));
    if token_load != "0" {
        in_flight(profile);
    }
    let tokens = unless("4194304", "queueThresholdTokens", rule.take("tokens_most"));
    profile.scorer("token-load-scorer", &token_load, listed([tokens]));
    let idle = unless("0", "idleThreshold", rule.take("idle"));
    let busy = unless("1", "maxBusyScore", rule.take("busy_score"));
    profile.scorer("active-request-scorer", &active, listed([idle, busy]));
    cold(rule, profile);
    Ok(())
}

/// The scorers that most profiles have.
fn queue_kv_prefix(rule: &mut Parameters, profile: &mut Profile, by_length: bool) {
    let queue = rule.take("queue");
    let kv = rule.take("kv");
    let prefix = rule.take("prefix");
    let mut parameters = listed([profile.producer()]);
    if by_length {
        let weight = rule.take("length_weight");
        let scale = rule.take("length_scale");
        parameters.extend(unless("0", "matchLengthWeight", weight));
        parameters.extend(unless("8192", "matchLengthScaleTokens", scale));
    }
    profile.scorer("queue-scorer", &queue, Vec::new());
    profile.scorer("kv-cache-utilization-scorer", &kv, Vec::new());
    profile.scorer("prefix-cache-scorer", &prefix, parameters);
}

fn cold(rule: &mut Parameters, profile: &mut Profile) {
    let weight = rule.take("no_hit_lru");
    let size = unless("1024", "lruSize", rule.take("lru"));
    profile.scorer("no-hit-lru-scorer", &weight, listed([profile.producer(), size]));
}

fn no_hit_lru(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    prefixes(rule, profile, to)?;
    polls(rule, to)?;
    queue_kv_prefix(rule, profile, false);
    cold(rule, profile);
    Ok(())
}

fn precise(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    polls(rule, to)?;
    rule.fixed("other", "1", "a medium that has no weight counts 1")?;
    let (gpu, cpu) = (rule.take("gpu"), rule.take("cpu"));
    let mut parameters = Vec::new();
    if rule.is("speculative", "true") {
        parameters.push(("speculativeIndexing", Node::Flag(true)));
        to.note("speculative: llm-d believes in blocks that were sent for 2 s, the rule until their events are due");
    }
    if (gpu.as_str(), cpu.as_str()) != ("1", "0.8") {
        let weight = |name: &str, weight| {
            Node::Map(vec![("name", Node::text(name)), ("weight", Node::Number(weight))])
        };
        let weights = Node::List(vec![weight("gpu", gpu), weight("cpu", cpu)]);
        parameters.push(("indexerConfig", Node::Map(vec![("kvCacheBackendConfigs", weights)])));
    }
    follow_events(profile, to, parameters);
    queue_kv_prefix(rule, profile, false);
    Ok(())
}

/// The producer of tokens under way; where events are followed, it must be told so.
fn in_flight(profile: &mut Profile) {
    if let Some(producer) = profile.producer() {
        profile.plugin("inflight-load-producer", vec![producer]);
    }
}

fn sticky(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    prefixes(rule, profile, to)?;
    in_flight(profile);
    let parameters = listed([
        profile.producer(),
        unless("0.8", "affinityThreshold", rule.take("threshold")),
        unless("0", "explorationProbability", rule.take("explore")),
        unless("18000", "maxTTFTPenaltyMs", rule.take("penalty_ms")),
        unless("15928", "peakPrefillThroughput", rule.take("throughput")),
    ]);
    profile.filter("prefix-cache-affinity-filter", parameters);
    let tokens = unless("4194304", "queueThresholdTokens", rule.take("tokens_most"));
    profile.scorer("token-load-scorer", "1", listed([tokens]));
    Ok(())
}

fn token_load(rule: &mut Parameters, profile: &mut Profile, to: &mut Deployment) -> Result<()> {
    prefixes(rule, profile, to)?;
    in_flight(profile);
    let tokens = unless("4194304", "queueThresholdTokens", rule.take("tokens_most"));
    profile.scorer("token-load-scorer", "1", listed([tokens]));
    Ok(())
}
