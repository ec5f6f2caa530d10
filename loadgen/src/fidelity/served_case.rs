//! A served system, and how it is played.

use crate::fidelity::reference::{Known, ServedRow};
use std::sync::Arc;
use warmpath_core::block::{ScopePlan, hash_segments};
use warmpath_core::engine::physics::{Deployment, Device, KvDtype, Model, Precision};
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::{TokenSource, Work};
use warmpath_core::rng::Rng;
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

/// Requests of a run, divided by the concurrency, as in the benchmark scripts.
pub const REQUESTS_EACH: u32 = 10;
/// The shortest length, as a share of the longest. Lengths are drawn between the two.
pub const SHORTEST: f64 = 0.8;
/// The highest concurrency that was studied. Beyond it, some rows have answers that wait for minutes
/// and then come as fast as at a concurrency of 4: a limit of the server that the file does not
/// record.
pub const STUDIED: u32 = 64;

/// A system, understood.
#[derive(Debug)]
pub struct Case<'a> {
    pub row: &'a ServedRow,
    pub device: &'a Device,
    pub model: &'a Model,
    pub profile: Profile,
    pub load: Load,
    pub precision: Precision,
    deployment: Deployment,
}

impl Case<'_> {
    /// Plays it with other constants of its device. None: they make no profile.
    pub fn again(&self, device: &Device) -> Option<Measured> {
        let profile = Profile::build(device, self.model, &self.deployment).ok()?;
        Some(play(&profile, self.load))
    }

    /// Whether the constants are held against it: vLLM, within the studied concurrency.
    pub fn is_gated(&self) -> bool {
        let row = self.row;
        row.engine == "vllm" && row.family == "InferenceX" && self.load.concurrency <= STUDIED
    }
}

/// A closed loop.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub concurrency: u32,
    pub requests: u32,
    pub longest_prompt: u32,
    pub longest_answer: u32,
    pub shortest: f64,
}

/// Means over the requests, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub ttft_ms: f64,
    pub tpot_ms: f64,
}

/// The error says why it cannot be played.
pub fn case<'a>(row: &'a ServedRow, known: &'a Known) -> Result<Case<'a>, String> {
    let device = known.devices.get(&row.gpu);
    let device = device.ok_or_else(|| format!("unknown device {}", row.gpu))?;
    let model = known.models.get(&row.model);
    let model = model.ok_or_else(|| format!("unknown model {}", row.model))?;
    if row.provenance == "suspect" {
        return Err("suspect".into());
    }
    let is_one = |value: Option<f64>| value.is_none_or(|value| value <= 1.0);
    if !is_one(row.ep) || !is_one(row.attn_dp) {
        return Err("expert or attention data parallel layouts".into());
    }
    let whole = |value: Option<f64>, what: &str| match value {
        Some(value) if (1.0..1e7).contains(&value) => Ok(value as u32),
        _ => Err(format!("no {what}")),
    };
    let is_oss = model.name.starts_with("gpt-oss");
    let precision = match row.precision.as_str() {
        "fp4" if is_oss => Precision::Mxfp4,
        "fp4" | "nvfp4" => Precision::Nvfp4,
        "mxfp4" => Precision::Mxfp4,
        "fp8" if model.experts.is_some() && !is_oss => Precision::Fp8Block,
        "fp8" => Precision::Fp8,
        "fp8_block" => Precision::Fp8Block,
        "" | "bf16" | "fp16" => Precision::Bf16,
        other => return Err(format!("precision {other}")),
    };
    let is_narrow = model.name.starts_with("llama") || device.name == "b200";
    let concurrency = whole(row.concurrency, "concurrency")?;
    let load = Load {
        concurrency,
        requests: concurrency.saturating_mul(REQUESTS_EACH),
        longest_prompt: whole(row.isl_max, "prompt length")?,
        longest_answer: whole(row.osl_max, "answer length")?,
        shortest: SHORTEST,
    };
    let narrow_kv = is_narrow && precision != Precision::Bf16;
    let kv_dtype = if narrow_kv { KvDtype::Fp8 } else { KvDtype::Bf16 };
    let tp = whole(row.tp, "tensor-parallel size")?;
    let deployment = Deployment {
        name: format!("{} on {}", model.name, device.name),
        device: device.name.clone(),
        model: model.name.clone().into(),
        max_num_seqs: concurrency.max(256),
        max_num_batched_tokens: 8192.max(concurrency),
        ..Deployment::new(tp, precision, kv_dtype)
    };
    let profile = Profile::build(device, model, &deployment)
        .map_err(|error| format!("{} on {}: {error}", model.name, device.name))?;
    let room = profile.hbm_tokens.unwrap_or(u64::MAX);
    let needed = u64::from(load.longest_prompt) + u64::from(load.longest_answer) + 256;
    if needed > room {
        return Err(format!("no room for one sequence of {} on {}", model.name, device.name));
    }
    Ok(Case { row, device, model, profile, load, precision, deployment })
}

