//! The events of workers and pools against a model of the index: for each source, the set of pairs of tier
//! and block that it holds.
//!
//! The bytes are choices: what is stored, moved, removed and cleared, gaps, restarts, snapshots, digests and
//! look-ups. All of it goes through the messages of the wire. One source may lie: what the index says of the
//! others stays the same.

use crate::choices::Choices;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{Digest, KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{MAX_TIERS, PoolId, SourceId, TierId, WorkerId};
use warmpath_core::rng::mix64;
use warmpath_core::routing::index::{Overlap, PrefixIndex, SequenceGap};
use warmpath_proto::convert::{self, SnapshotReader};

const BLOCK: u32 = 16;
/// Each text: the text whose start it shares, how many blocks of it, and how many blocks it has. Every 64th
/// block is special to the index.
const TEXTS: [(usize, u32, u32); 9] = [
    (0, 0, 12),
    (0, 5, 20),
    (1, 1, 3),
    (3, 0, 200),
    (3, 63, 130),
    (3, 64, 140),
    (3, 65, 70),
    (5, 100, 190),
    (4, 128, 129),
];
const HONEST: [SourceId; 3] =
    [SourceId::Worker(WorkerId(2)), SourceId::Worker(WorkerId(0)), SourceId::Pool(PoolId(0))];
const LIAR: SourceId = SourceId::Worker(WorkerId(1));

type Held = BTreeSet<(TierId, BlockHash)>;

/// The bytes are choices.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut fleet = Fleet::new(choices.byte() & 1 == 1);
    while !choices.is_over() {
        fleet.next(&mut choices);
    }
    fleet.check();
}

pub fn seeds() -> Vec<Vec<u8>> {
    // Every kind of event for every source, in two orders, with and without a liar.
    let some = |first: u8, step: u8| -> Vec<u8> {
        let mut state = u64::from(step);
        let rest = (0..200).map(|_| {
            state = mix64(state.wrapping_add(1));
            state as u8
        });
        std::iter::once(first).chain(rest).collect()
    };
    (0..8).map(|i| some(i & 1, i)).collect()
}

fn name(text: usize, block: u32) -> BlockHash {
    let (of, shared, _) = TEXTS[text];
    if block < shared && of != text {
        return name(of, block);
    }
    let bits = mix64(text as u64 * 1_000 + u64::from(block));
    BlockHash::from_wire(u128::from(bits) << 64 | u128::from(mix64(bits)))
}

fn chain(text: usize) -> Chain {
    let names = (0..TEXTS[text].2).map(|block| name(text, block)).collect();
    Chain::from_wire(BLOCK, 0, names)
}

struct Fleet {
    index: PrefixIndex,
    held: BTreeMap<SourceId, Held>,
    seqs: BTreeMap<SourceId, (u64, u64)>,
    texts: Vec<Chain>,
    has_liar: bool,
}

impl Fleet {
    fn new(has_liar: bool) -> Self {
        let texts = (0..TEXTS.len()).map(chain).collect();
        let (held, seqs) = (BTreeMap::new(), BTreeMap::new());
        let mut fleet = Self { index: PrefixIndex::with_digests(), held, seqs, texts, has_liar };
        for source in HONEST {
            fleet.replace(source, 1, 0, Vec::new());
        }
        if has_liar {
            fleet.calm_liar();
        }
        fleet
    }

    fn next(&mut self, choices: &mut Choices<'_>) {
        let source = *choices.of(&HONEST);
        let Some(&(epoch, seq)) = self.seqs.get(&source) else {
            let runs = self.contents(choices);
            return self.replace(source, 1, u64::from(choices.byte()), runs);
        };
        match choices.below(16) {
            0..=3 => {
                let events = self.stored(source, choices).into_iter().collect();
                self.apply(source, events);
            }
            4..=5 => {
                let events = vec![self.removed(choices)];
                self.apply(source, events);
            }
            6..=7 => {
                let events = self.moved(source, choices);
                self.apply(source, events);
            }
            8 => self.apply(source, vec![KvEvent::Cleared]),
            9 => {
                // A batch is missing, comes twice, or is of another life. A snapshot follows.
                let numbers =
                    [(epoch, seq + 2), (epoch, seq), (epoch + 1, 1), (epoch, seq + 1_000)];
                let (epoch, seq) = *choices.of(&numbers);
                let events = vec![self.removed(choices)];
                let batch = self.sent(source, epoch, seq, events);
                let refused = self.index.apply(&batch);
                assert!(matches!(refused, Err(SequenceGap::Missing { .. })), "{refused:?}");
                let runs = self.contents(choices);
                self.replace(source, epoch, seq, runs);
            }
            10 => {
                self.held.remove(&source);
                self.seqs.remove(&source);
                self.index.forget(source);
                let batch = self.sent(source, epoch, seq + 1, Vec::new());
                let refused = self.index.apply(&batch);
                assert!(matches!(refused, Err(SequenceGap::UnknownSource { .. })), "{refused:?}");
            }
            11 => {
                let runs = self.contents(choices);
                self.replace(source, epoch + 1, u64::from(choices.byte()), runs);
            }
            12..=13 => self.look_up(choices.below(TEXTS.len() as u32) as usize, choices.byte()),
            _ => self.lie(choices),
        }
        self.check_digest(source);
    }

