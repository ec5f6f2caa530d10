//! The prefix index, case by case: gaps, tiers, wrong messages from sources, and the comparison with a
//! source's own blocks. `index_model.rs` compares it with a model.

use crate::common::{Form, Texts, between, off_the_wire, run};
use std::panic::AssertUnwindSafe;
use warmpath_core::block::{BlockRun, Chain, ScopePlan, TokenBlocks, hash_blocks, hash_segments};
use warmpath_core::engine::store::BlockStore;
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::event::{KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{SourceId, TierId, WorkerId};
use warmpath_core::rng::Rng;
use warmpath_core::routing::index::{Overlap, PrefixIndex, SequenceGap};
use warmpath_core::runs::ANCHOR;
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

const A: SourceId = SourceId::Worker(WorkerId(0));
const B: SourceId = SourceId::Worker(WorkerId(1));

fn text(seed: u64, blocks: u32) -> Chain {
    let segment = Segment::Text { seed, tokens: blocks * 16 + 1 };
    hash_segments(&ScopePlan::new("", "", "", 16), &[segment])
}

fn depth(index: &PrefixIndex, chain: &Chain, source: SourceId) -> u32 {
    let mut overlap = Overlap::default();
    index.overlap(&TokenBlocks::new(chain.clone(), chain.tokens()), &mut overlap);
    overlap.get(source).map_or(0, |entry| entry.blocks())
}

fn batch(source: SourceId, seq: u64, events: Vec<KvEvent>) -> KvBatch {
    KvBatch { source, epoch: 1, seq, events }
}

fn known(sources: &[SourceId]) -> PrefixIndex {
    let mut index = PrefixIndex::default();
    for &source in sources {
        index.replace(&Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() }).unwrap();
    }
    index
}

#[test]
fn a_block_removed_and_stored_again_restores_the_whole_prefix() {
    let tier = TierId::HBM;
    for blocks in [3, 64, 65, 200] {
        for wire in [false, true] {
            let form = |run: BlockRun| if wire { off_the_wire(&run) } else { run };
            for at in [0, 1, blocks / 2, blocks - 1] {
                let chain = text(1, blocks);
                let mut index = known(&[A, B]);
                let all = form(run(&chain, 0, blocks));
                let one = form(run(&chain, at, at + 1));
                let stored = |run: &BlockRun| vec![KvEvent::Stored { tier, run: run.clone() }];
                index.apply(&batch(A, 1, stored(&all))).unwrap();
                index.apply(&batch(B, 1, stored(&all))).unwrap();
                let removed = vec![KvEvent::Removed { tier, run: one.clone() }];
                index.apply(&batch(A, 2, removed)).unwrap();
                let case = format!("block {at} of {blocks}, wire {wire}");
                assert_eq!(depth(&index, &chain, A), at, "{case}");
                assert_eq!(depth(&index, &chain, B), blocks, "{case}: the other source");
                index.apply(&batch(A, 3, stored(&one))).unwrap();
                assert_eq!(depth(&index, &chain, A), blocks, "{case}: stored again");
                assert_eq!(index.digest(A), index.digest(B), "{case}");
                index.check();
            }
        }
    }
}

#[test]
fn a_block_in_two_tiers_counts_in_the_nearer_one() {
    let chain = text(1, 4);
    let mut index = known(&[A]);
    let stored = |tier, start, end| KvEvent::Stored { tier, run: run(&chain, start, end) };
    let events = vec![stored(TierId::HOST, 0, 4), stored(TierId::HBM, 1, 2)];
    index.apply(&batch(A, 1, events)).unwrap();
    let mut overlap = Overlap::default();
    index.overlap(&TokenBlocks::new(chain.clone(), 65), &mut overlap);
    assert_eq!(overlap.entries()[0].by_tier, [1, 3, 0, 0]);
    assert_eq!(index.digest(A).blocks, 5, "five pairs of tier and block");
}

#[test]
fn the_last_token_of_a_prompt_is_never_found() {
    let chain = text(1, 4);
    let mut index = known(&[A]);
    let all = KvEvent::Stored { tier: TierId::HBM, run: run(&chain, 0, 4) };
    index.apply(&batch(A, 1, vec![all])).unwrap();
    for (tokens, found) in [(1, 0), (16, 0), (17, 1), (32, 1), (33, 2), (64, 3), (65, 4)] {
        let mut overlap = Overlap::default();
        index.overlap(&TokenBlocks::new(chain.clone(), tokens), &mut overlap);
        let blocks = overlap.get(A).map_or(0, |entry| entry.blocks());
        assert_eq!(blocks, found, "{tokens} tokens");
    }
}

#[test]
fn gaps_are_reported_and_change_nothing() {
    let chain = text(1, 4);
    let stored = || vec![KvEvent::Stored { tier: TierId::HBM, run: run(&chain, 0, 4) }];
    let mut index = known(&[A]);
    let unknown = index.apply(&batch(B, 1, stored()));
    assert_eq!(unknown, Err(SequenceGap::UnknownSource { source_id: B }));
    index.apply(&batch(A, 1, Vec::new())).unwrap();
    for (epoch, seq, what) in [
        (1, 3, "a batch is missing"),
        (1, 1, "repeated"),
        (2, 2, "restarted"),
        (0, 2, "of the epoch before"),
    ] {
        let late = KvBatch { source: A, epoch, seq, events: stored() };
        let expected = SequenceGap::Missing {
            source_id: A,
            epoch: 1,
            expected: 2,
            got_epoch: epoch,
            got: seq,
        };
        assert_eq!(index.apply(&late), Err(expected), "{what}");
        assert_eq!(depth(&index, &chain, A), 0, "{what}");
        assert_eq!(index.position(A), Some((1, 1)), "{what}");
    }
    index.apply(&batch(A, 2, stored())).unwrap();
    assert_eq!(depth(&index, &chain, A), 4);
}

