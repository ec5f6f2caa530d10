//! Served systems at a given concurrency: the engine in a closed loop, so that queueing, chunks and
//! mixed steps come from the scheduler.

use crate::fidelity::errors::{Errors, Named};
use crate::fidelity::reference::{Known, Reference};
use crate::fidelity::served_case::{
    Case, Measured, REQUESTS_EACH, SHORTEST, STUDIED, case, name, play,
};
use crate::fidelity::served_left_out::{self, ServedLeftOut};
use crate::play::Progress;
use crate::play::parallel;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use warmpath_core::engine::physics::Precision;

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
