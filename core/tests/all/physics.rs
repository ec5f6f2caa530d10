//! The physics of a step: model sizes against published ones, step times against the formulas when
//! a file changes, and engines that run on them.

use crate::common::{for_seeds, work};
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::physics::{
    Deployment, Device, FrontEnd, Joining, KvDtype, Model, Physics, Placement, Precision,
};
use warmpath_core::engine::profile::{Profile, StepShape};
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::WorkerId;
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

macro_rules! row {
    ($path:literal) => {
        toml::from_str(include_str!(concat!("../../../deploy/profiles/", $path, ".toml"))).unwrap()
    };
}

fn h100() -> Device {
    row!("devices/h100")
}

fn h200() -> Device {
    row!("devices/h200")
}

fn llama_8b() -> Model {
    row!("models/llama-3.1-8b")
}

fn llama_70b() -> Model {
    row!("models/llama-3.1-70b")
}

fn gpt_oss() -> Model {
    row!("models/gpt-oss-120b")
}

fn deepseek() -> Model {
    row!("models/deepseek-v3")
}

fn granite() -> Model {
    row!("models/granite-4.0-h-small")
}

fn deployment(tp: u32, precision: Precision, kv_dtype: KvDtype) -> Deployment {
    Deployment { name: "test".into(), ..Deployment::new(tp, precision, kv_dtype) }
}

fn build(device: &Device, model: &Model, deployment: &Deployment) -> Profile {
    Profile::build(device, model, deployment).unwrap()
}

fn near(value: f64, expected: f64, percent: f64) {
    let off = (value / expected - 1.0).abs() * 100.0;
    assert!(off <= percent, "{value} is {off:.1} % off {expected}");
}

/// KV bytes of a token in BF16, constant bytes of a sequence, and all and active parameters in
/// 10^9, from the models' configurations and cards.
#[test]
fn each_model_has_the_published_sizes() {
    let rows: [(Model, f64, f64, f64, f64); 10] = [
        (llama_8b(), 131_072.0, 0.0, 8.0, 7.5),
        (llama_70b(), 327_680.0, 0.0, 70.6, 69.5),
        (row!("models/qwen3-32b"), 262_144.0, 0.0, 32.8, 32.0),
        (row!("models/qwen3-235b-a22b"), 192_512.0, 0.0, 235.0, 22.0),
        (gpt_oss(), 36_864.0, 4.7e6, 117.0, 5.1),
        (deepseek(), 70_272.0, 0.0, 671.0, 37.0),
        (row!("models/mistral-large-2"), 360_448.0, 0.0, 123.0, 122.0),
        (row!("models/gemma-4-26b-a4b"), 20_480.0, 210e6, 26.0, 4.0),
        (granite(), 16_384.0, 77.3e6, 32.0, 9.0),
        (row!("models/r1-distill-qwen-1.5b"), 28_672.0, 0.0, 1.78, 1.54),
    ];
    for (model, growing, constant, total, active) in rows {
        model.check().unwrap();
        assert_eq!(model.growing_bytes_per_token(KvDtype::Bf16, 1), growing, "{}", model.name);
        assert_eq!(model.growing_bytes_per_token(KvDtype::Fp8, 1), growing / 2.0);
        let own = model.window_bytes(KvDtype::Bf16, 1) + model.state_bytes();
        assert!((own - constant).abs() <= 0.01 * constant, "{}: {own}", model.name);
        let (all, used) = model.parameters();
        assert!((all / 1e9 / total - 1.0).abs() < 0.05, "{}: {all:e} parameters", model.name);
        assert!((used / 1e9 / active - 1.0).abs() < 0.25, "{}: {used:e} active", model.name);
    }
}

