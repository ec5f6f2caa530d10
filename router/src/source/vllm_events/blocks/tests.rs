use super::*;
use warmpath_core::block::hash_blocks;
use warmpath_core::event::KvBatch;
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::routing::index::PrefixIndex;

const SIZE: u32 = 2;

fn hash(number: i128) -> EngineHash {
    EngineHash::Int(number)
}

/// Blocks named `from..` with the tokens `2n, 2n + 1`, after block `from - 1`.
fn stored(from: u32, to: u32, salt: Option<&str>) -> Stored {
    let keys =
        |n| (n == 0).then(|| salt.map(|salt| vec![ExtraKey::Text(salt.to_owned())])).flatten();
    Stored {
        hashes: (from..to).map(|n| hash(n.into())).collect(),
        parent: (from > 0).then(|| hash(i128::from(from) - 1)),
        token_ids: (from * SIZE..to * SIZE).collect(),
        block_size: SIZE,
        medium: Some("GPU".to_owned()),
        extra_keys: Some((from..to).map(keys).collect()),
        ..Stored::default()
    }
}

fn removed(numbers: &[i128]) -> Event {
    let hashes = numbers.iter().map(|&number| hash(number)).collect();
    Event::Removed(Removed { hashes, medium: Some("GPU".to_owned()), ..Removed::default() })
}

/// An index that follows the events of one engine.
struct Followed {
    blocks: Blocks,
    index: PrefixIndex,
    seq: u64,
}

impl Followed {
    fn new(salt: Option<&str>, total: Option<u64>) -> Self {
        let mut index = PrefixIndex::default();
        let source = SourceId::Worker(WorkerId(0));
        let empty = warmpath_core::event::Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() };
        index.replace(&empty).unwrap();
        let blocks = Blocks::new(SIZE, "m", salt.map(str::to_owned), total);
        Self { blocks, index, seq: 0 }
    }

    fn apply(&mut self, events: Vec<Event>) -> usize {
        let batch = Batch { ts: 0.0, events, data_parallel_rank: None };
        let events = self.blocks.apply(batch).unwrap();
        let count = events.len();
        self.seq += 1;
        let source = SourceId::Worker(WorkerId(0));
        self.index.apply(&KvBatch { source, epoch: 1, seq: self.seq, events }).unwrap();
        self.index.check();
        count
    }

    fn dropped(&mut self) -> Vec<(&'static str, u64)> {
        self.blocks.take_dropped().collect()
    }

    /// Checks that the index has these blocks of the text `0, 1, 2, ..` in HBM, and no other block.
    fn holds(&self, salt: &str, places: impl IntoIterator<Item = u32>) {
        let tokens: Vec<u32> = (0..1_000).collect();
        let chain = hash_blocks(&ScopePlan::new(salt, "m", "", SIZE), &tokens);
        let mut expected = warmpath_core::event::Digest::default();
        for start in places {
            let run = BlockRun { chain: chain.clone(), start, end: start + 1 };
            expected.add(TierId(0), &run);
        }
        assert_eq!(self.index.digest(SourceId::Worker(WorkerId(0))), expected);
        assert_eq!(self.blocks.held()[0], expected.blocks);
    }
}

#[test]
fn the_blocks_of_an_engine_get_the_names_that_requests_have() {
    let mut all = Followed::new(None, None);
    all.apply(vec![Event::Stored(stored(0, 200, Some("s")))]);
    all.holds("s", 0..200);
    // Across anchors, one by one and from the end, as engines do.
    assert_eq!(all.apply(vec![Event::Stored(stored(200, 210, None))]), 1);
    all.holds("s", 0..210);
    let ends: Vec<Event> = (100..210).rev().map(|n| removed(&[n])).collect();
    assert_eq!(all.apply(ends), 1, "one stretch");
    all.holds("s", 0..100);
    all.apply(vec![Event::Stored(stored(100, 101, None)), removed(&[100]), removed(&[99])]);
    all.holds("s", 0..99);
    assert_eq!(all.blocks.by_hash.len(), 99);
    assert_eq!(all.dropped(), []);
    all.apply(vec![Event::Cleared]);
    all.holds("s", 0..0);
    assert_eq!((all.blocks.by_hash.len(), all.blocks.blocks.len()), (0, 0));
}

