//! Ranks our rules in NVIDIA's simulator and in ours, on the Mooncake conversation trace:
//! `peers-ranking [SPEED,..] [KV_TOKENS]`.

mod ours;
mod setting;
mod theirs;

use anyhow::{Result, ensure};
use warmpath_core::routing::policy::PolicyConfig;

/// The rules that are ranked.
const RULES: [&str; 9] = [
    "round-robin",
    "least-loaded",
    "session-affinity",
    "kv-aware",
    "dynamo",
    "lpwl",
    "lmetric",
    "llm-d-weighted",
    "warmpath",
];

/// The least tau for which both are said to rank alike.
const GOAL: f64 = 0.8;

/// What a run is judged by.
#[derive(Clone, Copy)]
struct Figures {
    /// The mean time to first token.
    ttft_ms: f64,
    /// Cached prompt tokens divided by all.
    hit_rate: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let speeds = arguments.next().unwrap_or_else(|| "4,6".to_owned());
    let tokens = arguments.next().map_or(Ok(4_000_000), |text| text.parse())?;
    let path = peers_table::trace_path();
    if !path.exists() {
        println!("skipped: there is no trace {}; WARMPATH_TRACES names its folder", path.display());
        return Ok(());
    }
    let trace = setting::read(&path)?;
    let (workers, requests) = (setting::WORKERS, trace.len());
    println!(
        "{requests} requests, {workers} workers, {tokens} KV tokens each; mean TTFT (hit rate)"
    );
    let mut least = f64::INFINITY;
    for speed in speeds.split(',') {
        let speed: f64 = speed.parse()?;
        println!("\nspeed {speed}\n{:17} {:>20} {:>20}", "rule", "theirs", "ours");
        let shown = |of: Figures| format!("{:.1} ms ({:.3})", of.ttft_ms, of.hit_rate);
        let own = theirs::play(&path, &trace, speed, tokens, None)?;
        println!("{:17} {:>20}", "their round robin", shown(own));
        let mut pairs = Vec::new();
        for name in RULES {
            let rule: PolicyConfig = name.parse()?;
            let theirs = theirs::play(&path, &trace, speed, tokens, Some(rule))?;
            let ours = ours::play(&trace, speed, tokens, rule)?;
            println!("{name:17} {:>20} {:>20}", shown(theirs), shown(ours));
            pairs.push((theirs.ttft_ms, ours.ttft_ms));
        }
        let tau = tau(&pairs);
        println!("Kendall's tau {tau:.3}");
        least = least.min(tau);
    }
    ensure!(least >= GOAL, "a tau of {least:.3}, expected at least {GOAL}");
    Ok(())
}

/// Kendall's tau: pairs in the same order less pairs in the other, divided by all pairs.
fn tau(values: &[(f64, f64)]) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (i, a) in values.iter().enumerate() {
        for b in &values[i + 1..] {
            let product = (a.0 - b.0) * (a.1 - b.1);
            sum += if product == 0.0 { 0.0 } else { product.signum() };
            pairs += 1.0;
        }
    }
    sum / pairs
}

#[cfg(test)]
mod tests {
    use super::tau;

    #[test]
    fn tau_counts_pairs() {
        assert_eq!(tau(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), 1.0);
        assert_eq!(tau(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), -1.0);
        // Two of three pairs agree.
        assert!((tau(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]) - 1.0 / 3.0).abs() < 1e-12);
    }
}