#[test]
fn kv_heads_are_copied_to_more_devices_and_latent_kv_to_all() {
    let qwen: Model = row!("models/qwen3-235b-a22b");
    let per_token = |model: &Model, tp| model.growing_bytes_per_token(KvDtype::Bf16, tp);
    // Four KV heads are divided over up to four devices, and need twice the bytes on eight.
    // Mooncake moves 3.15 GB for 8,192 tokens of this model on eight devices.
    assert_eq!(per_token(&qwen, 4), 192_512.0);
    assert_eq!(per_token(&qwen, 8), 385_024.0);
    near(per_token(&qwen, 8) * 8192.0, 3.15e9, 0.2);
    assert_eq!(per_token(&deepseek(), 8), 8.0 * 70_272.0);
    // vLLM's blocks: 2 MB for 16 tokens of Llama-3.1-8B.
    assert_eq!(per_token(&llama_8b(), 1) * 16.0, 2_097_152.0);
}

#[test]
fn the_weights_leave_the_room_for_blocks() {
    let qwen: Model = row!("models/qwen3-32b");
    let profile = build(&h100(), &qwen, &deployment(2, Precision::Bf16, KvDtype::Bf16));
    // A vLLM pod of this model on two H100 reports 307,328 tokens.
    near(profile.hbm_tokens.unwrap() as f64, 307_328.0, 1.0);
    assert_eq!(profile.kv_bytes_per_token, 262_144);
    // 141 GB of weights do not fit one H100.
    let one = deployment(1, Precision::Bf16, KvDtype::Bf16);
    let error = Profile::build(&h100(), &llama_70b(), &one).unwrap_err().to_string();
    let expected = "tp: 1, weights of 141 GB and activations of 4 GB do not fit the 77 GB that 1 x \
                    h100 may use";
    assert_eq!(error, expected);
    let two = build(&h100(), &llama_70b(), &deployment(2, Precision::Fp8, KvDtype::Bf16));
    let four = build(&h100(), &llama_70b(), &deployment(4, Precision::Fp8, KvDtype::Bf16));
    assert!(four.hbm_tokens > two.hbm_tokens.map(|tokens| 2 * tokens));
    // FP8 keys and values: twice the tokens.
    let narrow = build(&h100(), &llama_70b(), &deployment(2, Precision::Fp8, KvDtype::Fp8));
    near(narrow.hbm_tokens.unwrap() as f64, 2.0 * two.hbm_tokens.unwrap() as f64, 0.1);
    assert_eq!(narrow.kv_bytes_per_token * 2, two.kv_bytes_per_token);
    // The deployment can set the room itself.
    let given = Deployment { hbm_tokens: Some(32_000), ..one };
    assert_eq!(build(&h100(), &llama_70b(), &given).hbm_tokens, Some(32_000));
}

#[test]
fn a_hybrid_model_keeps_a_state_in_each_block_and_for_each_sequence() {
    let checkpoints =
        Deployment { block_size: 512, ..deployment(1, Precision::Bf16, KvDtype::Bf16) };
    let mut profile = build(&h200(), &granite(), &checkpoints);
    let state = granite().state_bytes();
    near(state, 77.3e6, 0.1);
    // 77 MB of state equal about 4.7k tokens of its KV.
    near(state / 16_384.0, 4_718.0, 0.1);
    near(profile.kv_bytes_per_token as f64, 16_384.0 + state / 512.0, 0.1);
    assert_eq!(profile.constant_blocks(), 1);
    // With larger blocks there are fewer states, so more tokens fit.
    let before = profile.hbm_tokens.unwrap();
    profile.set_block_size(4096);
    assert!(profile.hbm_tokens.unwrap() > 4 * before);
    // A window needs its room once: 4.7 MB are eight blocks of 16 tokens of 36,864 bytes.
    let windowed = build(&h200(), &gpt_oss(), &deployment(1, Precision::Mxfp4, KvDtype::Bf16));
    assert_eq!(windowed.constant_blocks(), 8);
}

fn ms(device: &Device, model: &Model, placement: Placement, shape: &StepShape) -> f64 {
    Physics::new(device, model, placement).unwrap().split(shape).total() / 1e6
}

fn decode(batch: u32, context: u32, window: u32) -> StepShape {
    let mut shape = StepShape::default();
    (0..batch).for_each(|_| shape.add_decode(context, window));
    shape
}

