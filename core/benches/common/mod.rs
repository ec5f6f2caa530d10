//! What the benches of this folder and `tests/allocations.rs` measure: prompts as a fleet sees them,
//! and an index, a router and an engine that have run for a while. Everything follows from seeds.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use warmpath_core::block::{BlockRun, Chain, ScopePlan, TokenBlocks, hash_blocks, hash_segments};
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, Output};
use warmpath_core::event::{KvBatch, KvEvent, Snapshot, WorkerInfo};
use warmpath_core::id::{RequestId, SessionId, SourceId, TenantId, TierId, WorkerId};
use warmpath_core::request::{Request, TokenSource, Work};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::{Reliability, Router};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::{Segment, materialize};

pub const BLOCK: u32 = 16;

/// One of 8 system prompts, one of 24 documents, and 500 to 4,000 tokens of the request's own: 7,000
/// to 20,000 in all.
pub fn text(number: u64) -> Vec<Segment> {
    let mut rng = Rng::named(number, &[1]);
    let document = rng.below(24);
    vec![
        Segment::Text { seed: document % 8, tokens: 2_000 },
        Segment::Text { seed: 100 + document, tokens: 4_500 + 400 * document as u32 },
        Segment::Text { seed: 1_000 + number, tokens: 500 + rng.below(3_500) as u32 },
    ]
}

fn scope() -> ScopePlan {
    ScopePlan::new("benches", "model", "", BLOCK)
}

/// A prompt as a router has it: named from its tokens.
pub fn prompt(number: u64) -> TokenBlocks {
    let tokens = text(number).iter().map(Segment::tokens).sum();
    TokenBlocks::whole(hash_blocks(&scope(), &materialize(&text(number), tokens)))
}

/// 16,384 tokens to be named.
pub struct Hashing {
    scope: ScopePlan,
    pub tokens: Vec<u32>,
}

impl Hashing {
    pub fn new() -> Self {
        let text = [Segment::Text { seed: 1, tokens: 16_384 }];
        Self { scope: scope(), tokens: materialize(&text, 16_384) }
    }

    pub fn run(&self) -> Chain {
        hash_blocks(&self.scope, &self.tokens)
    }

    /// A prompt of 200 tokens, from its scope on.
    pub fn run_short(&self) -> Chain {
        hash_blocks(&scope(), &self.tokens[..200])
    }
}

/// An index over `workers`, each of which holds `each` of the prompts, and changes as they evict.
pub struct Indexed {
    pub index: PrefixIndex,
    pub prompts: Vec<TokenBlocks>,
    workers: u32,
    seqs: Vec<u64>,
    /// Whole prompts that workers hold, oldest first: (worker, prompt).
    held: VecDeque<(u32, usize)>,
    rng: Rng,
}

impl Indexed {
    pub fn new(workers: u32, prompts: u64, each: usize) -> Self {
        let mut indexed = Self {
            index: PrefixIndex::default(),
            prompts: (0..prompts).map(prompt).collect(),
            workers,
            seqs: vec![0; workers as usize],
            held: VecDeque::new(),
            rng: Rng::named(7, &[2]),
        };
        for worker in 0..workers {
            let source = SourceId::Worker(WorkerId(worker));
            let empty = Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() };
            indexed.index.replace(&empty).expect("an empty snapshot");
        }
        for _ in 0..each {
            for worker in 0..workers {
                let stored = indexed.draw(worker);
                indexed.apply(worker, stored);
            }
        }
        indexed
    }

    /// A prompt that a worker has just computed, all of it off the wire in one run.
    fn draw(&mut self, worker: u32) -> KvEvent {
        let drawn = self.rng.below(self.prompts.len() as u64) as usize;
        self.held.push_back((worker, drawn));
        let chain = self.prompts[drawn].chain().clone();
        let end = chain.blocks();
        KvEvent::Stored { tier: TierId::HBM, run: BlockRun { chain, start: 0, end } }
    }

    fn apply(&mut self, worker: u32, event: KvEvent) {
        let seq = &mut self.seqs[worker as usize];
        *seq += 1;
        let source = SourceId::Worker(WorkerId(worker));
        let batch = KvBatch { source, epoch: 1, seq: *seq, events: vec![event] };
        self.index.apply(&batch).expect("batches in order");
    }

    /// What a worker holds of one prompt goes, from the end of the prompt's document on; then
    /// another worker stores one.
    pub fn update(&mut self) {
        let (worker, drawn) = self.held.pop_front().expect("a worker holds something");
        let chain = self.prompts[drawn].chain().clone();
        let shared: u32 = text(drawn as u64)[..2].iter().map(Segment::tokens).sum();
        let (start, end) = (shared.div_ceil(BLOCK), chain.blocks());
        let run = BlockRun { chain, start, end };
        self.apply(worker, KvEvent::Removed { tier: TierId::HBM, run });
        let worker = self.rng.below(u64::from(self.workers)) as u32;
        let stored = self.draw(worker);
        self.apply(worker, stored);
    }
}