/// Plays a closed loop on one engine: each finished answer starts the next request.
pub fn play(profile: &Profile, load: Load) -> Measured {
    let mut rng = Rng::named(1, &[]);
    let mut length = |longest: u32| {
        let least = (f64::from(longest) * load.shortest).ceil().max(1.0) as u32;
        least + rng.below(u64::from(longest - least.min(longest)) + 1) as u32
    };
    let scope = ScopePlan::new("", "fidelity", "", profile.block_size);
    let lengths: Vec<(u32, u32)> = (0..load.requests)
        .map(|_| (length(load.longest_prompt), length(load.longest_answer)))
        .collect();
    let mut engine = Engine::new(WorkerId(0), 1, profile.clone());
    let mut times = vec![[Instant::default(); 3]; lengths.len()];
    let mut next = 0;
    let mut send = |engine: &mut Engine, now: Instant, times: &mut Vec<[Instant; 3]>| {
        if let Some(&(prompt, answer)) = lengths.get(next) {
            let sent = engine.submit(now, work(next as u64, &scope, prompt, answer));
            sent.expect("there is room for one sequence");
            times[next][0] = now;
            next += 1;
        }
    };
    for _ in 0..load.concurrency {
        send(&mut engine, Instant::default(), &mut times);
    }
    let mut out = Vec::new();
    while let Some(wake) = engine.next_wake() {
        engine.step(wake, &mut out);
        for output in out.drain(..) {
            match output {
                Output::FirstToken { id, at } => times[id.0 as usize][1] = at,
                Output::Finished { id, at, .. } => {
                    times[id.0 as usize][2] = at;
                    send(&mut engine, at, &mut times);
                }
                _ => {}
            }
        }
    }
    let (mut ttft, mut tpot, mut spaced) = (0.0, 0.0, 0.0);
    for ([sent, first, end], (_, answer)) in times.iter().zip(&lengths) {
        ttft += first.since(*sent).as_secs_f64();
        if *answer > 1 {
            tpot += end.since(*first).as_secs_f64() / f64::from(answer - 1);
            spaced += 1.0;
        }
    }
    let requests = f64::from(load.requests.max(1));
    Measured { ttft_ms: 1e3 * ttft / requests, tpot_ms: 1e3 * tpot / f64::max(spaced, 1.0) }
}

/// A prompt that shares no prefix with any other.
fn work(id: u64, scope: &ScopePlan, prompt: u32, answer: u32) -> Work {
    let text = [Segment::Text { seed: id, tokens: prompt }, Segment::Answer { tokens: answer }];
    let chain = hash_segments(scope, &text);
    Work::new(RequestId(id), None, &chain, (prompt, answer), TokenSource::new(Arc::new(text)))
}

/// What it is, in a line.
pub fn name(case: &Case<'_>) -> String {
    let Load { concurrency, longest_prompt, longest_answer, .. } = case.load;
    let row = case.row;
    let tp = row.tp.unwrap_or(0.0);
    format!("{} tp{tp} {longest_prompt}+{longest_answer} x {concurrency}", row.gpu)
}