fn prefill(new: u32, before: u32, window: u32) -> StepShape {
    let mut shape = StepShape::default();
    shape.add_prompt(new, before, window);
    shape
}

const ALONE: Placement = Placement { tp: 1, precision: Precision::Bf16, kv: KvDtype::Bf16 };

/// vLLM's own fits of the time between tokens at batch size 1, for Llama-3.1-8B in BF16.
#[test]
fn decode_time_is_near_vllms_published_fits() {
    let b200: Device = row!("devices/b200");
    for (device, base, each, percent) in [(h100(), 6.44, 4.37e-5, 5.0), (b200, 3.93, 1.80e-5, 20.0)]
    {
        let at = |context| ms(&device, &llama_8b(), ALONE, &decode(1, context, 0));
        let slope = (at(32_768) - at(0)) / 32_768.0;
        near(at(0), base, percent);
        near(slope, each, 10.0);
    }
}

#[test]
fn twice_the_bandwidth_halves_the_reading_time_only() {
    for_seeds(0..20, |rng| {
        let device = h100();
        let mut faster = device.clone();
        faster.hbm_tb_s *= 2.0;
        let (model, batch) = (llama_8b(), 1 + rng.below(8) as u32);
        let context = 1_000 + rng.below(60_000) as u32;
        let split = |device: &Device| {
            Physics::new(device, &model, ALONE).unwrap().split(&decode(batch, context, 0))
        };
        let (before, after) = (split(&device), split(&faster));
        let launch = 32.0 * device.attention.decode_launch_us * 1e3;
        let (read, read_after) =
            (before.decode_attention - launch, after.decode_attention - launch);
        near(read_after, read / 2.0, 1e-6);
        // Small batches mostly read weights: all but launches is halved, and computing is nearer to
        // the soft corner.
        assert!(after.products < before.products && after.products > before.products / 2.0);
        // A long prompt mostly computes.
        let long = |device: &Device| ms(device, &model, ALONE, &prefill(8192, 0, 0));
        near(long(&faster), long(&device), 6.0);
        let attention = |device: &Device| {
            Physics::new(device, &model, ALONE)
                .unwrap()
                .split(&prefill(8192, 0, 0))
                .prefill_attention
        };
        near(attention(&faster), attention(&device), 1e-9);
    });
}

#[test]
fn half_the_link_bandwidth_doubles_the_all_reduce_time() {
    let device = h100();
    let mut slower = device.clone();
    slower.link_gb_s = device.link_gb_s.map(|link| link / 2.0);
    let placement = Placement { tp: 4, precision: Precision::Fp8, kv: KvDtype::Bf16 };
    let launch = 160.0 * device.all_reduce.launch_us * 1e3;
    for shape in [prefill(8192, 0, 0), decode(64, 2_000, 0)] {
        let split =
            |device: &Device| Physics::new(device, &llama_70b(), placement).unwrap().split(&shape);
        let (before, after) = (split(&device), split(&slower));
        near(after.all_reduces - launch, 2.0 * (before.all_reduces - launch), 1e-9);
        near(after.total() - after.all_reduces, before.total() - before.all_reduces, 1e-9);
    }
    // One device sends nothing, so a device without a link can serve alone.
    let alone = Placement { tp: 1, ..placement };
    near(
        ms(&slower, &llama_70b(), alone, &prefill(100, 0, 0)),
        ms(&device, &llama_70b(), alone, &prefill(100, 0, 0)),
        1e-9,
    );
    slower.link_gb_s = None;
    let error = Physics::new(&slower, &llama_70b(), placement).unwrap_err();
    assert_eq!(error.to_string(), "tp: 4, expected 1: device h100 has no link_gb_s");
}

#[test]
fn fp8_keys_and_values_halve_the_bytes_and_have_their_own_bandwidth() {
    let device = h100();
    let narrow = Placement { kv: KvDtype::Fp8, ..ALONE };
    let read = |placement| {
        let at = |context| ms(&device, &llama_8b(), placement, &decode(8, context, 0));
        at(40_000) - at(0)
    };
    let ratio = 0.5 * device.attention.bf16.bandwidth / device.attention.fp8.bandwidth;
    near(read(narrow), read(ALONE) * ratio, 1e-6);
}

