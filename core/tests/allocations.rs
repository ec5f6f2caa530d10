//! A decision takes no memory once the router has warmed up: its buffers are used again. Counted by
//! a global allocator, which is why these tests are a separate binary.

#[path = "../benches/common/mod.rs"]
mod common;

use common::Deciding;
use std::collections::VecDeque;
use warmpath_core::block::{BlockRun, ScopePlan, hash_blocks};
use warmpath_core::event::{KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{SourceId, TierId, WorkerId};
use warmpath_core::routing::Reliability;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::routing::input::Action;
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};
use warmpath_core::tokens::{Segment, materialize};

const WARM_UP: usize = 5_000;
const COUNTED: usize = 2_000;

#[test]
fn a_decision_allocates_nothing_after_warm_up() {
    let with = |what: Reliability| PolicyConfig::ALL.iter().map(move |&policy| (policy, what));
    for (policy, what) in with(Reliability::default()).chain(with(Reliability::on())) {
        let mut deciding = Deciding::with(64, policy, what);
        let (mut deciding_did, mut settling_did) = (0, 0);
        for i in 0..WARM_UP + COUNTED {
            let settled = allocation_counter::measure(|| deciding.settle());
            let request = deciding.request();
            let decided = allocation_counter::measure(|| deciding.decide(request));
            if i >= WARM_UP {
                deciding_did += decided.count_total;
                settling_did += settled.count_total;
            }
        }
        assert_eq!(
            (deciding_did, settling_did),
            (0, 0),
            "{policy}: allocations of {COUNTED} requests"
        );
    }
}

/// Eight workers with room for one request each, and four requests more that wait.
#[test]
fn holding_a_request_allocates_nothing_after_warm_up() {
    let rule = WaitForRoom { max_active: 1, ..WaitForRoom::DEFAULT };
    let mut deciding = Deciding::new(8, rule.into());
    let mut sent = VecDeque::new();
    let (mut allocated, mut held) = (0, 0);
    for i in 0..WARM_UP + COUNTED {
        let request = deciding.request();
        let arrived = allocation_counter::measure(|| deciding.decide(request));
        match deciding.actions() {
            [Action::Dispatch { id, .. }] => sent.push_back(*id),
            [Action::Hold { .. }] => held += 1,
            other => panic!("{other:?}"),
        }
        let mut finished = 0;
        if i >= 12 {
            let first = sent.pop_front().expect("eight are under way");
            finished = allocation_counter::measure(|| deciding.finish(first)).count_total;
            let [Action::Dispatch { id, .. }] = deciding.actions() else {
                panic!("{:?}", deciding.actions());
            };
            sent.push_back(*id);
        }
        if i >= WARM_UP {
            allocated += arrived.count_total + finished;
        }
    }
    assert_eq!((allocated, held), (0, WARM_UP + COUNTED - 8));
}

/// Blocks of a prompt in the churn.
const RUN: u32 = 256;
/// Prompts that the worker holds: a million blocks.
const HELD: u64 = 4_096;

/// A worker that stores prompts and drops the oldest ones.
struct Churn {
    index: PrefixIndex,
    scope: ScopePlan,
    seq: u64,
    /// The first prompt that it holds, and the next one.
    held: std::ops::Range<u64>,
}

impl Churn {
    const SOURCE: SourceId = SourceId::Worker(WorkerId(0));

    fn apply(&mut self, prompt: u64, event: impl FnOnce(BlockRun) -> KvEvent) {
        let text = [Segment::Text { seed: prompt, tokens: RUN * 16 }];
        let chain = hash_blocks(&self.scope, &materialize(&text, RUN * 16));
        let events = vec![event(BlockRun { chain, start: 0, end: RUN })];
        self.seq += 1;
        let batch = KvBatch { source: Self::SOURCE, epoch: 1, seq: self.seq, events };
        self.index.apply(&batch).expect("batches in order");
    }

    fn store(&mut self) {
        self.apply(self.held.end, |run| KvEvent::Stored { tier: TierId::HBM, run });
        self.held.end += 1;
    }

    /// Also the control's: an index that is not told that the prompt is gone.
    fn drop_oldest(&mut self, is_told: bool) {
        if is_told {
            self.apply(self.held.start, |run| KvEvent::Removed { tier: TierId::HBM, run });
        }
        self.held.start += 1;
    }

    /// What a part of the run adds to the memory in use, in bytes.
    fn adds(&mut self, part: impl FnOnce(&mut Self)) -> i64 {
        allocation_counter::measure(|| part(self)).bytes_current
    }
}

/// Bytes of an index while blocks come and go.
struct Bytes {
    filled: i64,
    /// More, in each of two turns.
    turns: [i64; 2],
    /// In the end, when all blocks are gone.
    left: i64,
}

impl Bytes {
    /// A worker with `held` prompts stores four times as many, and drops as many, twice. One in `untold` is dropped
    /// without an event.
    fn measure(held: u64, untold: Option<u64>) -> Self {
        let scope = ScopePlan::new("", "", "", 16);
        let mut index = PrefixIndex::default();
        let empty = Snapshot { source: Churn::SOURCE, epoch: 1, seq: 0, runs: Vec::new() };
        index.replace(&empty).expect("an empty snapshot");
        let mut churn = Churn { index, scope, seq: 0, held: 0..0 };
        let drop_oldest = |churn: &mut Churn| {
            let is_told = untold.is_none_or(|one_in| !churn.held.start.is_multiple_of(one_in));
            churn.drop_oldest(is_told);
        };
        let filled = churn.adds(|churn| (0..held).for_each(|_| churn.store()));
        let turn = |churn: &mut Churn| {
            for _ in 0..4 * held {
                churn.store();
                drop_oldest(churn);
            }
        };
        let turns = [churn.adds(turn), churn.adds(turn)];
        let freed = churn.adds(|churn| (0..held).for_each(|_| drop_oldest(churn)));
        Self { filled, turns, left: filled + turns[0] + turns[1] + freed }
    }

    fn live(&self) -> i64 {
        self.filled + self.turns[0]
    }

    /// By more than a hundredth in the second turn.
    fn grow(&self) -> bool {
        self.turns[1].abs() * 100 > self.live()
    }
}

#[test]
fn an_index_does_not_grow_while_blocks_come_and_go() {
    let bytes = Bytes::measure(HELD, None);
    let (blocks, live, left) = (HELD as i64 * i64::from(RUN), bytes.live(), bytes.left);
    let each = bytes.filled / blocks;
    println!("{each} bytes a block; {:?} more in two turns; {left} left of {live}", bytes.turns);
    assert!(bytes.filled <= 160 * blocks + (64 << 20), "{each} bytes a block");
    assert!(!bytes.grow(), "{:?} bytes more on {live}", bytes.turns);
    // Tables keep their room.
    assert!(left <= 4 << 20, "{left} bytes left of {live}");
}

/// The control: an index that does not hear of some of the blocks that go is found to grow, and not to end empty.
#[test]
fn an_index_that_is_not_told_what_goes_grows() {
    for untold in [1, 16] {
        let bytes = Bytes::measure(HELD / 4, Some(untold));
        println!(
            "one in {untold}: {:?} more on {}, {} left",
            bytes.turns,
            bytes.live(),
            bytes.left
        );
        assert!(bytes.grow(), "one in {untold}: {:?} on {}", bytes.turns, bytes.live());
        assert!(bytes.left > bytes.filled / 4, "{} left of {}", bytes.left, bytes.live());
    }
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 10])));
    assert_eq!(counted.count_total, 1);
}
