//! Our side: a router and its index.

use crate::BLOCK;
use crate::fleet::{Prompt, Side};
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{KvBatch, KvEvent, PrefillCost, Role, Snapshot, WorkerInfo};
use warmpath_core::id::{RequestId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::hash_words;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::runs::anchor_above;
use warmpath_core::time::Instant;

/// A router with its index.
pub struct Ours {
    router: Router,
    index: PrefixIndex,
    /// The number of each worker's last batch.
    batches: Vec<u64>,
    next: Option<Input>,
    actions: Vec<Action>,
    now: Instant,
}

impl Ours {
    pub fn new(workers: u32, rule: PolicyConfig) -> Self {
        let mut ours = Self {
            router: Router::new(rule),
            index: PrefixIndex::with_digests(),
            batches: vec![0; workers as usize],
            next: None,
            actions: Vec::new(),
            now: Instant::START,
        };
        for worker in (0..workers).map(WorkerId) {
            let empty = Snapshot { source: worker.into(), epoch: 1, seq: 0, runs: Vec::new() };
            ours.index.replace(&empty).expect("an empty snapshot");
            ours.tell(&Input::Joined(info(worker)));
        }
        ours
    }

    fn tell(&mut self, input: &Input) {
        let Self { router, index, actions, now, .. } = self;
        actions.clear();
        let lookup = |prompt: &TokenBlocks, out: &mut Overlap| index.overlap(prompt, out);
        router.apply(*now, input, &lookup, actions);
    }
}

impl Side for Ours {
    fn name(&self) -> String {
        "warmpath".to_owned()
    }

    fn prepare(&mut self, prompt: &Prompt) {
        // A request each 400 ms and worker.
        let gap = 400_000_000 / self.batches.len() as u64;
        self.now = Instant::from_nanos(self.now.as_nanos() + gap);
        self.next = Some(Input::Arrived(Request {
            id: RequestId(prompt.number),
            session: None,
            tenant: TenantId(0),
            prompt: blocks(prompt),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        }));
    }

    fn decide(&mut self) -> u32 {
        let arrived = self.next.take().expect("a request was prepared");
        self.tell(&arrived);
        match self.actions.last() {
            Some(Action::Dispatch { decision, .. }) => decision.worker.0,
            other => panic!("the rule neither holds nor rejects: {other:?}"),
        }
    }

    fn first_token(&mut self, number: u64) {
        self.tell(&Input::FirstToken(RequestId(number)));
    }

    fn finished(&mut self, number: u64) {
        let (id, cached_tokens) = (RequestId(number), 0);
        self.tell(&Input::Finished { id, cached_tokens, by_origin: None, output_tokens: None });
    }

    fn stored(&mut self, worker: u32, prompt: &Prompt, from: usize) {
        // As off the wire: names from the last registered block on.
        let base = anchor_above(from as u32);
        let names = prompt.names[base as usize..].iter().map(|&name| long(name)).collect();
        let chain = Chain::from_wire(BLOCK, base, names);
        let run = BlockRun { chain, start: from as u32, end: prompt.names.len() as u32 };
        let seq = &mut self.batches[worker as usize];
        *seq += 1;
        let events = vec![KvEvent::Stored { tier: TierId::HBM, run }];
        let batch = KvBatch { source: WorkerId(worker).into(), epoch: 1, seq: *seq, events };
        self.index.apply(&batch).expect("batches come in order");
    }

    fn held(&mut self, prompt: &Prompt) -> Vec<u32> {
        let mut overlap = Overlap::default();
        self.index.overlap(&blocks(prompt), &mut overlap);
        let workers = (0..self.batches.len() as u32).map(WorkerId);
        workers.map(|worker| overlap.stored(worker).iter().sum()).collect()
    }
}

/// The full blocks of a prompt and a last one, which is the request's own.
fn blocks(prompt: &Prompt) -> TokenBlocks {
    let mut names: Vec<BlockHash> = prompt.names.iter().map(|&name| long(name)).collect();
    names.push(long(hash_words(&[prompt.number])));
    TokenBlocks::whole(Chain::from_wire(BLOCK, 0, names))
}

/// A name of 128 bits.
fn long(name: u64) -> BlockHash {
    BlockHash::from_wire(u128::from(hash_words(&[name])) << 64 | u128::from(name))
}

fn info(worker: WorkerId) -> WorkerInfo {
    let prefill = PrefillCost {
        step_ns: 5e6,
        floor_ns: 0.0,
        chunk_tokens: 8_192,
        ns_per_token: 15_000.0,
        ns_per_pair: 0.1,
    };
    WorkerInfo {
        worker,
        epoch: 1,
        block_size: BLOCK,
        total_blocks: Some(8_192),
        constant_blocks: 0,
        max_num_seqs: 256,
        prefill,
        tiers: Vec::new(),
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}
