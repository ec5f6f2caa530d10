//! Our side: a router with the rule `dynamo`, told everything through its public inputs.

use crate::fleet::{News, Prompt, Settings, Shape};
use warmpath_core::block::{BlockRun, ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::{KvBatch, KvEvent, PrefillCost, Role, Snapshot, WorkerInfo};
use warmpath_core::id::{RequestId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::Dynamo;
use warmpath_core::time::Instant;

/// A router and its index.
pub struct Ours {
    router: Router,
    index: PrefixIndex,
    scope: ScopePlan,
    /// The number of each worker's last batch.
    batches: Vec<u64>,
    now: u64,
}

impl Ours {
    /// A fleet of idle workers that hold nothing. The seed decides between equals.
    pub fn new(shape: Shape, settings: Settings, seed: u64) -> Self {
        let Settings { overlap, decay, host, disk, prefill, request } = settings;
        let default = Dynamo::DEFAULT;
        let rule =
            Dynamo { overlap, overlap_decay: decay, host, disk, prefill, request, ..default };
        let mut ours = Self {
            router: Router::new(rule.into()).with_seed(seed),
            index: PrefixIndex::default(),
            scope: ScopePlan::new("", "", "", shape.block),
            batches: vec![0; shape.workers as usize],
            now: 0,
        };
        for worker in (0..shape.workers).map(WorkerId) {
            let snapshot = Snapshot { source: worker.into(), epoch: 1, seq: 0, runs: Vec::new() };
            ours.index.replace(&snapshot).expect("a first snapshot");
            ours.tell(&Input::Joined(info(worker, shape.block)));
        }
        ours
    }

    /// Learns what happened.
    pub fn hear(&mut self, news: &News) {
        match news {
            News::Stored { worker, tier, text, from } => {
                let run = self.run(text, *from);
                self.announce(*worker, KvEvent::Stored { tier: TierId(*tier), run });
            }
            News::Removed { worker, tier, text } => {
                let mut run = self.run(text, 0);
                run.start = run.end - 1;
                self.announce(*worker, KvEvent::Removed { tier: TierId(*tier), run });
            }
            News::FirstToken(id) => {
                self.tell(&Input::FirstToken(RequestId(*id)));
            }
            News::Finished(id) => {
                let id = RequestId(*id);
                let (cached_tokens, by_origin, output_tokens) = (0, None, None);
                self.tell(&Input::Finished { id, cached_tokens, by_origin, output_tokens });
            }
            News::Cancelled(id) => {
                self.tell(&Input::Cancelled(RequestId(*id)));
            }
        }
    }

    /// Decides, and books the request where it goes.
    pub fn decide(&mut self, prompt: &Prompt) -> u32 {
        let request = Request {
            id: RequestId(prompt.id),
            session: None,
            tenant: TenantId(0),
            prompt: TokenBlocks::whole(hash_blocks(&self.scope, &prompt.tokens)),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        };
        match self.tell(&Input::Arrived(request)).as_slice() {
            [Action::Dispatch { decision, .. }] => decision.worker.0,
            other => panic!("the rule neither holds nor rejects: {other:?}"),
        }
    }

    /// The blocks of a prompt that each worker holds, by tier.
    pub fn held(&self, prompt: &Prompt) -> Vec<[u32; 4]> {
        let prompt = TokenBlocks::whole(hash_blocks(&self.scope, &prompt.tokens));
        let mut overlap = Overlap::default();
        self.index.overlap(&prompt, &mut overlap);
        (0..self.batches.len() as u32).map(|worker| overlap.stored(WorkerId(worker))).collect()
    }

    fn tell(&mut self, input: &Input) -> Vec<Action> {
        self.now += 1_000_000;
        let mut actions = Vec::new();
        let index = &self.index;
        let lookup = |prompt: &TokenBlocks, out: &mut Overlap| index.overlap(prompt, out);
        self.router.apply(Instant::from_nanos(self.now), input, &lookup, &mut actions);
        actions
    }

    fn run(&self, text: &[u32], start: u32) -> BlockRun {
        let chain = hash_blocks(&self.scope, text);
        let end = chain.blocks();
        BlockRun { chain, start, end }
    }

    fn announce(&mut self, worker: u32, event: KvEvent) {
        let seq = &mut self.batches[worker as usize];
        *seq += 1;
        let (source, events) = (WorkerId(worker).into(), vec![event]);
        let batch = KvBatch { source, epoch: 1, seq: *seq, events };
        self.index.apply(&batch).expect("batches come in order");
    }
}

/// The rule reads only the block size.
fn info(worker: WorkerId, block_size: u32) -> WorkerInfo {
    let prefill = PrefillCost {
        step_ns: 0.0,
        floor_ns: 0.0,
        chunk_tokens: 8_192,
        ns_per_token: 10_000.0,
        ns_per_pair: 0.0,
    };
    WorkerInfo {
        worker,
        epoch: 1,
        block_size,
        total_blocks: None,
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
