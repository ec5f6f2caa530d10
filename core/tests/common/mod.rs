//! Common parts of the tests: seeds that are printed on failure, texts that branch, and a worker
//! with round numbers.

// Each test file uses only a part of it.
#![allow(dead_code)]

pub mod attempts;
pub mod bench;
pub mod follower;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use warmpath_core::block::{
    BlockHash, BlockRun, Chain, ScopePlan, TokenBlocks, hash_blocks, hash_segments,
};
use warmpath_core::engine::profile::{Fill, LinearStep, Loads, Profile, StepTime, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::event::{PrefillCost, Role, WorkerInfo};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::{TokenSource, Work};
use warmpath_core::rng::Rng;
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};
use warmpath_core::runs::ANCHOR;
use warmpath_core::tokens::{Segment, materialize};

/// Runs `case` for each seed. A failure prints its seed, so that it can be repeated alone.
pub fn for_seeds(seeds: std::ops::Range<u64>, case: impl Fn(&mut Rng)) {
    for seed in seeds {
        let mut rng = Rng::named(seed, &[]);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&mut rng))) {
            eprintln!("failed at seed {seed}");
            resume_unwind(panic);
        }
    }
}

/// All rules, with parameters by which each of them sends a request at once.
pub fn rules_that_send() -> Vec<PolicyConfig> {
    let roomy = WaitForRoom { max_active: 1_000, ..WaitForRoom::DEFAULT };
    let sends = |&policy: &PolicyConfig| match policy {
        PolicyConfig::WaitForRoom => roomy.into(),
        other => other,
    };
    PolicyConfig::ALL.iter().map(sends).collect()
}

/// Uniform in `low..=high`.
pub fn between(rng: &mut Rng, low: u32, high: u32) -> u32 {
    low + rng.below(u64::from(high - low) + 1) as u32
}

pub fn chance(rng: &mut Rng, percent: u64) -> bool {
    rng.below(100) < percent
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Described,
    Written,
}

/// Texts that share a beginning and branch at random places.
#[derive(Debug)]
pub struct Texts {
    pub block_size: u32,
    segments: Vec<Vec<Segment>>,
    pub chains: Vec<Chain>,
}

impl Texts {
    pub fn random(rng: &mut Rng, form: Form, count: usize, longest_blocks: u32) -> Self {
        let block_size = between(rng, 1, 4);
        let mut segments: Vec<Vec<Segment>> = Vec::new();
        for seed in 0..count as u64 {
            let mut text = Vec::new();
            if !segments.is_empty() && chance(rng, 80) {
                let stem = &segments[rng.below(segments.len() as u64) as usize];
                let total = stem.iter().map(Segment::tokens).sum();
                text = cut(stem, between(rng, 0, total));
            }
            let have: u32 = text.iter().map(Segment::tokens).sum();
            let room = (longest_blocks * block_size).saturating_sub(have).max(1);
            text.push(Segment::Text { seed: 1_000 + seed, tokens: between(rng, 1, room) });
            segments.push(text);
        }
        let scope = ScopePlan::new("tests", "model", "", block_size);
        let chains = segments.iter().map(|text| match form {
            Form::Described => hash_segments(&scope, text),
            Form::Written => {
                let total = text.iter().map(Segment::tokens).sum();
                hash_blocks(&scope, &materialize(text, total))
            }
        });
        let chains = chains.collect();
        Self { block_size, segments, chains }
    }

    pub fn pick(&self, rng: &mut Rng) -> &Chain {
        &self.chains[rng.below(self.chains.len() as u64) as usize]
    }

    /// A random chain with at least one full block.
    pub fn pick_full(&self, rng: &mut Rng) -> Option<&Chain> {
        (0..20).map(|_| self.pick(rng)).find(|chain| chain.blocks() > 0)
    }

    /// The first tokens of a random text, at least one.
    pub fn prompt(&self, rng: &mut Rng) -> TokenBlocks {
        let chain = self.pick(rng);
        TokenBlocks::new(chain.clone(), between(rng, 1, chain.tokens()))
    }
}

fn cut(text: &[Segment], tokens: u32) -> Vec<Segment> {
    let mut left = tokens;
    let mut head = Vec::new();
    for segment in text {
        let Segment::Text { seed, tokens } = *segment else { unreachable!("only texts here") };
        let tokens = tokens.min(left);
        left -= tokens;
        if tokens > 0 {
            head.push(Segment::Text { seed, tokens });
        }
    }
    head
}

