//! The prefix index against a simple model: for each source, the set of (tier, block) pairs that it
//! holds.

use crate::common::{Form, Texts, between, chance, for_seeds, off_the_wire, run};
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{Digest, KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{MAX_TIERS, PoolId, SourceId, TierId, WorkerId};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::{Overlap, PrefixIndex};

type Held = BTreeSet<(TierId, BlockHash)>;

struct Model {
    index: PrefixIndex,
    held: BTreeMap<SourceId, Held>,
    seqs: BTreeMap<SourceId, (u64, u64)>,
    wire: bool,
}

impl Model {
    fn new(wire: bool) -> Self {
        let index = if wire { PrefixIndex::with_digests() } else { PrefixIndex::default() };
        Self { index, held: BTreeMap::new(), seqs: BTreeMap::new(), wire }
    }

    fn form(&self, run: BlockRun) -> BlockRun {
        if self.wire { off_the_wire(&run) } else { run }
    }

    fn apply(&mut self, source: SourceId, events: Vec<KvEvent>) {
        let held = self.held.get_mut(&source).expect("a known source");
        for event in &events {
            match event {
                KvEvent::Stored { tier, run } => held.extend(run.hashes().map(|h| (*tier, h))),
                KvEvent::Removed { tier, run } => {
                    held.retain(|pair| !run.hashes().any(|hash| *pair == (*tier, hash)));
                }
                KvEvent::Cleared => held.clear(),
            }
        }
        let (epoch, seq) = self.seqs.get_mut(&source).unwrap();
        *seq += 1;
        let batch = KvBatch { source, epoch: *epoch, seq: *seq, events };
        self.index.apply(&batch).unwrap();
    }

    fn replace(&mut self, source: SourceId, epoch: u64, runs: Vec<(TierId, BlockRun)>) {
        let pairs = |(tier, run): &(TierId, BlockRun)| {
            let tier = *tier;
            run.hashes().map(move |hash| (tier, hash)).collect::<Vec<_>>()
        };
        self.held.insert(source, runs.iter().flat_map(pairs).collect());
        self.seqs.insert(source, (epoch, 7));
        self.index.replace(&Snapshot { source, epoch, seq: 7, runs }).unwrap();
    }

    fn forget(&mut self, source: SourceId) {
        self.held.remove(&source);
        self.seqs.remove(&source);
        self.index.forget(source);
    }

    fn check(&self, prompts: &[TokenBlocks]) {
        self.index.check();
        self.compare(prompts);
    }

    /// Compares the index with the model, for the sources that the model knows.
    fn compare(&self, prompts: &[TokenBlocks]) {
        for (source, held) in &self.held {
            let mut digest = Digest::default();
            for &(tier, hash) in held {
                let alone = Chain::from_wire(1, 0, vec![hash]);
                digest.add(tier, &run(&alone, 0, 1));
            }
            assert_eq!(self.index.digest(*source), digest, "digest of {source}");
            assert_eq!(self.index.position(*source), self.seqs.get(source).copied());
        }
        for prompt in prompts {
            let mut overlap = Overlap::default();
            self.index.overlap(prompt, &mut overlap);
            let known = overlap.entries().iter().filter(|e| self.held.contains_key(&e.source));
            let seen: Vec<_> = known.map(|e| (e.source, e.by_tier)).collect();
            assert_eq!(seen, self.overlap(prompt), "{} tokens", prompt.tokens());
        }
    }

    /// The blocks of a prompt that each source holds from its start without a gap.
    fn overlap(&self, prompt: &TokenBlocks) -> Vec<(SourceId, [u32; MAX_TIERS])> {
        let of_source = |(source, held): (&SourceId, &Held)| {
            let mut by_tier = [0; MAX_TIERS];
            for block in 0..prompt.reusable_blocks() {
                let hash = prompt.chain().hash(block);
                let nearest = (0..MAX_TIERS).find(|&t| held.contains(&(TierId(t as u8), hash)));
                let Some(tier) = nearest else { break };
                by_tier[tier] += 1;
            }
            (by_tier != [0; MAX_TIERS]).then_some((*source, by_tier))
        };
        self.held.iter().filter_map(of_source).collect()
    }
}

fn any_tier(rng: &mut Rng) -> TierId {
    TierId(rng.below(MAX_TIERS as u64) as u8)
}

/// Whether a source that holds these blocks may store a run at `start`.
fn follows(held: &Held, chain: &Chain, start: u32) -> bool {
    let before = |tier| held.contains(&(TierId(tier), chain.hash(start - 1)));
    start == 0 || (0..MAX_TIERS as u8).any(before)
}

/// A run of a text that follows a block of the source. The source may hold some of it already.
fn random_stored(rng: &mut Rng, model: &Model, source: SourceId, texts: &Texts) -> Option<KvEvent> {
    let chain = texts.pick_full(rng)?;
    let held = &model.held[&source];
    let starts: Vec<u32> = (0..chain.blocks()).filter(|&at| follows(held, chain, at)).collect();
    let start = starts[rng.below(starts.len() as u64) as usize];
    let end = between(rng, start + 1, chain.blocks());
    Some(KvEvent::Stored { tier: any_tier(rng), run: model.form(run(chain, start, end)) })
}

/// Any run of any text, held or not: from its start, its middle or its end.
fn random_removed(rng: &mut Rng, model: &Model, texts: &Texts) -> Option<KvEvent> {
    let chain = texts.pick_full(rng)?;
    let start = if chance(rng, 30) { 0 } else { between(rng, 0, chain.blocks() - 1) };
    let end = if chance(rng, 30) { chain.blocks() } else { between(rng, start, chain.blocks()) };
    Some(KvEvent::Removed { tier: any_tier(rng), run: model.form(run(chain, start, end)) })
}

/// A run moves from one tier to another. Usually it is the end of a run in the first tier; sometimes
/// the source does not hold all of it, or both tiers are the same.
fn random_moved(rng: &mut Rng, model: &Model, source: SourceId, texts: &Texts) -> Vec<KvEvent> {
    let Some(chain) = texts.pick_full(rng) else { return Vec::new() };
    let held = &model.held[&source];
    let from = any_tier(rng);
    let in_tier = |&block: &u32| held.contains(&(from, chain.hash(block)));
    let Some(first) = (0..chain.blocks()).find(in_tier) else { return Vec::new() };
    let end = (first..chain.blocks()).find(|block| !in_tier(block)).unwrap_or(chain.blocks());
    let end = if chance(rng, 80) { end } else { between(rng, first + 1, chain.blocks()) };
    let start = between(rng, first, end - 1);
    if !follows(held, chain, start) {
        return Vec::new();
    }
    let moved = |rng: &mut Rng| (any_tier(rng), model.form(run(chain, start, end)));
    let (tier, run) = moved(rng);
    vec![KvEvent::Stored { tier, run }, KvEvent::Removed { tier: from, run: moved(rng).1 }]
}

/// Whole prefixes with their ends in the next tier, as a store lists them.
fn random_snapshot(rng: &mut Rng, model: &Model, texts: &Texts) -> Vec<(TierId, BlockRun)> {
    let mut runs = Vec::new();
    for _ in 0..between(rng, 0, 3) {
        let Some(chain) = texts.pick_full(rng) else { continue };
        let end = between(rng, 1, chain.blocks());
        let middle = between(rng, 0, end);
        for (tier, start, end) in [(TierId::HBM, 0, middle), (TierId::HOST, middle, end)] {
            if start < end {
                runs.push((tier, model.form(run(chain, start, end))));
            }
        }
    }
    runs
}

fn random_walk(rng: &mut Rng, form: Form, wire: bool, longest_blocks: u32, steps: u32) {
    let count = between(rng, 2, 7) as usize;
    let texts = Texts::random(rng, form, count, longest_blocks);
    // In descending order, so that slots are not in the order of sources.
    let mut sources: Vec<SourceId> = (0..3).rev().map(|i| WorkerId(i).into()).collect();
    sources.push(SourceId::Pool(PoolId(0)));
    let mut model = Model::new(wire);
    for &source in &sources {
        model.replace(source, 1, Vec::new());
    }
    for step in 0..steps {
        let source = sources[rng.below(sources.len() as u64) as usize];
        if !model.held.contains_key(&source) {
            let runs = random_snapshot(rng, &model, &texts);
            model.replace(source, u64::from(step), runs);
        }
        match rng.below(100) {
            0..45 => {
                let event = random_stored(rng, &model, source, &texts);
                model.apply(source, event.into_iter().collect());
            }
            45..65 => {
                let event = random_removed(rng, &model, &texts);
                model.apply(source, event.into_iter().collect());
            }
            65..85 => {
                let events = random_moved(rng, &model, source, &texts);
                model.apply(source, events);
            }
            85..90 => {
                let removed = random_removed(rng, &model, &texts);
                model.apply(source, removed.into_iter().chain([KvEvent::Cleared]).collect());
            }
            90..95 => model.forget(source),
            _ => {
                let runs = random_snapshot(rng, &model, &texts);
                model.replace(source, u64::from(step), runs);
            }
        }
        let prompts: Vec<TokenBlocks> = (0..4).map(|_| texts.prompt(rng)).collect();
        model.check(&prompts);
    }
    for source in sources {
        model.forget(source);
        model.check(&[]);
    }
    assert_eq!(model.index.runs(), 0, "runs without a holder");
}

#[test]
fn short_described_texts_agree_with_the_model() {
    for_seeds(0..800, |rng| random_walk(rng, Form::Described, false, 12, 60));
}

#[test]
fn long_described_texts_agree_with_the_model() {
    for_seeds(1_000..1_200, |rng| random_walk(rng, Form::Described, false, 300, 40));
}

#[test]
fn written_texts_agree_with_the_model() {
    for_seeds(2_000..2_200, |rng| random_walk(rng, Form::Written, false, 150, 40));
}

#[test]
fn runs_off_the_wire_agree_with_the_model() {
    for_seeds(3_000..3_400, |rng| random_walk(rng, Form::Described, true, 12, 60));
    for_seeds(4_000..4_200, |rng| random_walk(rng, Form::Written, true, 300, 40));
}

const A: SourceId = SourceId::Worker(WorkerId(0));
const B: SourceId = SourceId::Worker(WorkerId(1));

/// A run from a source that is wrong about depths: from block `at` on, each block has the hash of the
/// block `by` places later.
fn misplaced(rng: &mut Rng, texts: &Texts) -> Option<BlockRun> {
    let chain = texts.pick_full(rng)?;
    let by = between(rng, 1, chain.blocks());
    let end = chain.blocks().checked_sub(by).filter(|&end| end > 0)?;
    let start = between(rng, 0, end - 1);
    let at = if chance(rng, 50) { 0 } else { between(rng, start, end - 1) };
    let name = |block| chain.hash(if block < at { block } else { block + by });
    let names: Vec<BlockHash> = (0..end).map(name).collect();
    let sent = Chain::from_wire(chain.block_size(), 0, names);
    Some(off_the_wire(&run(&sent, start, end)))
}

/// If the index finds the error, it takes a new snapshot. In any case the blocks of other sources stay.
#[test]
fn a_source_that_is_wrong_about_depths_changes_no_other_source() {
    const WRONG: SourceId = SourceId::Worker(WorkerId(9));
    for_seeds(5_000..5_300, |rng| {
        let longest = if chance(rng, 50) { 12 } else { 200 };
        let texts = Texts::random(rng, Form::Written, 4, longest);
        let mut model = Model::new(true);
        model.replace(A, 1, Vec::new());
        model.replace(B, 1, Vec::new());
        let nothing = Snapshot { source: WRONG, epoch: 1, seq: 0, runs: Vec::new() };
        model.index.replace(&nothing).unwrap();
        let (mut seq, mut accepted) = (0, 0);
        for _ in 0..60 {
            if let Some(run) = misplaced(rng, &texts) {
                let tier = TierId::HBM;
                let event = match chance(rng, 70) {
                    true => KvEvent::Stored { tier, run },
                    false => KvEvent::Removed { tier, run },
                };
                seq += 1;
                match model.index.apply(&KvBatch {
                    source: WRONG,
                    epoch: 1,
                    seq,
                    events: vec![event],
                }) {
                    Ok(()) => accepted += 1,
                    Err(_) => {
                        model.index.replace(&nothing).unwrap();
                        seq = 0;
                    }
                }
            }
            let source = if chance(rng, 50) { A } else { B };
            let event = match chance(rng, 60) {
                true => random_stored(rng, &model, source, &texts),
                false => random_removed(rng, &model, &texts),
            };
            model.apply(source, event.into_iter().collect());
            let prompts: Vec<TokenBlocks> = (0..4).map(|_| texts.prompt(rng)).collect();
            model.compare(&prompts);
        }
        assert!(accepted > 0 || texts.chains.iter().all(|chain| chain.blocks() < 3));
        model.index.forget(WRONG);
        let prompts: Vec<TokenBlocks> = (0..4).map(|_| texts.prompt(rng)).collect();
        model.check(&prompts);
    });
}
