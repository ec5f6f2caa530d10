//! A random fleet: texts that share prefixes, what workers hold of them, and the requests under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use warmpath_core::id::MAX_TIERS;
use warmpath_core::rng::Rng;

/// The settings of the cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Credit for a block in HBM.
    pub overlap: f64,
    /// How fast the credit falls with queued prefill.
    pub decay: f64,
    /// Credit for a block in host memory.
    pub host: f64,
    /// Credit for a block behind host memory.
    pub disk: f64,
    /// Weight of prefill work.
    pub prefill: f64,
    /// Cost of a request under way.
    pub request: f64,
}

/// The size of a fleet.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shape {
    /// Workers, numbered from 0.
    pub workers: u32,
    /// Tokens of a block.
    pub block: u32,
}

/// What both sides are told.
#[derive(Clone, Debug)]
pub enum News {
    /// A worker holds the blocks `from..` of a text in a tier.
    Stored {
        /// The worker.
        worker: u32,
        /// The tier, 0 is HBM.
        tier: u8,
        /// The tokens of the text's blocks from its start.
        text: Arc<[u32]>,
        /// The first block that is stored.
        from: u32,
    },
    /// A worker has dropped the last block of a text from a tier.
    Removed {
        /// The worker.
        worker: u32,
        /// The tier, 0 is HBM.
        tier: u8,
        /// The tokens of the text's blocks from its start.
        text: Arc<[u32]>,
    },
    /// The prompt of a request is computed.
    FirstToken(u64),
    /// The answer of a request is complete.
    Finished(u64),
    /// A request ended without an answer.
    Cancelled(u64),
}

/// A block of the tree of texts.
#[derive(Debug)]
struct Block {
    before: Option<usize>,
    depth: u32,
    tokens: Vec<u32>,
}

/// A request that is sent and not complete.
#[derive(Debug)]
struct UnderWay {
    id: u64,
    worker: u32,
    /// The last full block of its prompt.
    end: Option<usize>,
    is_computed: bool,
}

/// The fleet as it truly is.
#[derive(Debug)]
pub struct Fleet {
    rng: Rng,
    /// Its size.
    pub shape: Shape,
    /// The settings of the cost.
    pub settings: Settings,
    blocks: Vec<Block>,
    /// For each worker and tier, the blocks that it holds.
    held: Vec<[BTreeSet<usize>; MAX_TIERS]>,
    under_way: Vec<UnderWay>,
    sent: u64,
}

/// A prompt to decide about.
#[derive(Debug)]
pub struct Prompt {
    /// The request's number.
    pub id: u64,
    /// The token ids.
    pub tokens: Vec<u32>,
    end: Option<usize>,
}

impl Fleet {
    /// A fleet of random size and settings, some of whose workers hold something.
    pub fn draw(seed: u64, number: u64) -> (Self, Vec<News>) {
        let mut rng = Rng::named(seed, &[number]);
        let workers = 1 + rng.below(16) as u32;
        let block = [4, 16, 64][rng.below(3) as usize];
        let settings = Settings::draw(&mut rng);
        let held = (0..workers).map(|_| Default::default()).collect();
        let shape = Shape { workers, block };
        let (blocks, under_way) = (Vec::new(), Vec::new());
        let mut fleet = Self { rng, shape, settings, blocks, held, under_way, sent: 0 };
        let mut news = Vec::new();
        for _ in 0..fleet.rng.below(3 * u64::from(workers)) {
            fleet.store_something(&mut news);
            for _ in 0..fleet.rng.below(30) {
                fleet.drop_something(&mut news);
            }
        }
        (fleet, news)
    }

    /// Something happens, or nothing.
    pub fn live(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for _ in 0..self.rng.below(16) {
            match self.rng.below(10) {
                0 => self.compute(&mut news),
                1 => self.end(&mut news),
                2 => self.store_something(&mut news),
                _ => self.drop_something(&mut news),
            }
        }
        news
    }

    /// A prompt that goes on from a text that is there, or begins anew. It may have no full block.
    pub fn prompt(&mut self) -> Prompt {
        let mut end = self.some_block().filter(|_| self.rng.below(6) > 0);
        let fresh = if self.rng.below(3) == 0 { 0 } else { self.rng.below(8) };
        for _ in 0..fresh {
            end = Some(self.grow(end));
        }
        let mut tokens = self.text(end).to_vec();
        // A third of the prompts have only full blocks.
        let rest =
            if self.rng.below(3) == 0 { 0 } else { self.rng.below(u64::from(self.shape.block)) };
        let rest = rest.max(u64::from(tokens.is_empty()));
        tokens.extend((0..rest).map(|_| self.rng.below(100_000) as u32));
        self.sent += 1;
        Prompt { id: self.sent, tokens, end }
    }

    /// A request is on its way to a worker.
    pub fn sent(&mut self, prompt: &Prompt, worker: u32) {
        let Prompt { id, end, .. } = *prompt;
        self.under_way.push(UnderWay { id, worker, end, is_computed: false });
    }