pub fn run(chain: &Chain, start: u32, end: u32) -> BlockRun {
    BlockRun { chain: chain.clone(), start, end }
}

/// The same run as it arrives from the wire, with names only from the last anchor before it.
pub fn off_the_wire(run: &BlockRun) -> BlockRun {
    let before = run.start.max(1) - 1;
    let base = before - before % ANCHOR;
    let names: Vec<BlockHash> = (base..run.end).map(|block| run.chain.hash(block)).collect();
    let chain = Chain::from_wire(run.chain.block_size(), base, names);
    BlockRun { chain, start: run.start, end: run.end }
}

/// A profile with round numbers: a step takes 1 ms, and 10 µs more for each token above 100.
/// Context, pairs and sequences cost nothing unless a test sets them.
pub fn round_profile(block_size: u32) -> Profile {
    Profile {
        name: "round".into(),
        validated: false,
        block_size,
        hbm_tokens: None,
        kv_bytes_per_token: 1_000,
        max_num_seqs: 64,
        max_num_batched_tokens: 1_000,
        step: StepTime::Linear(LinearStep {
            base_ns: 0.0,
            weights_ns: 1_000_000.0,
            ns_per_token: 10_000.0,
            ns_per_pair: 0.0,
            ns_per_context_token: 0.0,
            ns_per_seq: 0.0,
        }),
        eviction: EvictionRule::Lru,
        tiers: Vec::new(),
        pool: None,
        peers: None,
    }
}

/// The step time of a made-up profile.
pub fn linear(profile: &mut Profile) -> &mut LinearStep {
    match &mut profile.step {
        StepTime::Linear(linear) => linear,
        StepTime::Calibrated(_) => panic!("a made-up step time is expected"),
    }
}

/// A tier that takes the blocks HBM evicts. With 1,000 bytes a token and `gb_s` of bandwidth, a
/// token takes `1000 / gb_s` ns to load. Writing takes almost no time.
pub fn spill(name: &str, tokens: u64, gb_s: f64, latency_us: f64, loads: Loads) -> TierSpec {
    TierSpec {
        pieces: None,
        name: name.into(),
        tokens,
        load_gb_s: gb_s,
        store_gb_s: 1e12,
        latency_us,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads,
    }
}

/// A request for `prompt` tokens of a text and `output` answer tokens.
pub fn work(id: u64, scope: &ScopePlan, text: &[Segment], output: u32) -> Work {
    let prompt: u32 = text.iter().map(Segment::tokens).sum();
    let mut whole = text.to_vec();
    whole.push(Segment::Answer { tokens: output });
    let chain = hash_segments(scope, &whole);
    Work::new(RequestId(id), None, &chain, (prompt, output), TokenSource::new(whole.into()))
}

/// The tiers behind HBM: blocks, and when they are written.
pub type Behind = Vec<(u64, Fill)>;

/// A token takes 1 µs to load after 50 µs of latency, and 10 µs to compute. Each further tier is
/// slower: twice, three times.
pub fn tiered(block_size: u32, hbm_blocks: u64, behind: &Behind, loads: Loads) -> Profile {
    let size = u64::from(block_size);
    let mut profile = round_profile(block_size);
    profile.hbm_tokens = Some(hbm_blocks * size);
    for (i, &(blocks, fill)) in behind.iter().enumerate() {
        let name = ["host", "disk", "far"][i];
        let mut tier = spill(name, blocks * size, 1.0 / (i + 1) as f64, 50.0, loads);
        tier.fill = fill;
        profile.tiers.push(tier);
    }
    profile.check().expect("a valid profile");
    profile
}

/// A worker as a router knows it: blocks of 10 tokens, 10 µs to compute a token, no tier behind
/// HBM.
pub fn joined(worker: u32) -> WorkerInfo {
    WorkerInfo {
        worker: WorkerId(worker),
        epoch: 1,
        block_size: 10,
        total_blocks: None,
        constant_blocks: 0,
        max_num_seqs: 64,
        prefill: PrefillCost {
            step_ns: 0.0,
            floor_ns: 0.0,
            chunk_tokens: 1_000,
            ns_per_token: 10_000.0,
            ns_per_pair: 0.0,
        },
        tiers: Vec::new(),
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}
