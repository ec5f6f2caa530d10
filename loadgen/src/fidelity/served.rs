//! Served systems at a given concurrency: the engine in a closed loop, so that queueing, chunks and
//! mixed steps come from the scheduler.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::reference::{Known, Reference, ServedRow};
use crate::fidelity::served_left_out::{self, ServedLeftOut};
use crate::play::Progress;
use crate::play::parallel;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
const REQUESTS_EACH: u32 = 10;
/// The shortest length, as a share of the longest. Lengths are drawn between the two.
const SHORTEST: f64 = 0.8;
/// The highest concurrency that was studied. Beyond it, some rows have answers that wait for minutes
/// and then come as fast as at a concurrency of 4: a limit of the server that the file does not
/// record.
const STUDIED: u32 = 64;

/// A line of the table.
#[derive(Debug, Serialize)]
pub struct Served {
    pub source: String,
    pub engine: String,
    pub device: String,
    pub model: String,
    pub precision: Precision,
    pub tpot: Option<Errors>,
    pub ttft: Option<Errors>,
}

#[derive(Debug, Default, Serialize)]
pub struct AllServed {
    pub lines: Vec<Served>,
    /// Rows of vLLM at any concurrency. The constants are for vLLM; other engines are there for
    /// comparison.
    pub vllm_tpot_all: Option<Errors>,
    /// Rows of vLLM up to a concurrency of 64.
    pub vllm_tpot: Option<Errors>,
    pub vllm_ttft: Option<Errors>,
    /// At the lowest concurrency, where the queue is short.
    pub vllm_ttft_at_4: Option<Errors>,
    /// Rows of vLLM beyond a concurrency of 64, where the limits of the servers are not recorded.
    pub vllm_tpot_beyond_64: Option<Errors>,
    /// Rows of vLLM up to a concurrency of 64, with their model or device left out of the fit.
    pub vllm_left_out: ServedLeftOut,
    pub rows: Vec<Row>,
    /// Number of rows that were not run, by reason.
    pub left_out: BTreeMap<String, u32>,
    pub assumed: String,
}

/// One system, measured and simulated.
#[derive(Debug, Serialize)]
pub struct Row {
    pub source: String,
    pub engine: String,
    pub device: String,
    pub model: String,
    pub precision: Precision,
    pub tp: u32,
    pub concurrency: u32,
    pub longest_prompt: u32,
    pub longest_answer: u32,
    pub ttft_ms: Option<f64>,
    pub tpot_ms: Option<f64>,
    pub simulated_ttft_ms: f64,
    pub simulated_tpot_ms: f64,
}

/// A system, understood.
#[derive(Debug)]
pub struct Case<'a> {
    pub row: &'a ServedRow,
    pub device: &'a Device,
    pub model: &'a Model,
    pub profile: Profile,
    pub load: Load,
    precision: Precision,
    deployment: Deployment,
}

