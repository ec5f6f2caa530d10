//! A router with a few workers, to which a test says what happens.

use warmpath_core::block::{BlockRun, ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::{
    KvBatch, KvEvent, LoadReport, PrefillCost, Role, Snapshot, TierCost, WorkerInfo,
};
use warmpath_core::id::{MAX_TIERS, RequestId, SessionId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::routing::input::{Action, Decision, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::time::{Duration, Instant};

/// Tokens a block.
pub const BLOCK: u32 = 10;

/// Workers with blocks of 10 tokens and 10 µs a token to compute, HBM for 100 blocks and one tier
/// behind it.
pub struct Bench {
    router: Router,
    index: PrefixIndex,
    now: Instant,
    /// The number of the last request.
    pub sent: u64,
    seq: Vec<u64>,
}

/// A worker as it joins.
pub fn info(worker: u32) -> WorkerInfo {
    WorkerInfo {
        worker: WorkerId(worker),
        epoch: 1,
        block_size: BLOCK,
        total_blocks: Some(100),
        constant_blocks: 0,
        max_num_seqs: 64,
        prefill: PrefillCost {
            step_ns: 0.0,
            floor_ns: 0.0,
            chunk_tokens: 1_000,
            ns_per_token: 10_000.0,
            ns_per_pair: 0.0,
        },
        tiers: vec![TierCost { tier: TierId::HOST, latency_ns: 0.0, load_ns_per_block: 10_000.0 }],
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}

/// A prompt of which each letter is a block: prompts that begin with the same letters share blocks.
/// Digits at the end are tokens of a last block that is not full: "ab3" has 23 tokens.
pub fn prompt(letters: &str) -> TokenBlocks {
    let mut tokens = Vec::new();
    for (i, letter) in letters.chars().enumerate() {
        match letter.to_digit(10) {
            Some(rest) => tokens.extend((0..rest).map(|k| 1_000 + k)),
            None => tokens.extend([letter as u32 * 100 + i as u32; BLOCK as usize]),
        }
    }
    TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", BLOCK), &tokens))
}

impl Bench {
    /// With `workers` workers.
    pub fn new(policy: PolicyConfig, workers: u32) -> Self {
        Self::of(policy, (0..workers).map(info))
    }

    /// With these workers, numbered from 0.
    pub fn of(policy: PolicyConfig, workers: impl IntoIterator<Item = WorkerInfo>) -> Self {
        let router = Router::new(policy);
        let (index, now) = (PrefixIndex::default(), Instant::START);
        let mut bench = Self { router, index, now, sent: 0, seq: Vec::new() };
        for info in workers {
            let (source, epoch) = (info.worker.into(), info.epoch);
            bench.index.replace(&Snapshot { source, epoch, seq: 0, runs: Vec::new() }).unwrap();
            bench.seq.push(0);
            bench.tell(&Input::Joined(info));
        }
        bench
    }

    /// Says what happened; the answer is what the router does.
    pub fn tell(&mut self, input: &Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let index = &self.index;
        let lookup = |prompt: &TokenBlocks, out: &mut _| index.overlap(prompt, out);
        self.router.apply(self.now, input, &lookup, &mut actions);
        actions
    }

    /// Lets time pass, in seconds from the start.
    pub fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = Instant::START + Duration::from_secs_f64(seconds);
        self
    }

    /// A worker stores the first blocks of a text in a tier: as many as there are letters in `letters`,
    /// without the first `from`.
    pub fn stores(&mut self, worker: u32, tier: TierId, letters: &str, from: u32) {
        let text = prompt(letters);
        let run = BlockRun { chain: text.chain().clone(), start: from, end: text.blocks() };
        let seq = &mut self.seq[worker as usize];
        *seq += 1;
        let events = vec![KvEvent::Stored { tier, run }];
        let batch = KvBatch { source: WorkerId(worker).into(), epoch: 1, seq: *seq, events };
        self.index.apply(&batch).unwrap();
    }

    /// Sends a request without a session. The answer is the decision.
    pub fn decide(&mut self, letters: &str) -> Decision {
        self.decide_for(None, letters)
    }

    /// Sends a request of a session. The answer is the decision.
    pub fn decide_for(&mut self, session: Option<u64>, letters: &str) -> Decision {
        self.sent += 1;
        let request = Request {
            id: RequestId(self.sent),
            session: session.map(SessionId),
            tenant: TenantId(0),
            prompt: prompt(letters),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        };
        match self.tell(&Input::Arrived(request)).as_slice() {
            [Action::Dispatch { decision, .. }] => decision.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request without a session. The answer is its worker.
    pub fn send(&mut self, letters: &str) -> u32 {
        self.decide(letters).worker.0
    }

    /// The prompt of a request is computed.
    pub fn first_token(&mut self, id: u64) {
        self.tell(&Input::FirstToken(RequestId(id)));
    }

    /// The answer of a request is complete.
    pub fn finish(&mut self, id: u64) {
        let id = RequestId(id);
        self.tell(&Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None });
    }

    /// A worker reports its load.
    pub fn report(&mut self, worker: u32, waiting: u32, running: u32, blocks_in_use: u64) {
        self.tell(&Input::Load(LoadReport {
            worker: WorkerId(worker),
            epoch: 1,
            seq: 0,
            waiting,
            running,
            queued_prefill_tokens: 0,
            blocks_by_tier: [0; MAX_TIERS],
            blocks_in_use,
            digest: None,
        }));
    }
}
