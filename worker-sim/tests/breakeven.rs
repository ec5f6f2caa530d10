//! Load or recompute: the engine changes from one to the other where the published figures say.
//!
//! The figures are not in the repository. They are looked for in `../shared/reference` beside the checkout;
//! where they are missing, the test is counted as ignored.

use libtest_mimic::{Arguments, Trial};
use std::path::Path;
use std::process::ExitCode;
use warmpath_core::block::{ScopePlan, hash_segments};
use warmpath_core::engine::physics::{Deployment, InEngine, KvDtype, Precision};
use warmpath_core::engine::profile::{Fill, Loads, Profile, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::{TokenSource, Work};
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;
use warmpath_launch::profiles;

fn work(id: u64, seed: u64, tokens: u32) -> Work {
    let text = [Segment::Text { seed, tokens }, Segment::Answer { tokens: 1 }];
    let chain = hash_segments(&ScopePlan::new("", "", "", 16), &text);
    Work::new(RequestId(id), None, &chain, (tokens, 1), TokenSource::default())
}

/// Whether a prompt that was pushed out of HBM is loaded again over such a link.
fn loads(profile: &Profile, tokens: u32, gb_s: f64) -> bool {
    let mut profile = profile.clone();
    let constant = u64::from(profile.constant_blocks() * profile.block_size);
    profile.hbm_tokens = Some(u64::from(tokens) + constant + 64);
    profile.tiers = vec![TierSpec {
        pieces: None,
        name: "host".into(),
        tokens: 2 * u64::from(tokens),
        load_gb_s: gb_s,
        store_gb_s: 1e9,
        latency_us: 0.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads: Loads::WhenCheaper,
    }];
    let mut engine = Engine::new(WorkerId(0), 1, profile);
    let (mut out, mut now) = (Vec::new(), Instant::START);
    // The last token of the third is not in a full block.
    for (id, seed, tokens) in [(1, 1, tokens), (2, 2, tokens), (3, 1, tokens + 1)] {
        engine.submit(now, work(id, seed, tokens)).expect("it fits");
        while let Some(due) = engine.next_wake() {
            engine.step(due, &mut out);
            now = due;
        }
    }
    let hit = out.iter().find_map(|output| match output {
        Output::Finished { id, hit, .. } if id.0 == 3 => Some(*hit),
        _ => None,
    });
    let hit = hit.expect("it was answered");
    hit[1] > tokens / 32
}

/// The bandwidth above which the engine loads, by halving between a tenth and ten times a guess.
fn turning_point(profile: &Profile, tokens: u32, guess: f64) -> f64 {
    let (mut low, mut high) = (guess / 10.0, guess * 10.0);
    assert!(!loads(profile, tokens, low) && loads(profile, tokens, high), "it does not turn");
    while high / low > 1.01 {
        let middle = (low * high).sqrt();
        if loads(profile, tokens, middle) { high = middle } else { low = middle }
    }
    (low * high).sqrt()
}

fn precision(name: &str) -> Option<Precision> {
    Some(match name {
        "bf16" => Precision::Bf16,
        "fp8" => Precision::Fp8,
        "fp8_block" => Precision::Fp8Block,
        "nvfp4" => Precision::Nvfp4,
        "mxfp4" => Precision::Mxfp4,
        _ => return None,
    })
}

const PUBLISHED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/reference/breakeven.csv");

fn main() -> ExitCode {
    let run = || {
        the_engine_turns_at_the_published_break_even();
        Ok(())
    };
    let test = Trial::test("the_engine_turns_at_the_published_break_even", run);
    let test = test.with_ignored_flag(!Path::new(PUBLISHED).exists());
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

/// Each published figure of a device and model that a profile can be built for.
fn the_engine_turns_at_the_published_break_even() {
    let text = std::fs::read_to_string(PUBLISHED).expect("the file can be read");
    let (mut held, mut off) = (0, Vec::new());
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [gpu, model, weights, tp, tokens, _, kv_bytes, _, figure] = fields[..9] else {
            panic!("{line}: expected nine fields")
        };
        let (Ok(mut device), Ok(model), Some(precision)) = (
            profiles::device(gpu, Path::new("")),
            profiles::model(model, Path::new("")),
            precision(weights),
        ) else {
            eprintln!("not modelled: {line}");
            continue;
        };
        // The figures come from tables of single kernels, so they are held against kernels alone: a busy
        // engine differs from those by the device's factors.
        device.in_engine = InEngine::default();
        let tp = tp.parse().expect("a number");
        let deployment = Deployment {
            hbm_tokens: Some(1 << 20),
            ..Deployment::new(tp, precision, KvDtype::Bf16)
        };
        let mut profile = Profile::build(&device, &model, &deployment).expect("a profile");
        profile.kv_bytes_per_token = kv_bytes.parse().expect("a number");
        let (tokens, figure): (u32, f64) =
            (tokens.parse().expect("a number"), figure.parse().expect("a number"));
        let turns = turning_point(&profile, tokens, figure);
        let ratio = turns / figure;
        eprintln!(
            "{gpu} {} {weights} tp{tp} {tokens}: turns at {turns:.2} GB/s, {figure:.2} published, {ratio:.2}",
            model.name
        );
        if (ratio - 1.0).abs() <= 0.15 {
            held += 1
        } else {
            off.push(format!("{line}: {ratio:.2}"))
        }
    }
    assert!(off.is_empty() && held > 0, "{held} held, off by more than 15 %: {off:#?}");
}