#[test]
fn latent_attention_costs_the_same_on_more_devices_and_full_windows_stop_growing() {
    let context = |device: &Device, model: &Model, placement: Placement| {
        let window = Physics::new(device, model, placement).unwrap().window();
        let at = |tokens| ms(device, model, placement, &decode(32, tokens, window));
        at(40_000) - at(20_000)
    };
    let on = |tp, precision| Placement { tp, precision, kv: KvDtype::Bf16 };
    let latent = |tp| context(&h200(), &deepseek(), on(tp, Precision::Fp8Block));
    near(latent(8), latent(4), 1e-6);
    let heads = |tp| context(&h200(), &llama_70b(), on(tp, Precision::Fp8));
    near(heads(8), heads(4) / 2.0, 1e-6);
    // With more devices than KV heads, each device reads one head.
    near(heads(16), heads(8), 1e-6);
    // Only the 18 full-attention layers of 36 read more.
    let device = h100();
    let per_token = context(&device, &gpt_oss(), on(1, Precision::Mxfp4)) * 1e6 / 32.0 / 20_000.0;
    let bytes = 36_864.0 / (3.35e3 * device.attention.bf16.bandwidth);
    near(per_token, bytes, 1e-6);
}

#[test]
fn pairs_counted_by_hand_equal_the_formula() {
    for_seeds(0..200, |rng| {
        let (new, before) = (1 + rng.below(3_000) as u32, rng.below(3_000) as u32);
        let window = rng.below(2_000) as u32;
        let mut expected = (0.0, 0.0);
        for position in before..before + new {
            expected.0 += f64::from(position + 1);
            expected.1 += f64::from((position + 1).min(window));
        }
        let shape = prefill(new, before, window);
        assert_eq!((shape.pairs, shape.window_pairs), expected, "{new} behind {before}, {window}");
    });
}

/// Compares a router's estimate with the engine's own steps.
#[test]
fn a_routers_estimate_is_within_15_percent_of_the_engines_prefill() {
    let oss = (gpt_oss(), deployment(1, Precision::Mxfp4, KvDtype::Bf16));
    let llama = (llama_70b(), deployment(4, Precision::Fp8, KvDtype::Bf16));
    let small = (llama_8b(), deployment(1, Precision::Bf16, KvDtype::Bf16));
    let latent = (deepseek(), deployment(8, Precision::Fp8Block, KvDtype::Bf16));
    for (model, deployment) in [oss, llama, small, latent] {
        let profile = build(&h200(), &model, &deployment);
        let (cost, window) = (profile.prefill_cost(), profile.step.window());
        for new in [512, 1_000, 2_048, 5_000, 8_192, 12_000, 20_000, 32_768] {
            for cached in [0, 4_096, 30_000, 100_000] {
                let (mut ns, mut done) = (0.0, 0);
                while done < new {
                    let chunk = (new - done).min(deployment.max_num_batched_tokens);
                    let joining = if done == 0 { joins(new + cached) } else { Joining::default() };
                    ns += idle_ns(&profile, &prefill(chunk, cached + done, window), joining);
                    done += chunk;
                }
                let estimate = cost.estimate(new, cached).as_nanos() as f64;
                let off = (estimate / ns - 1.0) * 100.0;
                // It knows neither what the host does for each cached token nor that prompts beyond the
                // captured sizes are launched kernel by kernel.
                let most = if new <= 1_000 { 25.0 } else { 15.0 };
                assert!(off.abs() < most, "{}: {new} behind {cached}: {off:.1} %", model.name);
            }
        }
    }
}

