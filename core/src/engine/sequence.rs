//! One request inside an engine: its progress, and the queue that it is in.

use crate::engine::store::{Hit, Lease, Offer};
use crate::id::WorkerId;
use crate::request::Work;
use crate::time::Instant;
use smallvec::SmallVec;

/// The index of a sequence in its scheduler.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SeqKey(pub u32);

/// A request and its progress. What most steps read of it comes first, in a cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Sequence {
    here: Here,
    pub state: State,
    /// Tokens with KV. While it decodes, as of its last update.
    pub computed: u32,
    /// Answer tokens made, as of its last update.
    pub generated: u32,
    /// The value of `computed` at which the next token is sampled.
    pub target: u32,
    /// The length of its answer.
    pub output_tokens: u32,
    /// Whether a decode worker answers it.
    pub prefill_only: bool,
    pub cancelled: bool,
    /// Whether it was admitted before: false until the first admission.
    pub admitted_before: bool,
    /// Whether a step has computed some of it.
    pub has_run: bool,
    /// A fetch of its first admission failed, so its hit is counted again.
    pub found_less: bool,
    /// Whether its sliding window is not full yet, so that each step reads more.
    pub filling: bool,
    /// Whether a prefill worker has computed its prompt.
    pub kv_transfer: KvTransfer,
    /// Its blocks; None while it waits.
    pub lease: Option<Lease>,
    /// Cached prompt tokens at its first admission.
    pub cached_tokens: u32,
    /// Cached blocks at its first admission, by origin.
    pub hit: Hit,
    pub work: Work,
    /// Its place in the queue; lower places are first.
    pub place: i64,
    /// When the scheduler heard of it.
    pub came: Instant,
    /// The blocks of its prompt that pools and peers had when it arrived.
    pub offers: SmallVec<[Offer; 2]>,
}

/// Its unused values are what `Option<Sequence>` uses for `None`. So whether a slot has a sequence is read from the first
/// line too.
#[derive(Debug)]
#[repr(u64)]
enum Here {
    Yes,
}

const _: () = assert!(core::mem::offset_of!(Sequence, filling) < 64, "the first line");
const _: () = assert!(size_of::<Option<Sequence>>() == size_of::<Sequence>());

/// How the KV of a prompt comes from its prefill worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KvTransfer {
    /// It does not: this worker computes the prompt.
    None,
    /// The prefill worker holds it; it was not requested.
    From(WorkerId),
    /// It is on the way.
    Pulling,
    /// It has arrived, but has no blocks with names.
    Arrived,
    /// Its blocks have names. Only the last prompt token must be computed, for its logits.
    Used,
}

/// The queue of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// In the waiting queue.
    Waiting,
    /// Waits for this many transfers, since this time.
    Loading(usize, Instant),
    /// Its prompt is computed. The number is its order of admission.
    Prefilling(u64),
    /// It makes answer tokens. `since` and `due` count steps of the engine: its last update, and
    /// the latest step at which it must be updated.
    Decoding { admitted: u64, since: u64, due: u64 },
}

impl Sequence {
    pub fn new(work: Work) -> Self {
        Self {
            here: Here::Yes,
            target: work.request.prompt.tokens(),
            output_tokens: work.output_tokens,
            work,
            lease: None,
            offers: SmallVec::new(),
            prefill_only: false,
            kv_transfer: KvTransfer::None,
            computed: 0,
            generated: 0,
            cached_tokens: 0,
            hit: Hit::default(),
            cancelled: false,
            admitted_before: false,
            has_run: false,
            found_less: false,
            place: 0,
            came: Instant::START,
            filling: false,
            state: State::Waiting,
        }
    }
}
