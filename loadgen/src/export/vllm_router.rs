//! vLLM's router: flags of `vllm-router` (PyPI `vllm-router` 0.1.17, `vllm_router/router_args.py`).

use super::deployment::{About, Deployment};
use super::parameters::Parameters;
use anyhow::Result;

pub const ABOUT: About = About {
    title: "vllm-router",
    version: "0.1.17 (PyPI: vllm-router)",
    command: "vllm-router",
    deploys: &[
        ("round-robin", "--policy round_robin"),
        ("random", "--policy random"),
        ("power-of-two", "--policy power_of_two"),
        ("sglang-classic", "--policy cache_aware"),
        ("vllm-router-kv-aware", "--policy kv_aware"),
    ],
    nearest: &[
        ("least-loaded", "power-of-two"),
        ("session-affinity", "its policy consistent_hash"),
        ("smg-cache-aware", "sglang-classic"),
        ("warmpath", "vllm-router-kv-aware"),
        ("kv-aware", "vllm-router-kv-aware"),
        ("sticky-session", "its policy sticky_least_loaded"),
        ("wait-for-room", "power-of-two"),
    ],
};

pub fn deployment(rule: &mut Parameters) -> Result<Deployment> {
    let mut to = Deployment::default();
    match rule.rule() {
        "sglang-classic" => cache_aware(rule, &mut to)?,
        "vllm-router-kv-aware" => kv_aware(rule, &mut to)?,
        "round-robin" => to.flags.set("--policy", "round_robin"),
        "power-of-two" => to.flags.set("--policy", "power_of_two"),
        other => to.flags.set("--policy", other),
    }
    Ok(to)
}

fn cache_aware(rule: &mut Parameters, to: &mut Deployment) -> Result<()> {
    let Deployment { flags, .. } = to;
    flags.set("--policy", "cache_aware");
    flags.unless("0.3", "--cache-threshold", rule.take("threshold"));
    flags.unless("64", "--balance-abs-threshold", rule.take("abs"));
    flags.unless("1.5", "--balance-rel-threshold", rule.take("rel"));
    flags.unless("33554432", "--max-tree-size", rule.take("tree"));
    rule.fixed("index", "predicted", "cache_aware follows no events")
}

fn kv_aware(rule: &mut Parameters, to: &mut Deployment) -> Result<()> {
    rule.fixed("speculative", "true", "its own router always was so where the rule was read")?;
    to.flags.set("--policy", "kv_aware");
    // The rule has no tiers. The router's own credits are 0.8, 0.6 and 0.3.
    for tier in ["--kv-penalty-host", "--kv-penalty-external", "--kv-penalty-disk"] {
        to.flags.set(tier, "1");
    }
    to.note("the rule is kv_aware as it was at commit dda6063b; 0.1.17 computes a cost instead, so compare it first");
    to.note("add --kv-event-source WORKER_URL=ENDPOINT for each worker, and --kv-event-block-size unless it is 16");
    Ok(())
}