/// A bound on the work of a fleet adds up what each token takes at least.
#[test]
fn no_step_is_shorter_than_what_its_tokens_take_at_least() {
    let models = [llama_8b(), llama_70b(), gpt_oss(), deepseek(), granite()];
    let profiles: Vec<Profile> = models
        .iter()
        .map(|model| {
            let (tp, precision) = match model.name.as_str() {
                "deepseek-v3" => (8, Precision::Fp8Block),
                "gpt-oss-120b" => (1, Precision::Mxfp4),
                _ => (4, Precision::Bf16),
            };
            build(&h200(), model, &deployment(tp, precision, KvDtype::Bf16))
        })
        .collect();
    for_seeds(0..300, |rng| {
        for profile in &profiles {
            let (floor, mut shape) = (profile.step.floor(), StepShape::default());
            let mut least = 0.0;
            for _ in 0..rng.below(4) {
                let (new, before) = (1 + rng.below(1_900) as u32, rng.below(100_000) as u32);
                shape.add_prompt(new, before, floor.window);
                least += floor.prompt_ns(new, before);
            }
            for _ in 0..rng.below(40) + u64::from(shape.seqs == 0) {
                let context = 1 + rng.below(50_000) as u32;
                shape.add_decode(context, floor.window);
                least += f64::from(context) * floor.per_context_token;
            }
            let ns = profile.step.ns(&shape);
            assert!(floor.step > 1e3 && floor.per_token > 0.0, "{floor:?}");
            assert!(ns >= least && ns >= floor.step, "{ns} of {shape:?} under {floor:?}");
        }
    });
}

const fn joins(prompt: u32) -> Joining {
    Joining { requests: 1, prompt_tokens: prompt as u64 }
}

fn idle_ns(profile: &Profile, shape: &StepShape, joining: Joining) -> f64 {
    profile.step.calibrated().unwrap().idle_ns(shape, joining)
}

/// From a request's arrival at an idle engine to its first token.
fn first_token(profile: &Profile, prompt: u32, window: u32) -> f64 {
    let shape = prefill(prompt, 0, window);
    let input = profile.step.launch(&shape, joins(prompt)).unwrap().input;
    let front = profile.step.front_end(prompt).as_nanos() as f64;
    front + input + idle_ns(profile, &shape, joins(prompt))
}

/// The times of the first token and of the end of each request.
fn play(profile: &Profile, requests: &[(u64, u32, u32)]) -> Vec<(u64, u64)> {
    let scope = ScopePlan::new("", "", "", profile.block_size);
    let mut engine = Engine::new(WorkerId(0), 1, profile.clone());
    for (id, &(at, prompt, output)) in requests.iter().enumerate() {
        let text = [Segment::Text { seed: id as u64, tokens: prompt }];
        let work = work(id as u64, &scope, &text, output);
        run_until(&mut engine, at, &mut Vec::new());
        engine.submit(Instant::from_nanos(at), work).unwrap();
    }
    let mut out = Vec::new();
    run_until(&mut engine, u64::MAX, &mut out);
    engine.check_at_rest();
    let mut times = vec![(0, 0); requests.len()];
    for output in out {
        match output {
            Output::FirstToken { id, at } => times[id.0 as usize].0 = at.as_nanos(),
            Output::Finished { id, at, .. } => times[id.0 as usize].1 = at.as_nanos(),
            _ => {}
        }
    }
    times
}

fn run_until(engine: &mut Engine, ns: u64, out: &mut Vec<Output>) {
    while let Some(wake) = engine.next_wake().filter(|wake| wake.as_nanos() <= ns) {
        engine.step(wake, out);
    }
}

/// Compares stretches of many steps with the same steps one by one. Windows become full on the way.
#[test]
fn a_stretch_ends_where_a_window_is_full() {
    let oss = deployment(1, Precision::Mxfp4, KvDtype::Bf16);
    for (prompt, output) in [(10, 400), (100, 60), (126, 5), (127, 5), (128, 5), (500, 300)] {
        let profile = build(&h100(), &gpt_oss(), &oss);
        let mut ns = first_token(&profile, prompt, 128);
        let first = ns.round() as u64;
        let unevenness = profile.step.unevenness(std::iter::once(prompt + 1));
        for made in 1..output {
            let shape = StepShape { unevenness, ..decode(1, prompt + made, 128) };
            ns += profile.step.ns(&shape);
        }
        let (seen_first, seen_end) = play(&profile, &[(0, prompt, output)])[0];
        assert!(seen_first.abs_diff(first) <= 2, "{prompt} + {output}");
        // The first decode step is launched while the prompt's step ends.
        let off = seen_end.abs_diff(ns.round() as u64);
        assert!(off <= 1_000_000, "{prompt} + {output}: {off} ns off");
    }
}

