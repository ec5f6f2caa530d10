//! Preble's tree: the prompts that were sent, the workers of each prefix, and what they cost of late.

use crate::block::{BlockRun, TokenBlocks};
use crate::event::{PrefillCost, WorkerInfo};
use crate::hash::FixedState;
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::policy::parameter::choices;
use crate::routing::policy::parts::InFlight;
use crate::runs::{Node, NodeId, RunTree};
use crate::time::{Duration, Instant};
use lru::LruCache;
use smallvec::SmallVec;
use std::collections::VecDeque;

choices! {
    /// Where the time to compute a prefix comes from.
    pub enum PrefillTime {
        /// The authors' fit for Mistral 7B on an A6000.
        A6000 = "a6000",
        /// What the worker says of itself.
        Worker = "worker",
    }
}

/// How prompts are counted and remembered.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a request counts.
    pub window: Duration,
    /// Where the time to compute a prefix comes from.
    pub prefill: PrefillTime,
    /// The time of an answer, in seconds.
    pub answer_s: f64,
    /// Tokens that are remembered for each worker.
    pub capacity: u32,
}

/// A prefix from the end of the one before it to the next branch.
#[derive(Clone, Default, Debug)]
pub struct Prefix {
    known: SmallVec<[Known; 2]>,
    /// The requests of the window that count here.
    hot: Option<usize>,
}

/// A worker that was sent a prefix.
#[derive(Clone, Copy, Debug)]
struct Known {
    worker: WorkerId,
    /// The prefix may be exploited there.
    allocated: bool,
    /// Requests with the prefix that are under way there.
    active: u32,
}

/// Requests of the window that share their longest part.
#[derive(Clone, Copy, Debug)]
struct Hot {
    node: NodeId,
    requests: u32,
    tokens: u64,
    hits: u64,
    miss: f64,
}

/// A request of the window.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    hot: usize,
    tokens: u64,
    hits: u64,
}

#[derive(Debug)]
struct Worker {
    /// In nanoseconds, so that what is added and taken away again leaves nothing.
    cost: i64,
    prefill: PrefillCost,
}

/// All that the rule remembers.
#[derive(Debug)]
pub struct Tree {
    settings: Settings,
    tree: RunTree<Prefix>,
    /// The prefixes by their last use, each used after those that continue it.
    used: LruCache<NodeId, (), FixedState>,
    blocks: u64,
    block_size: u32,
    hot: Vec<Hot>,
    free: Vec<usize>,
    window: VecDeque<Sent>,
    requests: InFlight<TokenBlocks>,
    workers: PerWorker<Worker>,
}

impl Prefix {
    /// The workers where it may be exploited.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.known.iter().filter(|known| known.allocated).map(|known| known.worker)
    }

    fn is_in_use(&self) -> bool {
        self.hot.is_some() || self.known.iter().any(|known| known.active > 0)
    }
}

