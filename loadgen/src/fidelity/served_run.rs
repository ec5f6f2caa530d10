//! A run that a real engine served, step by step: its steps as the model prices them, and the same requests
//! through the engine here.

use crate::fidelity::composition::{rebuild, times};
use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::reference::{ServedRequest, ServedStep};
use serde::Serialize;
use std::sync::Arc;
use warmpath_core::block::{ScopePlan, hash_segments};
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::{TokenSource, Work};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::trace::TimedRequest;

/// Steps of a kind, with the sequences that they really had.
#[derive(Debug, Serialize)]
pub struct Kind {
    pub steps: String,
    pub errors: Errors,
    pub measured_s: f64,
    pub model_s: f64,
}

/// A figure of the run, measured and simulated.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub measured: f64,
    pub simulated: f64,
    /// In percent; of hit rates the difference in points.
    pub error: f64,
    /// The most it may be off.
    pub at_most: f64,
}

#[derive(Debug, Serialize)]
pub struct ServedRun {
    pub profile: String,
    /// Steps that were not looked at: one was cold, one waited for a host that stood still.
    pub left_out: Vec<usize>,
    pub kinds: Vec<Kind>,
    pub figures: Vec<Figure>,
}

/// Steps that took longer than a cold start or a stalled host explains are given by the caller.
pub fn evaluate(
    profile: &Profile,
    steps: &[ServedStep],
    requests: &[ServedRequest],
    trace: &[TimedRequest],
    left_out: &[usize],
) -> Result<ServedRun, String> {
    let calibrated =
        profile.step.calibrated().ok_or("a made-up profile has no times to compare")?;
    let parts = rebuild(steps, requests, profile.max_num_batched_tokens)
        .map_err(|error| error.to_string())?;
    let model = times(calibrated, steps, &parts);
    let kind = |name: &str, is_one: &dyn Fn(usize) -> bool| {
        let wanted: Vec<usize> =
            (0..steps.len()).filter(|i| !left_out.contains(i) && is_one(*i)).collect();
        let errors: Vec<Named> = wanted
            .iter()
            .map(|&i| (format!("step {i}"), model[i] / steps[i].gpu_ms - 1.0))
            .collect();
        Some(Kind {
            steps: name.to_owned(),
            errors: Errors::of(&errors)?,
            measured_s: wanted.iter().map(|&i| steps[i].gpu_ms).sum::<f64>() / 1e3,
            model_s: wanted.iter().map(|&i| model[i]).sum::<f64>() / 1e3,
        })
    };
    let has_prompt = |i: usize| parts[i].iter().any(|part| part.is_prompt);
    let tokens = |i: usize| steps[i].scheduled_tokens;
    let kinds = [
        kind("all", &|_| true),
        kind("decoding alone", &|i| !has_prompt(i)),
        kind("with a prompt", &has_prompt),
        kind("of these, to 512 tokens", &|i| has_prompt(i) && tokens(i) <= 512),
        kind("513 to 2,047", &|i| has_prompt(i) && (513..2048).contains(&tokens(i))),
        kind("2,048 and more", &|i| has_prompt(i) && tokens(i) >= 2048),
    ];
    Ok(ServedRun {
        profile: profile.name.clone(),
        left_out: left_out.to_vec(),
        kinds: kinds.into_iter().flatten().collect(),
        figures: figures(profile, steps, requests, trace),
    })
}

/// What one run gave.
struct Run {
    /// In seconds, by request.
    ttft: Vec<f64>,
    /// In milliseconds, of requests with more than one token.
    tpot: Vec<f64>,
    hit_percent: f64,
    steps: f64,
}