    /// A batch as it arrives: written and read by the code of the wire.
    fn sent(&self, source: SourceId, epoch: u64, seq: u64, events: Vec<KvEvent>) -> KvBatch {
        let batch = KvBatch { source, epoch, seq, events };
        let wire = convert::batch_to_wire(&batch);
        let read = convert::batch_from_wire(source, BLOCK, &wire).expect("what was written");
        assert_eq!(read, batch, "a batch changed on the way");
        read
    }

    fn apply(&mut self, source: SourceId, events: Vec<KvEvent>) {
        let held = self.held.get_mut(&source).expect("a known source");
        for event in &events {
            match event {
                KvEvent::Stored { tier, run } => held.extend(run.hashes().map(|h| (*tier, h))),
                KvEvent::Removed { tier, run } => {
                    for hash in run.hashes() {
                        held.remove(&(*tier, hash));
                    }
                }
                KvEvent::Cleared => held.clear(),
            }
        }
        let (epoch, seq) = self.seqs.get_mut(&source).expect("a known source");
        *seq += 1;
        let (epoch, seq) = (*epoch, *seq);
        let batch = self.sent(source, epoch, seq, events);
        self.index.apply(&batch).expect("the next batch of an honest source");
    }

    fn replace(&mut self, source: SourceId, epoch: u64, seq: u64, runs: Vec<(TierId, BlockRun)>) {
        let mut reader = SnapshotReader::new(source, BLOCK);
        let mut whole = None;
        for chunk in convert::snapshot_to_wire(&Snapshot { source, epoch, seq, runs }) {
            whole = reader.push(&chunk).expect("what was written");
        }
        let snapshot = whole.expect("the last chunk is marked");
        let pairs = snapshot.runs.iter().flat_map(|(tier, run)| run.hashes().map(|h| (*tier, h)));
        self.held.insert(source, pairs.collect());
        self.seqs.insert(source, (epoch, seq));
        self.index.replace(&snapshot).expect("whole prefixes");
    }

    /// Whole prefixes with their ends in the next tier, as a store lists them.
    fn contents(&self, choices: &mut Choices<'_>) -> Vec<(TierId, BlockRun)> {
        let mut runs = Vec::new();
        for _ in 0..choices.below(3) {
            let chain = choices.of(&self.texts);
            let end = 1 + choices.below(chain.blocks());
            let middle = choices.below(end + 1);
            for (tier, start, end) in [(TierId::HBM, 0, middle), (TierId::HOST, middle, end)] {
                if start < end {
                    runs.push((tier, BlockRun { chain: chain.clone(), start, end }));
                }
            }
        }
        runs
    }

    /// Whether a source that holds this may store a run of a text at `start`.
    fn follows(&self, source: SourceId, chain: &Chain, start: u32) -> bool {
        let held = &self.held[&source];
        let before = |tier| held.contains(&(TierId(tier), chain.hash(start - 1)));
        start == 0 || (0..MAX_TIERS as u8).any(before)
    }

    /// A run that follows a block of the source. The source may hold some of it already.
    fn stored(&self, source: SourceId, choices: &mut Choices<'_>) -> Option<KvEvent> {
        let tier = TierId(choices.below(MAX_TIERS as u32) as u8);
        let chain = choices.of(&self.texts).clone();
        let at = choices.below(chain.blocks());
        // The nearest start at or before it that follows what is held.
        let start = (0..=at).rev().find(|&start| self.follows(source, &chain, start))?;
        let end = start + 1 + choices.below(chain.blocks() - start);
        Some(KvEvent::Stored { tier, run: BlockRun { chain, start, end } })
    }