impl Tree {
    /// Without prompts.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tree: RunTree::default(),
            used: LruCache::unbounded_with_hasher(FixedState::default()),
            blocks: 0,
            block_size: 1,
            hot: Vec::new(),
            free: Vec::new(),
            window: VecDeque::new(),
            requests: InFlight::default(),
            workers: PerWorker::default(),
        }
    }

    /// The known parts of a prompt from its start on, each with the block until which it is known.
    pub fn path(&self, prompt: &TokenBlocks) -> impl Iterator<Item = (&Node<Prefix>, u32)> {
        let mut depth = 0;
        core::iter::from_fn(move || {
            let (id, agreed) = self.tree.follow(prompt.chain(), depth, prompt.blocks())?;
            depth = agreed;
            Some((self.tree.get(id), agreed))
        })
    }

    /// The cost of a worker, in nanoseconds.
    pub fn cost(&self, worker: WorkerId) -> i64 {
        self.workers.get(worker).map_or(0, |worker| worker.cost)
    }

    /// A worker comes, or begins anew.
    pub fn join(&mut self, info: &WorkerInfo) {
        self.lose(info.worker);
        self.workers.insert(info.worker, Worker { cost: 0, prefill: info.prefill });
    }

    /// Forgets a worker, whose requests have ended.
    pub fn lose(&mut self, worker: WorkerId) {
        let nodes: Vec<NodeId> = self.tree.iter().map(|(id, _)| id).collect();
        for id in nodes {
            self.weigh(id, -1);
            self.tree.get_mut(id).value.known.retain(|known| known.worker != worker);
            self.weigh(id, 1);
        }
        self.workers.remove(worker);
    }

    /// Requests end.
    pub fn end(&mut self, what: &Observed<'_>) {
        let mut requests = core::mem::take(&mut self.requests);
        requests.end(what, |_, worker, prompt| {
            let (mut depth, end) = (0, prompt.blocks());
            while let Some((id, agreed)) = self.tree.follow(prompt.chain(), depth, end) {
                self.weigh(id, -1);
                let known = self.tree.get_mut(id).value.known.iter_mut();
                for known in known.filter(|known| known.worker == worker) {
                    known.active = known.active.saturating_sub(1);
                }
                self.weigh(id, 1);
                depth = agreed;
            }
        });
        self.requests = requests;
    }

    /// A request was sent.
    pub fn send(&mut self, now: Instant, request: &Request, worker: WorkerId) {
        let prompt = &request.prompt;
        self.block_size = prompt.block_size();
        let Some((leaf, known)) = self.insert(prompt) else { return };
        self.requests.begin(request.id, worker, prompt.clone());
        let mut next = Some(leaf);
        while let Some(id) = next {
            self.allocate(id, worker);
            self.used.put(id, ());
            next = self.tree.get(id).parent;
        }
        let (tokens, hits) =
            (u64::from(prompt.tokens()), u64::from(known) * u64::from(self.block_size));
        let hot = self.count(leaf, tokens, hits);
        self.window.push_back(Sent { at: now, hot, tokens, hits });
        self.expire(now);
        self.forget();
    }

    /// Puts a prompt in the tree. The answer is its last part, and how many blocks were known.
    fn insert(&mut self, prompt: &TokenBlocks) -> Option<(NodeId, u32)> {
        let (chain, end) = (prompt.chain(), prompt.blocks());
        let (mut depth, mut leaf) = (0, None);
        while let Some((id, agreed)) = self.tree.follow(chain, depth, end) {
            let whole = agreed == self.tree.get(id).end;
            leaf = Some(if whole { id } else { self.split(id, agreed) });
            depth = agreed;
        }
        if depth < end {
            let run = BlockRun { chain: chain.clone(), start: depth, end };
            leaf = Some(self.tree.insert(leaf, run, Prefix::default()));
            self.blocks += u64::from(end - depth);
        }
        Some((leaf?, depth))
    }

    /// The requests of the window stay with the second part, unless just the first is longer than all
    /// before it.
    fn split(&mut self, id: NodeId, at: u32) -> NodeId {
        self.weigh(id, -1);
        let head = self.tree.split(id, at);
        let moves = self.is_large(head) && !self.is_large(id);
        let (with, without) = if moves { (head, id) } else { (id, head) };
        self.tree.get_mut(without).value.hot = None;
        if let Some(hot) = self.tree.get(with).value.hot {
            self.hot[hot].node = with;
        }
        self.weigh(with, 1);
        head
    }

    /// Whether a part is longer than all before it.
    fn is_large(&self, id: NodeId) -> bool {
        let node = self.tree.get(id);
        node.len() > node.start
    }

    fn allocate(&mut self, id: NodeId, worker: WorkerId) {
        self.weigh(id, -1);
        let known = &mut self.tree.get_mut(id).value.known;
        match known.iter_mut().find(|known| known.worker == worker) {
            Some(known) => (known.allocated, known.active) = (true, known.active + 1),
            None => known.push(Known { worker, allocated: true, active: 1 }),
        }
        self.weigh(id, 1);
    }

    /// Counts a request at the deepest part of its prompt that is longer than all before it.
    fn count(&mut self, leaf: NodeId, tokens: u64, hits: u64) -> usize {
        let mut id = leaf;
        while !self.is_large(id) {
            // The first part has nothing before it.
            id = self.tree.get(id).parent.expect("the first part is large");
        }
        self.weigh(id, -1);
        let hot = self.tree.get(id).value.hot.unwrap_or_else(|| {
            let new = Hot { node: id, requests: 0, tokens: 0, hits: 0, miss: 0.0 };
            match self.free.pop() {
                Some(free) => {
                    self.hot[free] = new;
                    free
                }
                None => {
                    self.hot.push(new);
                    self.hot.len() - 1
                }
            }
        });
        self.tree.get_mut(id).value.hot = Some(hot);
        let of = &mut self.hot[hot];
        of.requests += 1;
        of.tokens += tokens;
        of.hits += hits;
        of.miss = 1.0 - of.hits as f64 / of.tokens.max(1) as f64;
        self.weigh(id, 1);
        hot
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&Sent { at, hot, tokens, hits }) = self.window.front()
            && now.since(at) > self.settings.window
        {
            self.window.pop_front();
            let id = self.hot[hot].node;
            self.weigh(id, -1);
            let of = &mut self.hot[hot];
            of.requests -= 1;
            of.tokens -= tokens;
            of.hits -= hits;
            if of.requests == 0 {
                let prefix = &mut self.tree.get_mut(id).value;
                prefix.hot = None;
                prefix.known.iter_mut().for_each(|known| known.allocated = false);
                self.free.push(hot);
            }
            self.weigh(id, 1);
        }
    }

    /// Forgets what was used longest ago, beyond what is remembered.
    fn forget(&mut self) {
        let tokens = u64::from(self.settings.capacity) * self.workers.values().len() as u64;
        while self.blocks * u64::from(self.block_size) > tokens
            && let Some((&id, ())) = self.used.peek_lru()
            && self.tree.get(id).children == 0
            && !self.tree.get(id).value.is_in_use()
        {
            self.used.pop_lru();
            let node = self.tree.get(id);
            let start = node.start;
            self.blocks -= u64::from(node.len());
            self.tree.truncate(id, start);
        }
    }

    /// Adds what a prefix costs its workers, or takes it away with -1. What changes a prefix stands
    /// between the two.
    fn weigh(&mut self, id: NodeId, sign: i64) {
        let Self { settings, tree, hot, workers, block_size, .. } = self;
        let node = tree.get(id);
        let Some(hot) = node.value.hot.map(|at| &hot[at]) else { return };
        let (new, before) = (node.len() * *block_size, node.start * *block_size);
        let requests = hot.miss * f64::from(hot.requests) / node.value.workers().count() as f64;
        for known in node.value.known.iter().filter(|known| known.allocated) {
            let Some(worker) = workers.get_mut(known.worker) else { continue };
            let prefill = match settings.prefill {
                PrefillTime::A6000 => a6000(f64::from(new), f64::from(before)),
                PrefillTime::Worker => worker.prefill.estimate(new, before).as_secs_f64(),
            };
            let decode = f64::from(known.active) * settings.answer_s;
            worker.cost += sign * libm::round((requests * prefill + decode) * 1e9) as i64;
        }
    }
}

/// Seconds to compute `new` tokens after `before` others: Mistral 7B on an A6000 with SGLang.
fn a6000(new: f64, before: f64) -> f64 {
    let context = new + before;
    let linear = if new >= 384.0 {
        0.108_425_71 * new + 4.209_777_054_806_409
    } else if new >= 192.0 {
        -118.0 + 1.25 * new - 2.56e-3 * new * new
    } else {
        22.0
    };
    let attention = match () {
        () if context <= 1_024.0 => 0.32,
        () if new <= 1_024.0 => (1.86e-4 * context + 0.159) / 2.0,
        () => 1.86e-4 * context + 0.159,
    };
    let pairs = if new * context > 1_048_576.0 {
        1.13e-3 * new + 1.75e-3 * context + 2.19e-6 * new * context
    } else {
        0.0
    };
    (linear + attention + pairs) / 0.9 / 1e3
}