#[test]
fn a_block_that_is_there_twice_leaves_twice() {
    let mut all = Followed::new(None, None);
    let twice = || Event::Stored(stored(0, 3, Some("s")));
    all.apply(vec![twice(), twice()]);
    all.apply(vec![removed(&[2, 1, 0])]);
    all.holds("s", 0..3);
    all.apply(vec![removed(&[2, 1, 0]), removed(&[2, 1, 0])]);
    all.holds("s", 0..0);
    assert!(all.blocks.by_hash.is_empty());
}

#[test]
fn a_block_in_the_middle_may_leave_and_come_back() {
    let mut all = Followed::new(None, None);
    all.apply(vec![Event::Stored(stored(0, 4, Some("s"))), removed(&[1])]);
    all.holds("s", [0, 2, 3]);
    all.apply(vec![removed(&[0])]);
    all.holds("s", [2, 3]);
    all.apply(vec![Event::Stored(stored(0, 2, Some("s")))]);
    all.holds("s", 0..4);
}

#[test]
fn what_cannot_be_named_is_dropped_and_counted() {
    let mut all = Followed::new(None, None);
    all.apply(vec![Event::Stored(stored(5, 8, None))]);
    assert_eq!(all.dropped(), [("parent", 3)]);
    let keys =
        |keys: Vec<ExtraKey>| Stored { extra_keys: Some(vec![Some(keys)]), ..stored(0, 1, None) };
    let two = vec![ExtraKey::Text("a".to_owned()), ExtraKey::Text("b".to_owned())];
    let image =
        Stored { extra_keys: Some(vec![Some(vec![ExtraKey::Other])]), ..stored(1, 2, None) };
    all.apply(vec![
        Event::Stored(keys(two)),
        Event::Stored(stored(0, 1, Some("s"))),
        Event::Stored(image),
        Event::Stored(Stored { lora_name: Some("l".to_owned()), ..stored(1, 2, None) }),
    ]);
    assert_eq!(all.dropped(), [("keys", 3)]);
    let elsewhere = Stored { locality: Some("REMOTE".to_owned()), ..stored(1, 2, None) };
    let tape = Stored { medium: Some("TAPE".to_owned()), ..stored(1, 2, None) };
    let torn = Stored { token_ids: vec![2, 3, 4], ..stored(1, 2, None) };
    let far =
        Stored { medium: Some("CPU".to_owned()), token_ids: Vec::new(), ..stored(1, 2, None) };
    all.apply([elsewhere, tape, torn, far].map(Event::Stored).into());
    assert_eq!(all.dropped(), [("tokens", 2), ("medium", 2)]);
    all.apply(vec![removed(&[77])]);
    all.holds("s", 0..1);
}

#[test]
fn a_known_block_needs_no_tokens_in_a_lower_tier() {
    let mut all = Followed::new(None, None);
    let lower = Stored {
        medium: Some("CPU".to_owned()),
        parent: None,
        token_ids: Vec::new(),
        ..stored(0, 3, None)
    };
    all.apply(vec![Event::Stored(stored(0, 3, Some("s"))), Event::Stored(lower)]);
    assert_eq!((all.blocks.held(), all.dropped()), ([3, 3, 0], Vec::new()));
    all.apply(vec![removed(&[2, 1, 0])]);
    assert_eq!(all.blocks.held(), [0, 3, 0]);
    all.apply(vec![Event::Stored(stored(0, 1, Some("s")))]);
    assert_eq!(all.blocks.held(), [1, 3, 0]);
}