/// A router at work: one request comes each 10 ms, computes for 80 ms and answers for 160 more.
pub struct Deciding {
    pub router: Router,
    indexed: Indexed,
    number: u64,
    actions: Vec<Action>,
}

impl Deciding {
    pub fn new(workers: u32, policy: PolicyConfig) -> Self {
        Self::with(workers, policy, Reliability::default())
    }

    pub fn with(workers: u32, policy: PolicyConfig, what: Reliability) -> Self {
        let mut router = Router::new(policy).with_reliability(what);
        let mut actions = Vec::new();
        for worker in 0..workers {
            let joined = Input::Joined(worker_info(worker));
            router.apply(Instant::START, &joined, &|_, out| out.clear(), &mut actions);
        }
        Self { router, indexed: Indexed::new(workers, 256, 32), number: 0, actions }
    }

    /// The next request, not counted to what is measured.
    pub fn request(&mut self) -> Request {
        self.number += 1;
        Request {
            id: RequestId(self.number),
            session: Some(SessionId(self.number % 97)),
            tenant: TenantId(0),
            prompt: self.indexed.prompts[(self.number * 37 % 256) as usize].clone(),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        }
    }

    /// It arrives and is sent to a worker.
    pub fn decide(&mut self, request: Request) {
        self.apply(&Input::Arrived(request));
    }

    /// What the router wanted done at the last input.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// A request ends.
    pub fn finish(&mut self, id: RequestId) {
        self.apply(&Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None });
    }

    /// What else happens before the next one arrives.
    pub fn settle(&mut self) {
        if let Some(id) = self.number.checked_sub(8) {
            self.apply(&Input::FirstToken(RequestId(id)));
        }
        if let Some(id) = self.number.checked_sub(24) {
            self.finish(RequestId(id));
        }
    }

    fn apply(&mut self, input: &Input) {
        let now = Instant::from_nanos(self.number * 10_000_000);
        self.actions.clear();
        let Self { router, indexed, actions, .. } = self;
        let lookup = |prompt: &TokenBlocks, out: &mut Overlap| indexed.index.overlap(prompt, out);
        router.apply(now, input, &lookup, actions);
    }
}

fn profile() -> Profile {
    toml::from_str(include_str!("../../../deploy/profiles/lab-tp2.toml")).expect("a profile")
}

fn worker_info(worker: u32) -> WorkerInfo {
    Engine::new(WorkerId(worker), 1, Profile { block_size: BLOCK, ..profile() }).info()
}

/// 48 requests for one worker with room for a few of them, from submission to idle.
pub struct Stepping {
    works: Vec<(Instant, Work)>,
}

impl Stepping {
    pub fn new() -> Self {
        let work = |number: u64| {
            let mut segments = text(number);
            let tokens = segments.iter().map(Segment::tokens).sum();
            let output_tokens = 100 + (number * 53 % 300) as u32;
            segments.push(Segment::Answer { tokens: output_tokens });
            let chain = hash_segments(&scope(), &segments);
            let text = TokenSource::new(segments.into());
            let work = Work::new(RequestId(number), None, &chain, (tokens, output_tokens), text);
            (Instant::from_nanos(number * 150_000_000), work)
        };
        Self { works: (0..48).map(work).collect() }
    }

    /// How many outputs there were.
    pub fn run(&self) -> usize {
        let profile = Profile { block_size: BLOCK, hbm_tokens: Some(120_000), ..profile() };
        let mut engine = Engine::new(WorkerId(0), 1, profile);
        let mut outputs = Vec::new();
        for (at, work) in &self.works {
            drive(&mut engine, *at, &mut outputs);
            engine.submit(*at, work.clone()).expect("it fits");
        }
        drive(&mut engine, Instant::START + Duration::from_millis(86_400_000), &mut outputs);
        assert!(engine.is_idle(), "a day was not enough");
        outputs.len()
    }
}

fn drive(engine: &mut Engine, until: Instant, outputs: &mut Vec<Output>) {
    while let Some(wake) = engine.next_wake().filter(|&wake| wake <= until) {
        engine.step(wake, outputs);
        engine.announce(wake, outputs);
    }
    engine.step(until, outputs);
}
