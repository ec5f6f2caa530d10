//! Runs, batches and snapshots are read as they were written, and no invalid message makes a reader
//! panic.

use warmpath_core::block::{BlockRun, Chain, hash_blocks};
use warmpath_core::event::{Digest, KvBatch, KvEvent, LoadReport, Snapshot};
use warmpath_core::id::{TierId, WorkerId};
use warmpath_core::routing::index::PrefixIndex;
use warmpath_proto::convert::{self, DecodeError, SnapshotReader};
use warmpath_proto::generate::scope;
use warmpath_proto::v1;

const W: WorkerId = WorkerId(3);

fn chain(tokens: u32) -> Chain {
    let tokens: Vec<u32> = (0..tokens).collect();
    hash_blocks(&scope("", "m", 2), &tokens)
}

fn run(chain: &Chain, start: u32, end: u32) -> BlockRun {
    BlockRun { chain: chain.clone(), start, end }
}

#[test]
fn runs_are_read_as_they_were_written() {
    let chain = chain(600);
    for (start, base) in [(0, 0), (1, 0), (63, 0), (64, 0), (65, 64), (128, 64), (130, 128)] {
        let sent = run(&chain, start, 300);
        let wire = convert::run_to_wire(TierId::HOST, &sent);
        assert_eq!((wire.start, wire.base), (start, base));
        assert_eq!(convert::run_from_wire(2, &wire), Ok((TierId::HOST, sent)));
    }
}

#[test]
fn an_invalid_run_is_an_error() {
    let good = convert::run_to_wire(TierId::HBM, &run(&chain(400), 70, 90));
    let with = |change: fn(&mut v1::Run)| {
        let mut bad = good.clone();
        change(&mut bad);
        convert::run_from_wire(2, &bad).unwrap_err()
    };
    assert_eq!(with(|run| run.tier = 4), DecodeError::Tier { tier: 4 });
    assert_eq!(with(|run| run.hashes.clear()), DecodeError::Hashes { bytes: 0 });
    assert_eq!(with(|run| run.hashes.truncate(17)), DecodeError::Hashes { bytes: 17 });
    assert_eq!(with(|run| run.hashes.truncate(16)), DecodeError::Start { start: 70, end: 65 });
    let wrong = DecodeError::Base { start: 70, base: 0, expected: 64 };
    assert_eq!(with(|run| run.base = 0), wrong);
    let mut bad = good.clone();
    bad.start = u32::MAX;
    bad.base = u32::MAX - 63;
    bad.hashes = vec![7; 16 * 65];
    assert!(matches!(convert::run_from_wire(2, &bad), Err(DecodeError::TooLong { .. })));
}

#[test]
fn an_index_of_sent_batches_equals_one_of_the_batches() {
    let text = chain(800);
    let mut direct = PrefixIndex::default();
    let mut wired = PrefixIndex::default();
    let empty = Snapshot { source: W.into(), epoch: 9, seq: 0, runs: Vec::new() };
    direct.replace(&empty).unwrap();
    wired.replace(&empty).unwrap();
    let stored = |start, end| KvEvent::Stored { tier: TierId::HBM, run: run(&text, start, end) };
    let removed = |start, end| KvEvent::Removed { tier: TierId::HBM, run: run(&text, start, end) };
    let steps = [
        vec![stored(0, 100), stored(100, 101)],
        vec![stored(101, 300)],
        vec![removed(290, 300), stored(290, 400)],
        vec![KvEvent::Stored { tier: TierId::HOST, run: run(&text, 200, 400) }, removed(200, 400)],
    ];
    for (i, events) in steps.into_iter().enumerate() {
        let batch = KvBatch { source: W.into(), epoch: 9, seq: i as u64 + 1, events };
        let sent = convert::batch_to_wire(&batch);
        let read = convert::batch_from_wire(W, 2, &sent).unwrap();
        assert_eq!(read, batch);
        direct.apply(&batch).unwrap();
        wired.apply(&read).unwrap();
        assert_eq!(wired.digest(W.into()), direct.digest(W.into()), "after batch {}", i + 1);
    }
    assert_eq!(wired.digest(W.into()).blocks, 400);
}

#[test]
fn a_snapshot_is_cut_in_chunks_and_joined_again() {
    let text = chain(200_000);
    let runs = vec![
        (TierId::HBM, run(&text, 0, 40_000)),
        (TierId::HBM, run(&text, 40_000, 90_000)),
        (TierId::HOST, run(&text, 90_000, 100_000)),
    ];
    let sent = Snapshot { source: W.into(), epoch: 5, seq: 77, runs };
    let chunks = convert::snapshot_to_wire(&sent);
    assert!(chunks.len() > 2);
    for chunk in &chunks {
        let bytes: usize = chunk.runs.iter().map(|run| run.hashes.len()).sum();
        assert!(bytes < 600_000, "{bytes} bytes in a chunk");
    }
    let mut reader = SnapshotReader::new(W, 2);
    let (last, firsts) = chunks.split_last().unwrap();
    for chunk in firsts {
        assert_eq!(reader.push(chunk), Ok(None));
    }
    let read = reader.push(last).unwrap().expect("the last chunk completes it");
    assert_eq!((read.epoch, read.seq), (5, 77));
    let digest = |snapshot: &Snapshot| {
        let mut digest = Digest::default();
        snapshot.runs.iter().for_each(|(tier, run)| digest.add(*tier, run));
        digest
    };
    assert_eq!(digest(&read), digest(&sent));
    let mut index = PrefixIndex::default();
    index.replace(&read).unwrap();
    assert_eq!(index.digest(W.into()), digest(&sent));
}

#[test]
fn an_empty_snapshot_is_one_chunk_and_a_torn_one_an_error() {
    let empty = Snapshot { source: W.into(), epoch: 5, seq: 0, runs: Vec::new() };
    let chunks = convert::snapshot_to_wire(&empty);
    assert!(matches!(chunks.as_slice(), [chunk] if chunk.last && chunk.runs.is_empty()));
    let mut reader = SnapshotReader::new(W, 2);
    let chunk = |seq, last| v1::SnapshotChunk { epoch: 5, seq, runs: Vec::new(), last };
    assert_eq!(reader.push(&chunk(1, false)), Ok(None));
    let torn = DecodeError::TornSnapshot { epoch: 5, seq: 1, got_epoch: 5, got: 2 };
    assert_eq!(reader.push(&chunk(2, true)), Err(torn));
}

#[test]
fn a_load_report_is_read_as_it_was_written() {
    let report = LoadReport {
        worker: W,
        epoch: 2,
        seq: 3,
        waiting: 4,
        running: 5,
        queued_prefill_tokens: 6,
        blocks_by_tier: [7, 8, 0, 0],
        blocks_in_use: 5,
        digest: Some(Digest { blocks: 15, xor: 9 }),
    };
    let mut wire = convert::load_to_wire(&report);
    assert_eq!(convert::load_from_wire(W, &wire), Ok(report));
    wire.blocks_by_tier.pop();
    assert_eq!(convert::load_from_wire(W, &wire), Err(DecodeError::Tiers { got: 3 }));
}