fn figures(
    profile: &Profile,
    steps: &[ServedStep],
    requests: &[ServedRequest],
    trace: &[TimedRequest],
) -> Vec<Figure> {
    let spaced = |request: &&ServedRequest| request.output_tokens > 1;
    let cached: f64 = requests.iter().map(|one| f64::from(one.cached_tokens)).sum();
    let prompts: f64 = requests.iter().map(|one| f64::from(one.prompt_tokens)).sum();
    let measured = Run {
        ttft: requests.iter().map(|one| one.first_token_s - one.due_s).collect(),
        tpot: requests
            .iter()
            .filter(spaced)
            .map(|one| (one.end_s - one.first_token_s) * 1e3 / f64::from(one.output_tokens - 1))
            .collect(),
        hit_percent: 100.0 * cached / prompts,
        steps: steps.len() as f64,
    };
    let simulated = play(profile, trace);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let at = |values: &[f64], q: f64| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The nearest rank, as the measurements' README has it.
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    type Of<'a> = &'a dyn Fn(&Run) -> f64;
    let rows: [(&str, &str, Of<'_>, f64); 9] = [
        ("TTFT mean", "s", &|run| mean(&run.ttft), 4.0),
        ("TTFT p50", "s", &|run| at(&run.ttft, 0.5), 6.0),
        ("TTFT p90", "s", &|run| at(&run.ttft, 0.9), 6.0),
        ("TTFT p99", "s", &|run| at(&run.ttft, 0.99), 10.0),
        ("TPOT mean", "ms", &|run| mean(&run.tpot), 5.0),
        ("TPOT p50", "ms", &|run| at(&run.tpot, 0.5), 8.0),
        ("TPOT p90", "ms", &|run| at(&run.tpot, 0.9), 8.0),
        ("steps", "", &|run| run.steps, 4.0),
        ("hit", "%", &|run| run.hit_percent, 0.5),
    ];
    rows.into_iter()
        .map(|(name, unit, of, at_most)| {
            let (measured, simulated) = (of(&measured), of(&simulated));
            let points = name == "hit";
            let error =
                if points { simulated - measured } else { (simulated / measured - 1.0) * 100.0 };
            Figure { name, unit, measured, simulated, error, at_most }
        })
        .collect()
}

/// The requests of a trace through one engine, each at its time.
fn play(profile: &Profile, trace: &[TimedRequest]) -> Run {
    let scope = ScopePlan::new("", "fidelity", "", profile.block_size);
    let mut engine = Engine::new(WorkerId(0), 1, profile.clone());
    let mut out = Vec::new();
    let at = |request: &TimedRequest| Instant::START + Duration::from_millis(request.at_ms);
    for (id, request) in trace.iter().enumerate() {
        run_until(&mut engine, at(request), &mut out);
        let mut text = request.prompt.clone();
        text.push(Segment::Answer { tokens: request.output_tokens });
        let chain = hash_segments(&scope, &text);
        let prompt = request.prompt.iter().map(Segment::tokens).sum();
        let lengths = (prompt, request.output_tokens);
        let source = TokenSource::new(Arc::from(text));
        let work = Work::new(RequestId(id as u64), None, &chain, lengths, source);
        engine.submit(at(request), work).expect("the requests fitted when they were measured");
    }
    run_until(&mut engine, Instant::from_nanos(u64::MAX), &mut out);
    let mut run = Run { ttft: Vec::new(), tpot: Vec::new(), hit_percent: 0.0, steps: 0.0 };
    let mut firsts = vec![Instant::START; trace.len()];
    let (mut cached, mut prompts) = (0.0, 0.0);
    for output in out {
        match output {
            Output::FirstToken { id, at: first } => {
                firsts[id.0 as usize] = first;
                run.ttft.push(first.since(at(&trace[id.0 as usize])).as_secs_f64());
            }
            Output::Finished { id, at: end, cached_tokens, .. } => {
                let request = &trace[id.0 as usize];
                cached += f64::from(cached_tokens);
                prompts += f64::from(request.prompt.iter().map(Segment::tokens).sum::<u32>());
                if request.output_tokens > 1 {
                    let took = end.since(firsts[id.0 as usize]).as_secs_f64();
                    run.tpot.push(took * 1e3 / f64::from(request.output_tokens - 1));
                }
            }
            _ => {}
        }
    }
    run.hit_percent = 100.0 * cached / f64::max(prompts, 1.0);
    run.steps = engine.stats().steps as f64;
    run
}

fn run_until(engine: &mut Engine, until: Instant, out: &mut Vec<Output>) {
    while let Some(wake) = engine.next_wake().filter(|wake| *wake <= until) {
        engine.step(wake, out);
    }
}
