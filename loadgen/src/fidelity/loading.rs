//! A prefix that lies in host memory: the time to the first token when it is loaded, and when it is
//! computed again.

use crate::fidelity::reference::OffloadRow;
use serde::Serialize;
use std::sync::Arc;
use warmpath_core::block::{ScopePlan, hash_segments};
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::{TokenSource, Work};
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

/// Room in HBM beside the prefix.
const SPARE_TOKENS: u32 = 2048;

/// One measured row.
#[derive(Debug, Serialize)]
pub struct Loading {
    pub prefix_tokens: u32,
    pub new_tokens: u32,
    pub from_host_ms: f64,
    pub simulated_from_host_ms: f64,
    pub recompute_ms: f64,
    pub simulated_recompute_ms: f64,
}

/// `profile` has a tier in host memory.
pub fn evaluate(profile: &Profile, rows: &[OffloadRow]) -> Vec<Loading> {
    let mut known: Vec<(u32, u32, f64, f64)> = Vec::new();
    let mut lines = Vec::new();
    for row in rows {
        let (prefix, new) = (row.prefix_tokens, row.new_tokens);
        let seen = known.iter().find(|one| (one.0, one.1) == (prefix, new)).copied();
        let (_, _, loaded, computed) = seen.unwrap_or_else(|| {
            let loaded = first_token_ms(profile, prefix, new, true);
            let computed = first_token_ms(profile, prefix, new, false);
            known.push((prefix, new, loaded, computed));
            (prefix, new, loaded, computed)
        });
        lines.push(Loading {
            prefix_tokens: prefix,
            new_tokens: new,
            from_host_ms: row.from_host_ms,
            simulated_from_host_ms: loaded,
            recompute_ms: row.recompute_ms,
            simulated_recompute_ms: computed,
        });
    }
    lines
}

/// The time to the first token of `new` tokens behind a prefix that another prompt drove out of HBM, or that
/// is new.
fn first_token_ms(profile: &Profile, prefix: u32, new: u32, seen: bool) -> f64 {
    let mut profile = profile.clone();
    profile.hbm_tokens = Some(u64::from(prefix + SPARE_TOKENS));
    if !seen {
        profile.tiers.clear();
    }
    let scope = ScopePlan::new("", "fidelity", "", profile.block_size);
    let mut engine = Engine::new(WorkerId(0), 1, profile);
    let mut now = Instant::START;
    let mut out = Vec::new();
    let prefix = Segment::Text { seed: 1, tokens: prefix };
    // It takes all room there is.
    let other = Segment::Text { seed: 2, tokens: prefix.tokens() + SPARE_TOKENS - 64 };
    let end = Segment::Text { seed: 3, tokens: new };
    let before: &[&[Segment]] = if seen { &[&[prefix], &[other]] } else { &[] };
    let mut first = 0.0;
    for (id, prompt) in before.iter().copied().chain([&[prefix, end][..]]).enumerate() {
        let tokens = prompt.iter().map(Segment::tokens).sum();
        let mut text = prompt.to_vec();
        text.push(Segment::Answer { tokens: 2 });
        let chain = hash_segments(&scope, &text);
        let source = TokenSource::new(Arc::from(text));
        let work = Work::new(RequestId(id as u64), None, &chain, (tokens, 2), source);
        engine.submit(now, work).expect("there is room for one prompt");
        let sent = now;
        while let Some(wake) = engine.next_wake() {
            engine.step(wake, &mut out);
            now = wake;
        }
        for output in out.drain(..) {
            if let Output::FirstToken { at, .. } = output {
                first = at.since(sent).as_secs_f64() * 1e3;
            }
        }
    }
    first
}