    /// A request that is computed leaves its blocks in HBM.
    fn compute(&mut self, news: &mut Vec<News>) {
        let waiting: Vec<usize> =
            (0..self.under_way.len()).filter(|&i| !self.under_way[i].is_computed).collect();
        if waiting.is_empty() {
            return;
        }
        let request = waiting[self.rng.below(waiting.len() as u64) as usize];
        self.under_way[request].is_computed = true;
        let UnderWay { id, worker, end, .. } = self.under_way[request];
        news.push(News::FirstToken(id));
        self.store(worker, end, news);
    }

    fn end(&mut self, news: &mut Vec<News>) {
        if self.under_way.is_empty() {
            return;
        }
        let request = self.rng.below(self.under_way.len() as u64) as usize;
        let UnderWay { id, is_computed, .. } = self.under_way.swap_remove(request);
        let is_whole = is_computed && self.rng.below(4) > 0;
        news.push(if is_whole { News::Finished(id) } else { News::Cancelled(id) });
    }

    /// A worker holds a text that another router sent there.
    fn store_something(&mut self, news: &mut Vec<News>) {
        let mut end = self.some_block();
        for _ in 0..self.rng.below(6) {
            end = Some(self.grow(end));
        }
        let worker = self.some_worker();
        self.store(worker, end, news);
    }

    fn store(&mut self, worker: u32, end: Option<usize>, news: &mut Vec<News>) {
        let hbm = &mut self.held[worker as usize][0];
        let (mut from, mut next) = (end.map_or(0, |end| self.blocks[end].depth + 1), end);
        while let Some(block) = next.filter(|&block| hbm.insert(block)) {
            (from, next) = (self.blocks[block].depth, self.blocks[block].before);
        }
        if end.is_some_and(|end| from <= self.blocks[end].depth) {
            news.push(News::Stored { worker, tier: 0, text: self.text(end), from });
        }
    }

    /// A worker drops a block from a tier. Engines drop the end of a text before its start, so a block
    /// that others of this tier follow stays. One that others behind follow moves one tier on, so that
    /// texts are held without a gap; another may move or vanish. Where tiers have gaps, the two indexes
    /// count differently by design.
    fn drop_something(&mut self, news: &mut Vec<News>) {
        let worker = self.some_worker();
        let tier = self.rng.below(MAX_TIERS as u64) as usize;
        let held = &self.held[worker as usize];
        let follows = |tier: usize, block: usize| {
            held[tier].iter().any(|&other| self.blocks[other].before == Some(block))
        };
        let ends: Vec<usize> = held[tier].iter().copied().filter(|&b| !follows(tier, b)).collect();
        if ends.is_empty() {
            return;
        }
        let block = ends[self.rng.below(ends.len() as u64) as usize];
        let is_followed = (tier + 1..MAX_TIERS).any(|behind| follows(behind, block));
        let text = self.text(Some(block));
        let moves = tier + 1 < MAX_TIERS && (is_followed || self.rng.below(3) > 0);
        let held = &mut self.held[worker as usize];
        if moves && held[tier + 1].insert(block) {
            let (text, from) = (Arc::clone(&text), self.blocks[block].depth);
            news.push(News::Stored { worker, tier: tier as u8 + 1, text, from });
        }
        held[tier].remove(&block);
        news.push(News::Removed { worker, tier: tier as u8, text });
    }

    fn some_worker(&mut self) -> u32 {
        self.rng.below(u64::from(self.shape.workers)) as u32
    }

    fn some_block(&mut self) -> Option<usize> {
        let count = self.blocks.len() as u64;
        (count > 0).then(|| self.rng.below(count) as usize)
    }

    /// A new block after another one.
    fn grow(&mut self, before: Option<usize>) -> usize {
        let depth = before.map_or(0, |before| self.blocks[before].depth + 1);
        let tokens = (0..self.shape.block).map(|_| self.rng.below(100_000) as u32).collect();
        self.blocks.push(Block { before, depth, tokens });
        self.blocks.len() - 1
    }

    fn text(&self, end: Option<usize>) -> Arc<[u32]> {
        let mut blocks = Vec::new();
        let mut next = end;
        while let Some(block) = next {
            blocks.push(&self.blocks[block].tokens);
            next = self.blocks[block].before;
        }
        blocks.into_iter().rev().flatten().copied().collect()
    }
}

impl Settings {
    /// A third are the defaults; the rest are round or random numbers.
    fn draw(rng: &mut Rng) -> Self {
        let default =
            Self { overlap: 1.0, decay: 0.0, host: 0.75, disk: 0.25, prefill: 1.0, request: 0.0 };
        if rng.below(3) == 0 {
            return default;
        }
        let mut one = |round: [f64; 4], most: f64| match rng.below(8) {
            i @ 0..=3 => round[i as usize],
            _ => rng.unit() * most,
        };
        Self {
            overlap: one([0.0, 1.0, 0.5, 2.0], 5.0),
            decay: one([0.0, 0.0, 0.5, 1.0], 4.0),
            host: one([0.0, 0.75, 0.5, 1.0], 1.0),
            disk: one([0.0, 0.25, 0.5, 1.0], 1.0),
            prefill: one([0.0, 1.0, 0.5, 2.0], 4.0),
            request: one([0.0, 0.0, 1.0, 4.0], 10.0),
        }
    }
}
