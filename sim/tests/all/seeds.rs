//! Many small worlds, each from a seed: cramped memories, host tiers, odd block sizes, every
//! policy. The world's own checkers decide; a failure names its seed.

use warmpath_core::engine::profile::{Fill, Loads, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::report::Slo;
use warmpath_core::rng::Rng;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::sessions::Arrivals;
use warmpath_sim::{Observers, Outcome, run};

fn play(seed: u64) -> Outcome {
    let mut rng = Rng::named(seed, &[]);
    let mut pick = |choices: &[u64]| choices[rng.below(choices.len() as u64) as usize];
    let block_size = pick(&[1, 7, 16, 64, 512]) as u32;
    let hbm = match pick(&[0, 4_500, 8_000, 20_000]) {
        0 => None,
        // Less than the longest context of 4,000 tokens would only refuse requests.
        tokens => Some(tokens),
    };
    let mut profile = crate::common::profile(block_size, hbm);
    profile.max_num_seqs = pick(&[1, 4, 16]) as u32;
    profile.max_num_batched_tokens = pick(&[64, 1_024, 8_192]) as u32;
    profile.tiers = match pick(&[0, 1, 2, 3]) {
        0 => vec![],
        1 => vec![crate::common::host(pick(&[600, 30_000]), Loads::Always)],
        2 => vec![crate::common::host(30_000, Loads::WhenCheaper)],
        _ => {
            let through = TierSpec {
                name: "disk".into(),
                fill: Fill::WriteThrough,
                eviction: EvictionRule::Arc,
                ..crate::common::host(60_000, Loads::WhenCheaper)
            };
            vec![crate::common::host(6_000, Loads::WhenCheaper), through]
        }
    };
    profile.eviction = [EvictionRule::Lru, EvictionRule::Arc][pick(&[0, 1]) as usize];
    let arrivals = match pick(&[0, 1]) {
        0 => Arrivals::Poisson { sessions_per_s: pick(&[1, 10]) as f64 },
        _ => Arrivals::Closed { sessions: pick(&[1, 12]) as u32 },
    };
    let which: Vec<u64> = (0..PolicyConfig::ALL.len() as u64).collect();
    let policy = PolicyConfig::ALL[pick(&which) as usize];
    let workers = pick(&[1, 2, 5]) as u32;
    let mut spec = crate::common::spec(150, arrivals);
    // Long answers outgrow what was reserved for their prompts.
    spec.output_tokens.mean = pick(&[40, 600]) as f64;
    let workload = crate::common::workload(&spec, block_size, seed);
    run(&crate::common::scenario(workers, policy, profile), workload, Observers::default())
        .expect("a world that can be made")
}

fn bytes(outcome: &Outcome) -> String {
    let figures = outcome.recorder.figures(16, 5, &Slo { ttft_s: 1.0, tpot_s: 0.1 });
    let rest = (&outcome.engines, outcome.overlap_blocks);
    format!("{} {rest:?}", serde_json::to_string(&figures).expect("figures have a JSON form"))
}

#[test]
fn every_world_keeps_its_invariants() {
    let (mut preempted, mut loaded) = (0, 0);
    for seed in 0..150 {
        let played = std::panic::catch_unwind(|| play(seed));
        let outcome = played.unwrap_or_else(|_| panic!("seed {seed} broke an invariant"));
        assert_eq!(outcome.recorder.answered().len(), 150, "seed {seed}");
        preempted += outcome.engines.iter().map(|stats| stats.preemptions).sum::<u64>();
        loaded +=
            outcome.engines.iter().flat_map(|e| &e.traffic).map(|t| t.loaded_blocks).sum::<u64>();
    }
    // The worlds must be cramped enough to mean something.
    assert!(preempted > 50, "only {preempted} preemptions in all worlds");
    assert!(loaded > 500, "only {loaded} blocks came from the host tier");
}

#[test]
fn a_seed_gives_the_same_bytes() {
    for seed in [1, 2, 3, 40, 41, 42] {
        assert_eq!(bytes(&play(seed)), bytes(&play(seed)), "seed {seed}");
    }
    assert_ne!(bytes(&play(1)), bytes(&play(2)));
}
