//! SMG: flags of `smg launch` (PyPI `smg` 1.13.0, `smg/router_args.py`).

use super::deployment::{About, Deployment};
use super::parameters::Parameters;
use anyhow::Result;

pub const ABOUT: About = About {
    title: "SMG",
    version: "1.13.0 (PyPI: smg)",
    command: "smg launch",
    deploys: &[
        ("round-robin", "--policy round_robin"),
        ("random", "--policy random"),
        ("smg-cache-aware", "--policy cache_aware"),
        ("smg-least-load", "--policy least_load"),
    ],
    nearest: &[
        ("least-loaded", "smg-least-load"),
        ("power-of-two", "its policy power_of_two, which by default compares expected waits"),
        ("session-affinity", "its policy consistent_hashing"),
        ("sglang-classic", "smg-cache-aware"),
        ("chwbl", "its policy prefix_hash"),
        ("warmpath", "smg-cache-aware"),
        ("kv-aware", "smg-cache-aware(index=exact)"),
        ("sticky-session", "smg-least-load with --sticky-sessions"),
        ("wait-for-room", "smg-least-load"),
    ],
};

pub fn deployment(rule: &mut Parameters) -> Result<Deployment> {
    let mut to = Deployment::default();
    match rule.rule() {
        "smg-cache-aware" => cache_aware(rule, &mut to)?,
        "smg-least-load" => least_load(rule, &mut to)?,
        "round-robin" => to.flags.set("--policy", "round_robin"),
        other => to.flags.set("--policy", other),
    }
    to.note(
        "SMG leaves out workers that it finds overloaded, which the rule does not: \
         --disable-worker-overload-protection",
    );
    Ok(to)
}

fn cache_aware(rule: &mut Parameters, to: &mut Deployment) -> Result<()> {
    let above_0 = f64::MIN_POSITIVE..=1.0;
    let Deployment { flags, .. } = to;
    flags.set("--policy", "cache_aware");
    flags.unless("0.3", "--cache-threshold", rule.take("threshold"));
    flags.unless("64", "--balance-abs-threshold", rule.take("abs"));
    flags.unless("1.5", "--balance-rel-threshold", rule.within("rel", 1.0..=f64::INFINITY)?);
    flags.unless("67108864", "--max-tree-size", rule.take("tree"));
    flags.unless("1", "--balance-token-usage-threshold", rule.within("spread", above_0.clone())?);
    flags.unless("1", "--overload-token-usage-threshold", rule.within("ceiling", above_0)?);
    flags.unless("0", "--overlap-decay", rule.take("decay"));
    flags.unless("0", "--selection-temperature", rule.take("temperature"));
    flags.unless("10", "--load-monitor-interval", rule.whole("poll_s")?);
    to.note(
        "tree is the size for each worker; --max-tree-size is the size for all of them together",
    );
    to.note(match rule.is("index", "exact") {
        true => "index=exact: no flag; SMG follows the KV events of gRPC workers that publish them (--block-size)",
        false => "index=predicted: no flag; SMG follows events instead where gRPC workers publish them",
    });
    to.note("SMG 1.13 caps abs in small fleets");
    to.note(
        "SMG 1.13 gives new workers a part of the misses and hits: --worker-warmup-secs 0, \
             --worker-warmup-divert-every 0",
    );
    Ok(())
}

fn least_load(rule: &mut Parameters, to: &mut Deployment) -> Result<()> {
    let Deployment { flags, .. } = to;
    flags.set("--policy", "least_load");
    flags.unless("0.15", "--least-load-kv-pressure-weight", rule.take("kv"));
    flags.unless("1024", "--least-load-mean-prefill-tokens", rule.take("mean_prompt"));
    flags.unless("2000", "--least-load-default-throughput", rule.take("throughput"));
    flags.unless("10", "--load-monitor-interval", rule.whole("poll_s")?);
    to.note("throughput is what SMG takes for workers that report none");
    Ok(())
}
