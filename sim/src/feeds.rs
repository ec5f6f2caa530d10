//! The feeds of a world's workers, where they are played message by message: both ends of each, what becomes of its
//! messages, and what is counted of them.
//!
//! A worker that says nothing new sends heartbeats. They are played only until its router has confirmed the last
//! batch, and while a fault lasts: the others change nothing, and would keep a world from coming to rest.

use crate::worker_faults::FeedCondition;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use warmpath_core::event::{Digest, KvBatch, LoadReport, Snapshot, WorkerInfo};
use warmpath_core::id::WorkerId;
use warmpath_core::rng::hash_words;
use warmpath_core::routing::feed::{Backoff, DIGEST_MS, HEARTBEAT_MS, SILENCE_MS};
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::time::{Duration, Instant};

pub const SILENCE: Duration = Duration::from_millis(SILENCE_MS);
pub const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS);
pub const DIGEST: Duration = Duration::from_millis(DIGEST_MS);
/// A message that is overtaken comes later by up to this much.
const MOST_LATE_NS: f64 = 20e6;

/// A message of a feed's connection.
#[derive(Debug)]
pub struct FeedMessage {
    pub worker: WorkerId,
    /// A router does not hear what comes over a connection that it has given up.
    pub connection: u32,
    pub what: FeedPart,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are items")]
pub enum FeedPart {
    /// To the worker: the router opens a feed.
    Open,
    /// To the router: no process took the connection, or its process died.
    Closed,
    /// To the router.
    Item(FeedItem),
}

/// What a worker says, as on the wire.
#[derive(Clone, Debug)]
pub enum FeedItem {
    Hello(WorkerInfo),
    Snapshot(Snapshot),
    Batch(KvBatch),
    Load(LoadReport),
    Heartbeat { epoch: u64, seq: u64, digest: Option<Digest> },
    Draining,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fate {
    Lost,
    Doubled,
    Late(Duration),
    Sound,
}

/// A timer of a feed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The worker sends a heartbeat.
    Beat,
    /// The router may have heard nothing for too long.
    Silence,
    /// The router opens the feed again.
    Reopen,
    /// The router no longer waits for answers of a worker that is lost.
    GiveUp,
}

/// Where the router's end of a feed is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Open,
    Opening,
    /// Until it is opened again.
    Closed,
}

/// Both ends of a worker's feed.
#[derive(Debug)]
pub struct Feed {
    pub state: State,
    pub connection: u32,
    /// The life of the worker that the router follows. None: it is lost.
    pub epoch: Option<u64>,
    pub backoff: Backoff,
    /// When the router last heard something.
    pub heard: Instant,
    pub listening: bool,
    /// The last batch that a heartbeat has confirmed since a fault ended: (epoch, seq).
    pub confirmed: Option<(u64, u64)>,
    /// The connection that the worker sends to.
    pub watched: Option<u32>,
    pub sent: u64,
    pub beating: bool,
    /// The batch whose digest was sent last.
    pub digested: Option<(u64, u64)>,
    pub next_digest: Instant,
    /// Since when the worker's last fault is over, as long as the index was not seen to be right since.
    pub sound_since: Option<Instant>,
    /// Whether the router had lost the worker when its fault was over, or lost it then.
    pub was_lost: bool,
    /// What the worker held after these batches, while the index is not seen to be right.
    pub known: BTreeMap<(u64, u64), Digest>,
    /// When the life that the index describes ended, and its epoch.
    pub died: Option<(Instant, u64)>,
}

impl Feed {
    fn open() -> Self {
        Self {
            state: State::Open,
            connection: 1,
            epoch: Some(1),
            backoff: Backoff::default(),
            heard: Instant::START,
            listening: false,
            confirmed: None,
            watched: Some(1),
            sent: 0,
            beating: false,
            digested: None,
            next_digest: Instant::START,
            sound_since: None,
            was_lost: false,
            known: BTreeMap::new(),
            died: None,
        }
    }

    pub fn listens(&self) -> bool {
        self.state != State::Closed
    }
}

/// What became of the feeds of a world.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct FeedCounts {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were lost.
    pub lost: u64,
    /// Messages that arrived twice.
    pub doubled: u64,
    /// Messages that were late.
    pub reordered: u64,
    /// Feeds that were opened again for a new snapshot: after a gap, ..
    pub gaps: u64,
    /// .. or because the index had other blocks than its worker after the same batch.
    pub wrong_digests: u64,
    /// Workers that were lost since their feed was silent, or its connection broke.
    pub lost_workers: u64,
    /// Decisions of rules that look up blocks, while all feeds were well.
    pub steady: u64,
    /// Those of them that expected blocks which their worker did not have.
    pub steady_wrong: u64,
    /// Decisions while a fault lasted, or its worker's blocks were not known to be right since.
    pub troubled: u64,
    /// Those of them that expected blocks which their worker did not have.
    pub troubled_wrong: u64,
    /// The longest time from the end of a worker's faults until the index had what the worker has, of workers
    /// that the router had not lost.
    pub longest_wrong: Duration,
    /// The same of workers that the router had lost.
    pub longest_lost: Duration,
    /// The longest time from the end of a worker's life until the index had none of its blocks.
    pub longest_stale: Duration,
}

