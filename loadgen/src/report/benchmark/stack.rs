//! The router and the engines of a run, as components.

use super::parts::{Entry, PART_SCHEMA, count, entry, id_of, is_virtual, text};
use crate::figures::RunReport;
use crate::yaml::Node;
use warmpath_core::engine::physics::Validation;
use warmpath_core::engine::profile::StepTime;
use warmpath_core::event::Role;
use warmpath_launch::version::VERSION;
use warmpath_sim::Group;

pub const ROUTER: &str = "router";

pub fn components(run: &RunReport) -> Vec<Node> {
    let mut all = vec![router(run)];
    all.extend(run.fleet.iter().filter(|group| group.workers > 0).map(|group| engines(run, group)));
    all.extend(devices(run));
    all
}

/// How far the profile's times can be trusted.
pub fn standing(run: &RunReport) -> String {
    match &run.profile_standing {
        Some(standing) => trusted(standing),
        None => "of unknown standing".to_owned(),
    }
}

fn trusted(standing: &Validation) -> String {
    match (standing.validated, standing.band_percent) {
        (true, Some(band)) => format!("measured within {band} %"),
        (true, None) => "which its file calls validated".to_owned(),
        (false, Some(band)) => format!("unvalidated, up to {band} % off"),
        (false, None) => "unvalidated".to_owned(),
    }
}

fn component(label: &str, description: String, standardized: Node, config: Node) -> Node {
    let id = id_of(&[&standardized.json().to_string(), &config.json().to_string()]);
    let metadata = Node::map([
        text("schema_version", PART_SCHEMA),
        text("label", label),
        text("cfg_id", id),
        text("description", description),
    ]);
    Node::map([
        entry("metadata", metadata),
        entry("standardized", standardized),
        entry("native", Node::map([entry("config", config)])),
    ])
}

/// Its kind is generic: the schema has none for routers.
fn router(run: &RunReport) -> Node {
    let own = run.policy.is_some() && run.target.is_none();
    let (tool, version) = if own { ("warmpath", VERSION) } else { ("unknown", "unknown") };
    let standardized = Node::map([
        text("kind", "generic"),
        text("tool", tool),
        text("tool_version", version),
        entry("simulated", Node::Flag(is_virtual(run))),
        run.policy.as_ref().filter(|_| own).map(|policy| ("policy", Node::text(&policy.label))),
        run.target.as_ref().map(|target| ("address", Node::text(&target.address))),
    ]);
    let policy = run.policy.as_ref().filter(|_| own);
    let config = Node::map([policy.map(|named| ("policy", Node::text(named.policy.to_string())))]);
    let description = match (own, &run.target) {
        (true, _) if is_virtual(run) => "warmpath's router in virtual time".to_owned(),
        (true, _) => "warmpath's router".to_owned(),
        (false, Some(target)) => format!("A router that ran elsewhere, {}", target.name),
        (false, None) => "A router that ran elsewhere".to_owned(),
    };
    component(ROUTER, description, standardized, config)
}

/// The label of a group's engines.
pub fn label_of(group: &Group) -> String {
    if group.name.is_empty() || group.name == ROUTER {
        format!("engines-{}", group.name)
    } else {
        group.name.clone()
    }
}

/// Simulated engines. If their times are computed from a model and a device, these are named.
fn engines(run: &RunReport, group: &Group) -> Node {
    let profile = &group.profile;
    let role = match group.role {
        Role::Prefill => "prefill",
        Role::Decode => "decode",
        Role::Both => "replica",
    };
    let common = |kind: &str| -> [Entry; 5] {
        [
            text("kind", kind),
            text("tool", "warmpath-worker-sim"),
            text("tool_version", VERSION),
            text("role", role),
            count("replicas", group.workers),
        ]
    };
    let standardized = match (&profile.step, profile.hardware()) {
        (StepTime::Calibrated(times), Some(hardware)) => {
            let parallelism = [("tp", u64::from(hardware.chips)), ("dp", 1), ("dp_local", 1)];
            let rest = [("workers", 1), ("ep", 1), ("pp", 1)];
            let parallelism =
                parallelism.into_iter().chain(rest).map(|(key, value)| count(key, value));
            let accelerator = Node::map([
                text("model", &hardware.device),
                count("count", hardware.chips),
                entry("parallelism", Node::map(parallelism)),
            ]);
            let model = Node::map([text("name", times.model())]);
            let own = [entry("model", model), entry("accelerator", accelerator)];
            Node::map(common("inference_engine").into_iter().chain(own))
        }
        // Its times are made up, so there is no model and no accelerator to name.
        _ => Node::map(
            common("generic")
                .into_iter()
                .chain([entry("simulated", Node::Flag(true)), text("profile", &profile.name)]),
        ),
    };
    let played = if is_virtual(run) { "in virtual time" } else { "on the wall clock" };
    let trusted = trusted(&profile.standing());
    let description =
        format!("Simulated engines {played}, no accelerator. Profile {}, {trusted}", profile.name);
    let config = Node::map([
        entry("simulated", Node::Flag(true)),
        text("profile", &profile.name),
        entry("profile_validated", Node::Flag(profile.standing().validated)),
        count("block_size", profile.block_size),
        profile.hbm_tokens.and_then(|tokens| count("hbm_tokens", tokens)),
        count("kv_bytes_per_token", profile.kv_bytes_per_token),
        count("max_num_seqs", profile.max_num_seqs),
        count("max_num_batched_tokens", profile.max_num_batched_tokens),
        (!run.tiers.is_empty())
            .then(|| ("tiers", Node::List(run.tiers.iter().map(Node::text).collect()))),
    ]);
    component(&label_of(group), description, standardized, config)
}

/// Users' own devices.
fn devices(run: &RunReport) -> Option<Node> {
    let devices = run.devices.as_ref()?;
    let standardized = Node::map([
        text("kind", "generic"),
        text("tool", "warmpath-worker-sim"),
        text("tool_version", VERSION),
        entry("simulated", Node::Flag(true)),
        count("replicas", devices.count),
        text("profile", &devices.profile),
    ]);
    let description = format!("Users' own devices, simulated. Profile {}", devices.profile);
    Some(component("devices", description, standardized, Node::map([])))
}
