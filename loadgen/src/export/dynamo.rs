//! NVIDIA Dynamo: flags of its frontend, and the file of `--router-policy-config`. Names are those of
//! `dynamo/common/configuration/groups` (PyPI `ai-dynamo`), and of the crates `dynamo-kv-router`
//! (`scheduling/policy_config.rs`) and `dynamo-custom-policy-builtin`, all 1.6.1. The parameters of the cost have
//! flags too, which 1.6 calls deprecated in favour of the file.

use super::deployment::{About, Deployment, File};
use super::parameters::Parameters;
use crate::files::bad;
use crate::yaml::{Entries, Node, unless};
use anyhow::Result;
use warmpath_core::routing::policy::Hold;
use warmpath_core::routing::policy::hold::{Open, Order};
use warmpath_core::routing::policy::parameter::Value;

pub const ABOUT: About = About {
    title: "Dynamo",
    version: "1.6.1 (PyPI: ai-dynamo)",
    command: "python -m dynamo.frontend",
    deploys: &[
        ("round-robin", "--router-mode round-robin"),
        ("random", "--router-mode random"),
        ("least-loaded", "--router-mode least-loaded"),
        ("power-of-two", "--router-mode power-of-two"),
        ("dynamo", "--router-mode kv"),
        ("dynamo-two-tier", "dynamo-two-tier-cost-fn"),
    ],
    nearest: &[
        ("session-affinity", "least-loaded with --router-session-affinity-ttl-secs"),
        ("warmpath", "dynamo"),
        ("kv-aware", "dynamo"),
        ("sticky-session", "least-loaded with --router-session-affinity-ttl-secs"),
        ("wait-for-room", "dynamo+hold(open=any,batches=1,order=fcfs)"),
    ],
};

pub fn deployment(rule: &mut Parameters, hold: Option<Hold>) -> Result<Deployment> {
    let mut to = Deployment::default();
    let mut file = match rule.rule() {
        "dynamo" => {
            to.flags.set("--router-mode", "kv");
            additive(rule)?
        }
        "dynamo-two-tier" => {
            to.flags.set("--router-mode", "kv");
            two_tier(rule)
        }
        mode => {
            to.flags.set("--router-mode", mode);
            if hold.is_some() {
                let why = "Dynamo queues requests with --router-mode kv only";
                return Err(bad(format!("--rule: {mode}+hold: {why}, expected no +hold")));
            }
            return Ok(to);
        }
    };
    to.note("workers must publish KV events, which the router follows by default");
    if let Some(hold) = hold {
        file.extend(queue(&hold)?);
        to.note("late binding: Dynamo has no longest wait (longest_s) and looks at its whole queue (look)");
    }
    if !file.is_empty() {
        let content = Node::Map(file);
        to.file = Some(File { flag: "--router-policy-config", content, in_flags: None });
    }
    Ok(to)
}

fn additive(rule: &mut Parameters) -> Result<Entries> {
    // These two also say what a request is booked with, so they stand with the settings of the router.
    let router: Entries = [
        unless("0.75", "host_cache_hit_weight", rule.within("host", 0.0..=1.0)?),
        unless("0.25", "disk_cache_hit_weight", rule.within("disk", 0.0..=1.0)?),
    ]
    .into_iter()
    .flatten()
    .collect();
    let cost: Entries = [
        unless("1", "overlap_score_credit", rule.take("overlap")),
        unless("0", "overlap_score_credit_decay", rule.take("overlap_decay")),
        unless("1", "prefill_load_scale", rule.take("prefill")),
        unless("0", "decode_active_request_weight", rule.take("request")),
        unless("0", "router_temperature", rule.take("temperature")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut file = Vec::new();
    if !router.is_empty() {
        file.push(("router", Node::Map(router)));
    }
    if !cost.is_empty() {
        file.push(selection("dynamo-default-cost-fn", cost));
    }
    Ok(file)
}

fn two_tier(rule: &mut Parameters) -> Entries {
    let parameters = [
        unless("0.5", "cache_threshold", rule.take("threshold")),
        unless("32", "balance_abs_threshold", rule.take("abs")),
        unless("1.1", "balance_rel_threshold", rule.take("rel")),
    ];
    vec![selection("dynamo-two-tier-cost-fn", parameters.into_iter().flatten().collect())]
}

/// The rule of workers that prefill and decode.
fn selection(policy_type: &str, parameters: Entries) -> (&'static str, Node) {
    let instance = Node::Map(vec![
        ("name", Node::text("chosen")),
        ("type", Node::text(policy_type)),
        ("parameters", Node::Map(parameters)),
    ]);
    let selection =
        vec![("aggregated", Node::text("chosen")), ("instances", Node::List(vec![instance]))];
    ("worker_selection", Node::Map(selection))
}

/// One queue for all requests.
fn queue(hold: &Hold) -> Result<Entries> {
    let refused = |name: &str, value: String, expected: &str, why: &str| {
        bad(format!("--rule: hold: {name} is '{value}', expected {expected}: Dynamo {why}"))
    };
    if hold.open != Open::Any {
        return Err(refused("open", hold.open.write(), "any", "queues while no worker is open"));
    }
    if hold.batches <= 0.0 {
        return Err(refused(
            "batches",
            hold.batches.write(),
            "more than 0",
            "knows no backlog in seconds",
        ));
    }
    let orders = [Order::Fcfs, Order::Lcfs, Order::Wspt];
    if !orders.contains(&hold.order) {
        return Err(refused(
            "order",
            hold.order.write(),
            "one of: fcfs, lcfs, wspt",
            "has no other order",
        ));
    }
    let Hold { look, longest_s, slo_s, .. } = Hold::DEFAULT;
    for (name, value, default) in [
        ("look", hold.look.write(), look.write()),
        ("longest_s", hold.longest_s.write(), longest_s.write()),
        ("slo_s", hold.slo_s.write(), slo_s.write()),
    ] {
        if value != default {
            return Err(refused(
                name,
                value,
                &format!("{default}, the default"),
                "has no setting for it",
            ));
        }
    }
    let bucket = Node::Map(vec![("min_tokens", Node::number("0")), ("bucket", Node::text("all"))]);
    let class = Node::Map(vec![
        ("name", Node::text("all-requests")),
        ("policy_family", Node::text("all-requests")),
        ("cache_bucket", Node::text("all")),
        ("queue_policy", Node::text(hold.order.write())),
        ("quantum", Node::number("1")),
        ("prefill_busy_threshold_frac", Node::Number(hold.batches.write())),
    ]);
    Ok(vec![
        ("default_policy_family", Node::text("all-requests")),
        ("uncached_isl_buckets", Node::List(vec![bucket])),
        ("policy_classes", Node::List(vec![class])),
    ])
}