/// What a worker holds that begins a life.
pub fn empty(worker: u32, epoch: u64) -> Snapshot {
    Snapshot { source: WorkerId(worker).into(), epoch, seq: 0, runs: Vec::new() }
}

/// The feeds of all workers.
#[derive(Debug)]
pub struct Feeds {
    all: Vec<Feed>,
    timers: BTreeSet<(Instant, u32, Timer)>,
    pub counts: FeedCounts,
    /// What an index has that hears each batch at once.
    pub truth: PrefixIndex,
    seed: u64,
    /// Whether a feed with a gap is opened again. A control switches it off.
    pub resyncs: bool,
}

impl Feeds {
    /// All of them are open, to workers that hold nothing.
    pub fn new(workers: usize, seed: u64) -> Self {
        let mut truth = PrefixIndex::with_digests();
        for i in 0..workers as u32 {
            truth.replace(&empty(i, 1)).expect("an empty snapshot has no parents to miss");
        }
        Self {
            truth,
            all: core::iter::repeat_with(Feed::open).take(workers).collect(),
            timers: BTreeSet::new(),
            counts: FeedCounts::default(),
            seed,
            resyncs: true,
        }
    }

    /// A worker announces a batch. `watched`: its faults are over.
    pub fn announced(&mut self, worker: u32, batch: &KvBatch, watched: bool) {
        self.truth.apply(batch).expect("a worker announces its changes in order");
        if watched && self.get(worker).sound_since.is_some() {
            self.note_truth(worker);
        }
    }

    /// Keeps what the worker has now, to compare it with the index later.
    pub fn note_truth(&mut self, worker: u32) {
        let source = WorkerId(worker).into();
        let (of, digest) = (self.truth.position(source), self.truth.digest(source));
        let of = of.expect("each worker is in the truth");
        self.get(worker).known.insert(of, digest);
    }

    pub fn get(&mut self, worker: u32) -> &mut Feed {
        &mut self.all[worker as usize]
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, ..)| at)
    }

    pub fn take_timer(&mut self) -> Option<(u32, Timer)> {
        self.timers.pop_first().map(|(_, worker, timer)| (worker, timer))
    }

    pub fn arm(&mut self, at: Instant, worker: u32, timer: Timer) {
        self.timers.insert((at, worker, timer));
    }

    /// The router expects to hear of this worker from now on.
    pub fn listen(&mut self, now: Instant, worker: u32) {
        let feed = self.get(worker);
        if feed.listens() {
            feed.heard = now;
            if !core::mem::replace(&mut feed.listening, true) {
                self.arm(now + SILENCE, worker, Timer::Silence);
            }
        }
    }

    /// The worker sends heartbeats from now on.
    pub fn wake(&mut self, now: Instant, worker: u32) {
        if !core::mem::replace(&mut self.get(worker).beating, true) {
            self.arm(now + HEARTBEAT, worker, Timer::Beat);
            self.listen(now, worker);
        }
    }

    /// Whether a worker's index may be wrong, as far as the worker had a fault.
    pub fn is_troubled(&self) -> bool {
        self.all.iter().any(|feed| feed.sound_since.is_some() || feed.state != State::Open)
    }

    /// What becomes of a worker's next message. A hash of its number decides, so no order matters.
    pub fn fate(&mut self, worker: u32, condition: &FeedCondition) -> Fate {
        let feed = &mut self.all[worker as usize];
        feed.sent += 1;
        self.counts.sent += 1;
        let (seed, number) = (self.seed, feed.sent);
        let drawn = |what: u64| {
            let bits = hash_words(&[seed, 0x4645_4544, u64::from(worker), number, what]);
            (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
        };
        if drawn(0) < condition.lossy {
            self.counts.lost += 1;
            Fate::Lost
        } else if drawn(1) < condition.doubled {
            self.counts.doubled += 1;
            Fate::Doubled
        } else if drawn(2) < condition.reordered {
            self.counts.reordered += 1;
            Fate::Late(Duration::from_nanos_f64(drawn(3) * MOST_LATE_NS))
        } else {
            Fate::Sound
        }
    }

    pub fn check_at_rest(&self) {
        for (i, feed) in self.all.iter().enumerate() {
            assert_eq!(feed.state, State::Open, "the feed of w{i} is not open at rest");
            assert!(feed.sound_since.is_none(), "w{i}: the index was never seen to be right");
        }
        assert!(self.timers.is_empty(), "feeds have timers at rest");
    }
}