#[test]
fn one_group_of_caches_is_followed() {
    let mut all = Followed::new(None, None);
    let group = |group, kind: &str| Stored {
        group_idx: Some(group),
        spec_kind: Some(kind.to_owned()),
        ..stored(0, 2, Some("s"))
    };
    all.apply(vec![
        Event::Stored(group(0, "sliding_window")),
        Event::Stored(group(1, "full_attention")),
    ]);
    all.holds("s", 0..2);
    assert_eq!(all.dropped(), [("group", 2)]);
    let gone = |group_idx| {
        let hashes = vec![hash(1)];
        Event::Removed(Removed { hashes, medium: None, group_idx: Some(group_idx), locality: None })
    };
    all.apply(vec![gone(0)]);
    all.holds("s", 0..2);
    all.apply(vec![gone(1)]);
    all.holds("s", 0..1);
}

#[test]
fn an_engine_that_names_no_salt_needs_a_router_with_one() {
    let old = || Event::Stored(Stored { extra_keys: None, ..stored(0, 2, None) });
    let mut all = Followed::new(Some("only"), None);
    all.apply(vec![old()]);
    all.holds("only", 0..2);
    let mut blocks = Blocks::new(SIZE, "m", None, None);
    let batch = Batch { ts: 0.0, events: vec![old()], data_parallel_rank: None };
    let why = blocks.apply(batch).unwrap_err();
    assert!(why.starts_with("its KV events do not say which cache_salt"), "{why}");
    let other = Event::Stored(Stored { block_size: 4, ..stored(0, 2, Some("s")) });
    let batch = Batch { ts: 0.0, events: vec![other], data_parallel_rank: None };
    assert_eq!(
        blocks.apply(batch).unwrap_err(),
        "its KV events have blocks of 4 tokens, expected 2"
    );
    // A request without a salt shares with no request of this router.
    let mut all = Followed::new(Some("only"), None);
    all.apply(vec![Event::Stored(stored(0, 2, None))]);
    all.holds("", 0..2);
}

#[test]
fn memory_is_bounded_by_what_the_engine_can_hold() {
    let mut all = Followed::new(None, Some(10));
    all.apply(vec![Event::Stored(stored(0, 15, Some("s")))]);
    all.holds("s", 0..10);
    // The rest of the event lacks its parent then.
    assert_eq!(all.dropped(), [("parent", 4), ("room", 1)]);
    for _ in 0..100 {
        all.apply(vec![removed(&[9]), Event::Stored(stored(9, 10, None))]);
    }
    assert!(all.blocks.blocks.len() < 15, "slots are used again");
}

/// A liar may send anything. The index takes it, and has what was counted here.
#[test]
fn random_events_never_break_the_index() {
    for seed in 0..200u64 {
        let mut state = seed;
        let mut random = move |most: u64| {
            state = warmpath_core::rng::mix64(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            state % most
        };
        let mut all = Followed::new(None, Some(40));
        for _ in 0..60 {
            let mut events = Vec::new();
            for _ in 0..=random(4) {
                // Blocks have few names, so that they meet in wrong places.
                let name = |n: u64| hash((n % 60).into());
                let medium = ["GPU", "CPU", "STORAGE"][random(3) as usize].to_owned();
                let first = random(60);
                let count = random(6);
                let hashes = (first..first + count).map(name).collect();
                events.push(match random(8) {
                    0..=3 => {
                        let tokens = count * u64::from(SIZE);
                        let parent = (random(3) > 0).then(|| name(first + random(60)));
                        Event::Stored(Stored {
                            hashes,
                            parent,
                            token_ids: (0..tokens as u32).map(|_| random(3) as u32).collect(),
                            block_size: SIZE,
                            medium: Some(medium),
                            extra_keys: Some(vec![None; count as usize]),
                            ..Stored::default()
                        })
                    }
                    4..=6 => {
                        let medium = Some(medium);
                        Event::Removed(Removed { hashes, medium, ..Removed::default() })
                    }
                    _ => match random(10) {
                        0 => Event::Cleared,
                        _ => removed(&[first.into()]),
                    },
                });
            }
            all.apply(events);
            let linked = all.blocks.by_hash.len() + all.blocks.free.len();
            assert_eq!(linked, all.blocks.blocks.len(), "no slot is lost");
        }
    }
}