#[test]
fn windows_of_several_requests_fill_at_the_same_time() {
    let oss = deployment(1, Precision::Mxfp4, KvDtype::Bf16);
    let profile = build(&h100(), &gpt_oss(), &oss);
    // The second comes while the first step is launched. The next step is planned when the launch
    // ends, so the second joins it, while the first makes its second token.
    let requests = [(0, 40, 200), (2_000_000, 90, 150)];
    let seen = play(&profile, &requests);
    let first = first_token(&profile, 40, 128);
    assert!(seen[0].0.abs_diff(first.round() as u64) <= 2);
    let mut now = first;
    let (mut made, mut ends) = ([1, 0], [0.0; 2]);
    let alone = profile.step.unevenness(std::iter::once(41));
    let (mut before, mut unevenness) = ([true, false], alone);
    while made[0] < 200 || made[1] < 150 {
        let mut shape = StepShape::default();
        let joining = made[1] == 0;
        if joining {
            shape.add_prompt(90, 0, 128);
        }
        let decoding = [made[0] < 200, made[1] > 0 && made[1] < 150];
        for (i, prompt) in [40, 90].into_iter().enumerate() {
            if decoding[i] {
                shape.add_decode(prompt + made[i], 128);
            }
        }
        // Looked at when others decode than before.
        if decoding != before {
            let contexts = (0..2).filter(|&i| decoding[i]).map(|i| [40, 90][i] + made[i]);
            (before, unevenness) = (decoding, profile.step.unevenness(contexts));
        }
        shape.unevenness = unevenness;
        if joining {
            now = seen[1].0 as f64;
        } else {
            now += profile.step.ns(&shape);
        }
        for (i, last) in [200, 150].into_iter().enumerate() {
            if decoding[i] || (i == 1 && joining) {
                made[i] += 1;
                if made[i] == last {
                    ends[i] = now;
                }
            }
        }
    }
    for (seen, end) in seen.iter().zip(ends) {
        near(seen.1 as f64, end, 0.1);
    }
}

/// vLLM plans a step while the one before it runs.
#[test]
fn a_request_that_comes_while_a_step_runs_joins_the_step_after_the_next() {
    let served = Deployment {
        front_end: FrontEnd::InProcess,
        ..deployment(1, Precision::Bf16, KvDtype::Bf16)
    };
    let profile = build(&h100(), &llama_8b(), &served);
    let step = profile.step.ns(&decode(1, 1_001, 0));
    let first = first_token(&profile, 1_000, 0);
    // In the middle of the third decode step; and just after its begin, when it is planned next.
    for (into, steps) in [(0.5, 4.0), (0.1, 3.0)] {
        let comes = first + (2.0 + into) * step;
        let seen = play(&profile, &[(0, 1_000, 100), (comes as u64, 64, 2)]);
        let begins = first + steps * step;
        let took = seen[1].0 as f64 - begins;
        // The prompt's launch began before the device was free.
        assert!(took > step && took < 14e6, "{into}: {took}");
    }
    // An engine without that plans when a step has ended.
    let mut alone = h100();
    alone.host.asynchronous = false;
    alone.host.output_ms = 0.0;
    let profile = build(&alone, &llama_8b(), &served);
    let comes = first + 2.5 * step;
    let seen = play(&profile, &[(0, 1_000, 100), (comes as u64, 64, 2)]);
    assert!(seen[1].0 as f64 > first + 3.0 * step + 11e6);
}

