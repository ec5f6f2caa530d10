//! `loadgen measure`: times the steps of an engine that runs, as a client sees them, and writes the rows that
//! `loadgen fit` and `loadgen fidelity` read.

mod engine;
mod grid;
mod rows;

pub use grid::Grid;
pub use rows::{Names, Row};

use anyhow::{Result, bail};
use engine::Engine;
use grid::DECODED;

/// By how many tokens the cached part may differ from the prefix: engines cache whole blocks.
const BLOCK: u32 = 512;

/// What is measured, and how often.
#[derive(Debug)]
pub struct Asked<'a> {
    pub worker: &'a str,
    pub names: Names,
    pub grid: Grid,
    /// How often each prompt is timed.
    pub repeats: u32,
    /// Two runs with the same seed send the same prompts, so the second finds them cached.
    pub seed: u64,
}

/// Times every point of the grid. `told` gets each row as soon as it is there.
pub async fn measure(asked: &Asked<'_>, mut told: impl FnMut(&Row)) -> Result<Vec<Row>> {
    let mut engine = Engine::connect(asked.worker, asked.seed)?;
    // The first request of an engine pays for what is loaded late.
    engine.time_prompt(0, 64).await?;
    let mut rows = Vec::new();
    let mut keep = |row: Row| {
        told(&row);
        rows.push(row);
    };
    for (prefix, new) in asked.grid.prompts() {
        keep(prefill(&mut engine, asked, prefix, new).await?);
    }
    for (batch, context) in asked.grid.batches() {
        let decoded = engine.time_batch(batch, context, DECODED).await?;
        keep(asked.names.decode(batch, decoded.context, &decoded.step_ms, DECODED));
    }
    Ok(rows)
}

/// Times new prompts behind one prefix. The prefix is computed first, so that it is cached.
async fn prefill(engine: &mut Engine, asked: &Asked<'_>, prefix: u32, new: u32) -> Result<Row> {
    let mut times = Vec::new();
    let mut cached = None;
    if prefix > 0 {
        engine.fill(prefix).await?;
    }
    for _ in 0..asked.repeats {
        let timed = engine.time_prompt(prefix, new).await?;
        let found = *cached.get_or_insert(timed.cached);
        if timed.cached.abs_diff(prefix) > BLOCK || found != timed.cached {
            bail!(
                "{new} tokens behind a prefix of {prefix}: the engine found {} tokens cached. Is prefix \
                 caching on, does it report cached tokens, is there room for the prefix, and is the engine idle?",
                timed.cached
            );
        }
        times.push(timed.first_token_ms);
    }
    let cached = cached.unwrap_or(0);
    Ok(asked.names.prefill(prefix + new - cached, cached, &times))
}