#[test]
fn a_run_with_an_unknown_parent_is_an_error_until_the_next_snapshot() {
    let chain = text(1, 100);
    for start in [1, 63, 64, 65, 99] {
        let mut index = known(&[A]);
        let below = off_the_wire(&run(&chain, start, 100));
        let orphan = vec![KvEvent::Stored { tier: TierId::HBM, run: below }];
        let error = index.apply(&batch(A, 1, orphan));
        assert_eq!(error, Err(SequenceGap::UnknownParent { source_id: A, depth: start }));
        index.check();
        let runs = vec![(TierId::HBM, run(&chain, 0, 100))];
        index.replace(&Snapshot { source: A, epoch: 1, seq: 5, runs }).unwrap();
        assert_eq!(depth(&index, &chain, A), 100);
        index.apply(&batch(A, 6, vec![KvEvent::Cleared])).unwrap();
        assert_eq!((depth(&index, &chain, A), index.runs()), (0, 0));
    }
}

/// The hash right before the run is right, those before it are made up. If the index took the run, it
/// would later register other blocks under the made-up hashes, and look-ups would miss them.
#[test]
fn a_run_with_wrong_hashes_before_it_is_a_gap() {
    let chain = text(1, 200);
    let made_up = text(2, 200);
    let name = |block| if block < 99 { made_up.hash(block) } else { chain.hash(block) };
    let sent = Chain::from_wire(16, 64, (64..110).map(name).collect());
    let mut index = known(&[A, B]);
    for source in [A, B] {
        let runs = vec![(TierId::HBM, off_the_wire(&run(&chain, 0, 100)))];
        index.replace(&Snapshot { source, epoch: 1, seq: 0, runs }).unwrap();
    }
    let stored = KvEvent::Stored { tier: TierId::HOST, run: run(&sent, 100, 110) };
    let error = index.apply(&batch(A, 1, vec![stored]));
    assert_eq!(error, Err(SequenceGap::UnknownParent { source_id: A, depth: 100 }));
    index.check();
    assert_eq!(depth(&index, &chain, B), 100);
}

#[test]
fn forgetting_a_source_keeps_the_blocks_of_others() {
    let chain = text(1, 10);
    let mut index = known(&[A, B]);
    for (source, end) in [(A, 10), (B, 6)] {
        let stored = KvEvent::Stored { tier: TierId::HBM, run: run(&chain, 0, end) };
        index.apply(&batch(source, 1, vec![stored])).unwrap();
    }
    index.forget(A);
    assert_eq!((depth(&index, &chain, A), depth(&index, &chain, B)), (0, 6));
    assert_eq!(index.position(A), None);
    index.check();
}

#[test]
fn an_answer_sent_block_by_block_becomes_a_few_runs() {
    let scope = ScopePlan::new("", "", "", 4);
    let text: Vec<u32> = (0..4 * 400).collect();
    let whole = TokenBlocks::whole(hash_blocks(&scope, &text));
    let source = SourceId::Worker(WorkerId(0));
    let mut index = PrefixIndex::default();
    let empty = Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() };
    index.replace(&empty).expect("an empty snapshot");
    for block in 0..400u32 {
        let base = block.max(1) - 1;
        let base = base - base % ANCHOR;
        let hashes = (base..=block).map(|i| whole.chain().hash(i)).collect();
        let chain = Chain::from_wire(4, base, hashes);
        let run = BlockRun { chain, start: block, end: block + 1 };
        let events = vec![KvEvent::Stored { tier: TierId::HBM, run }];
        let batch = KvBatch { source, epoch: 1, seq: u64::from(block) + 1, events };
        index.apply(&batch).expect("in order");
    }
    index.check();
    let mut overlap = Overlap::default();
    index.overlap(&whole, &mut overlap);
    // The last block is not reusable.
    assert_eq!(overlap.entries()[0].blocks(), 399);
    // 400 blocks in runs of at most 64.
    assert_eq!(index.runs(), 7);
}

/// A store and an index cut blocks into runs differently. The comparison must not depend on the cuts,
/// and must find one block that differs.
#[test]
fn the_index_is_compared_with_the_blocks_of_a_store() {
    let mut rng = Rng::named(7, &[1]);
    let texts = Texts::random(&mut rng, Form::Described, 6, 40);
    let mut store = BlockStore::flat(120, EvictionRule::Lru, 4);
    let mut index = known(&[A, B]);
    for seq in 1..300 {
        let chain = texts.pick_full(&mut rng).expect("a text with a full block");
        let start = between(&mut rng, 0, chain.blocks() - 1);
        let end = between(&mut rng, start + 1, chain.blocks());
        store.keep(Instant::START, &run(chain, start, end)).expect("it fits");
        index.apply(&batch(A, seq, store.take_events())).unwrap();
        index.check_against([(A, store.tallies())].into_iter());
    }
    let (tier, held) = store.contents().pop().expect("it holds blocks");
    let last = BlockRun { start: held.end - 1, ..held };
    for event in [
        KvEvent::Removed { tier, run: last.clone() },
        KvEvent::Stored { tier: TierId::HOST, run: last.clone() },
    ] {
        let mut index = index.clone();
        index.apply(&batch(A, 300, vec![event.clone()])).unwrap();
        let differs = || index.check_against([(A, store.tallies())].into_iter());
        assert!(std::panic::catch_unwind(AssertUnwindSafe(differs)).is_err(), "{event:?}");
    }
}