#[test]
fn a_prompt_beyond_the_captured_sizes_is_launched_kernel_by_kernel() {
    let profile = build(&h100(), &llama_8b(), &deployment(1, Precision::Bf16, KvDtype::Bf16));
    let ms = |new, before| idle_ns(&profile, &prefill(new, before, 0), joins(new + before)) / 1e6;
    // Measured: deploy/measurements/h100-vllm-0.26.
    for (new, before, measured, percent) in [
        (16, 0, 12.7, 5.0),
        (512, 0, 15.3, 5.0),
        (1_024, 0, 30.1, 6.0),
        (8_192, 0, 216.4, 3.0),
        (64, 32_768, 16.9, 5.0),
        (512, 114_688, 79.4, 5.0),
        (8_192, 114_688, 1_082.4, 6.0),
    ] {
        near(ms(new, before), measured, percent);
    }
}

#[test]
fn a_request_is_admitted_after_the_front_end() {
    let profile = build(&h100(), &llama_8b(), &deployment(1, Precision::Bf16, KvDtype::Bf16));
    let front = profile.step.front_end(2_000);
    let http = FrontEnd::Http.times();
    let expected = Duration::from_nanos_f64((http.base_ms + 2.0 * http.per_1k_tokens_ms) * 1e6);
    assert_eq!(front, expected);
    let (first, _) = play(&profile, &[(5_000, 2_000, 3)])[0];
    assert!(first.abs_diff(5_000 + first_token(&profile, 2_000, 0).round() as u64) <= 2);

    // A request cancelled in the front end leaves nothing and reports nothing.
    let scope = ScopePlan::new("", "", "", profile.block_size);
    let mut engine = Engine::new(WorkerId(0), 1, profile);
    let one = work(1, &scope, &[Segment::Text { seed: 1, tokens: 2_000 }], 3);
    let again = work(1, &scope, &[Segment::Text { seed: 1, tokens: 2_000 }], 3);
    engine.submit(Instant::from_nanos(0), one).unwrap();
    assert!(engine.submit(Instant::from_nanos(1), again).is_err(), "the id is in use");
    let report = engine.load_report();
    assert_eq!((report.waiting, report.queued_prefill_tokens), (0, 2_000), "no step has seen it");
    assert!(!engine.is_idle());
    engine.cancel(Instant::from_nanos(2), warmpath_core::id::RequestId(1));
    assert!(engine.is_idle() && engine.next_wake().is_none());
    engine.check_at_rest();
}

#[test]
fn constant_blocks_are_held_and_released() {
    let mut oss = deployment(1, Precision::Mxfp4, KvDtype::Bf16);
    // There is room for two sequences of 100 tokens with eight blocks of windows each, not for
    // three.
    oss.hbm_tokens = Some(2 * (8 * 16 + 7 * 16) + 16);
    let profile = build(&h100(), &gpt_oss(), &oss);
    let seen = play(&profile, &[(0, 90, 10), (0, 90, 10), (0, 90, 10)]);
    assert!(seen[2].0 >= seen[0].1.min(seen[1].1), "the third waits for room: {seen:?}");
}

#[test]
fn times_without_measurements_are_not_validated() {
    let mi300x: Device = row!("devices/mi300x");
    let standing = |device: &Device, model: &Model, precision| {
        device.standing(precision, &model.name, model.family)
    };
    let measured = standing(&h100(), &llama_70b(), Precision::Fp8);
    assert!(measured.validated && measured.band_percent.unwrap() < 20.0, "{measured:?}");
    let device = standing(&mi300x, &llama_70b(), Precision::Fp8);
    assert_eq!((device.validated, device.band_percent), (false, Some(40.0)));
    assert_eq!(device.because, "nothing measured of mi300x");
    let precision = standing(&h100(), &llama_70b(), Precision::Fp8Block);
    assert_eq!(precision.because, "nothing measured of fp8_block on h100");
    let family = standing(&h100(), &deepseek(), Precision::Fp8);
    assert_eq!(family.because, "no latent-attention model measured in fp8 on h100");
    // An unmeasured model of a measured family is off by as much as models left out of a fit.
    let other = standing(&h100(), &row!("models/qwen3-32b"), Precision::Fp8);
    assert!(other.validated && other.band_percent.unwrap() >= 25.0);
}