impl Case<'_> {
    /// Plays it with other constants of its device. None: they make no profile.
    pub fn again(&self, device: &Device) -> Option<Measured> {
        let profile = Profile::build(device, self.model, &self.deployment).ok()?;
        Some(play(&profile, self.load))
    }

    /// Whether the constants are held against it: vLLM, within the studied concurrency.
    fn is_gated(&self) -> bool {
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

pub fn evaluate(reference: &Reference, known: &mut Known, progress: &Progress) -> AllServed {
    let mut all = AllServed {
        assumed: format!(
            "lengths drawn from {SHORTEST} to 1 times the longest, {REQUESTS_EACH} requests for \
             each place; FP8 keys and values for Llama and on B200, else BF16; chunks of 8,192"
        ),
        ..AllServed::default()
    };
    for row in &reference.served {
        // What is not known is counted.
        let _ = known.device(&row.gpu).and_then(|_| known.model(&row.model));
    }
    let known = &*known;
    let mut cases = Vec::new();
    for row in &reference.served {
        match case(row, known) {
            Ok(case) => cases.push(case),
            Err(why) => *all.left_out.entry(why).or_default() += 1,
        }
    }
    let bar = progress.start(cases.len() as u64, "served systems", "runs");
    let done = AtomicU64::new(0);
    let measured = parallel::map(&cases, |case| {
        let measured = play(&case.profile, case.load);
        bar.set(done.fetch_add(1, Ordering::Relaxed) + 1);
        measured
    });
    drop(bar);
    tabulate(&cases, &measured, &mut all);
    let gated = cases.iter().zip(&measured).filter(|(case, _)| case.is_gated());
    let gated = gated.filter(|(case, _)| case.row.tpot_ms.is_some_and(|ms| ms > 0.0));
    let gated: Vec<_> = gated.map(|(case, got)| (case, *got, name(case))).collect();
    all.vllm_left_out = served_left_out::evaluate(&gated, &known.devices);
    all
}

fn case<'a>(row: &'a ServedRow, known: &'a Known) -> Result<Case<'a>, String> {
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
        model: model.name.clone(),
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
    let chain = Arc::new(hash_segments(scope, &text));
    Work::new(RequestId(id), None, &chain, (prompt, answer), TokenSource::new(Arc::new(text)))
}

fn tabulate(cases: &[Case<'_>], measured: &[Measured], all: &mut AllServed) {
    type Lines<'a> = BTreeMap<(&'a str, &'a str, &'a str, &'a str, Precision), [Vec<Named>; 2]>;
    let mut lines: Lines<'_> = BTreeMap::new();
    let mut vllm: [Vec<Named>; 4] = Default::default();
    for (case, got) in cases.iter().zip(measured) {
        let row = case.row;
        let (device, model) = (&case.device.name, &case.model.name);
        let key = (
            row.family.as_str(),
            row.engine.as_str(),
            device.as_str(),
            model.as_str(),
            case.precision,
        );
        let line = lines.entry(key).or_default();
        let is_gated = row.engine == "vllm" && row.family == "InferenceX";
        all.rows.push(Row {
            source: row.family.clone(),
            engine: row.engine.clone(),
            device: device.clone(),
            model: model.clone(),
            precision: case.precision,
            tp: case.profile.step.calibrated().map_or(1, |one| one.deployment().tp),
            concurrency: case.load.concurrency,
            longest_prompt: case.load.longest_prompt,
            longest_answer: case.load.longest_answer,
            ttft_ms: row.ttft_ms,
            tpot_ms: row.tpot_ms,
            simulated_ttft_ms: got.ttft_ms,
            simulated_tpot_ms: got.tpot_ms,
        });
        let of = |got: f64, wanted: Option<f64>| {
            let wanted = wanted.filter(|wanted| *wanted > 0.0)?;
            Some((name(case), got / wanted - 1.0))
        };
        if let Some(error) = of(got.tpot_ms, row.tpot_ms) {
            line[0].push(error.clone());
            if is_gated {
                vllm[if case.load.concurrency > STUDIED { 3 } else { 0 }].push(error);
            }
        }
        if let Some(error) = of(got.ttft_ms, row.ttft_ms) {
            line[1].push(error.clone());
            if is_gated && case.load.concurrency <= STUDIED {
                if case.load.concurrency <= 4 {
                    vllm[2].push(error.clone());
                }
                vllm[1].push(error);
            }
        }
    }
    all.lines = lines
        .into_iter()
        .map(|((source, engine, device, model, precision), [tpot, ttft])| Served {
            source: source.to_owned(),
            engine: engine.to_owned(),
            device: device.to_owned(),
            model: model.to_owned(),
            precision,
            tpot: Errors::of(&tpot),
            ttft: Errors::of(&ttft),
        })
        .collect();
    let [tpot, ttft, ttft_at_4, beyond] = &vllm;
    all.vllm_tpot_all = Errors::of(&[tpot.as_slice(), beyond].concat());
    all.vllm_tpot = Errors::of(tpot);
    all.vllm_ttft = Errors::of(ttft);
    all.vllm_ttft_at_4 = Errors::of(ttft_at_4);
    all.vllm_tpot_beyond_64 = Errors::of(beyond);
}

fn name(case: &Case<'_>) -> String {
    let Load { concurrency, longest_prompt, longest_answer, .. } = case.load;
    let row = case.row;
    let tp = row.tp.unwrap_or(0.0);
    format!("{} tp{tp} {longest_prompt}+{longest_answer} x {concurrency}", row.gpu)
}