    /// Any run of any text, held or not.
    fn removed(&self, choices: &mut Choices<'_>) -> KvEvent {
        let tier = TierId(choices.below(MAX_TIERS as u32) as u8);
        let chain = choices.of(&self.texts).clone();
        let start = choices.below(chain.blocks());
        let end = start + 1 + choices.below(chain.blocks() - start);
        KvEvent::Removed { tier, run: BlockRun { chain, start, end } }
    }

    /// A run that moves from one tier to another. The source may hold only some of it.
    fn moved(&self, source: SourceId, choices: &mut Choices<'_>) -> Vec<KvEvent> {
        let Some(KvEvent::Stored { tier, run }) = self.stored(source, choices) else {
            return Vec::new();
        };
        let from = TierId(choices.below(MAX_TIERS as u32) as u8);
        vec![KvEvent::Stored { tier, run: run.clone() }, KvEvent::Removed { tier: from, run }]
    }

    /// A source that is wrong about depths and about what it holds. If the index notices, it gets a new
    /// snapshot.
    fn lie(&mut self, choices: &mut Choices<'_>) {
        if !self.has_liar {
            return;
        }
        let chain = choices.of(&self.texts);
        let blocks = chain.blocks();
        let by = 1 + choices.below(blocks);
        let Some(end) = blocks.checked_sub(by).filter(|&end| end > 0) else { return };
        let start = choices.below(end);
        let at = choices.below(end);
        let name = |block| chain.hash(if block < at { block } else { block + by });
        let wrong = Chain::from_wire(BLOCK, 0, (0..end).map(name).collect());
        let run = BlockRun { chain: wrong, start, end };
        let tier = TierId(choices.below(MAX_TIERS as u32) as u8);
        let event = match choices.below(4) {
            0 => KvEvent::Removed { tier, run },
            _ => KvEvent::Stored { tier, run },
        };
        let (epoch, seq) = self.index.position(LIAR).expect("a known source");
        let batch = self.sent(LIAR, epoch, seq + 1, vec![event]);
        if self.index.apply(&batch).is_err() {
            self.calm_liar();
        }
    }

    fn calm_liar(&mut self) {
        let nothing = Snapshot { source: LIAR, epoch: 1, seq: 0, runs: Vec::new() };
        self.index.replace(&nothing).expect("nothing can be stored");
    }

    fn check_digest(&self, source: SourceId) {
        assert_eq!(self.index.position(source), self.seqs.get(&source).copied());
        let Some(held) = self.held.get(&source) else { return };
        let mut digest = Digest::default();
        for &(tier, hash) in held {
            let chain = Chain::from_wire(1, 0, vec![hash]);
            digest.add(tier, &BlockRun { chain, start: 0, end: 1 });
        }
        assert_eq!(self.index.digest(source), digest, "digest of {source}");
    }

    /// The blocks of a prompt that each source holds from its start without a gap.
    fn look_up(&self, text: usize, cut: u8) {
        let chain = &self.texts[text];
        let tokens = chain.tokens().saturating_sub(u32::from(cut)).max(1);
        let prompt = TokenBlocks::new(chain.clone(), tokens);
        let mut overlap = Overlap::default();
        self.index.overlap(&prompt, &mut overlap);
        let honest = overlap.entries().iter().filter(|entry| entry.source != LIAR);
        let seen: Vec<_> = honest.map(|entry| (entry.source, entry.by_tier)).collect();
        let of_source = |(source, held): (&SourceId, &Held)| {
            let mut by_tier = [0; MAX_TIERS];
            for block in 0..prompt.reusable_blocks() {
                let hash = chain.hash(block);
                let nearest = (0..MAX_TIERS).find(|&t| held.contains(&(TierId(t as u8), hash)));
                let Some(tier) = nearest else { break };
                by_tier[tier] += 1;
            }
            (by_tier != [0; MAX_TIERS]).then_some((*source, by_tier))
        };
        let expected: Vec<_> = self.held.iter().filter_map(of_source).collect();
        assert_eq!(seen, expected, "text {text}, {tokens} tokens");
    }

    /// Everything, and that nothing is left when all sources are gone.
    fn check(mut self) {
        for source in HONEST {
            self.check_digest(source);
        }
        for text in 0..TEXTS.len() {
            self.look_up(text, 0);
        }
        if !self.has_liar {
            self.index.check();
        }
        for source in HONEST.into_iter().chain([LIAR]) {
            self.index.forget(source);
        }
        assert_eq!(self.index.runs(), 0, "runs without a holder");
    }
}
