//! One request inside an engine: how far it has come, and in which queue it stands.

use crate::engine::store::{Hit, Lease, Offer};
use crate::id::WorkerId;
use crate::request::Work;
use crate::time::Instant;
use smallvec::SmallVec;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SeqKey(pub u32);

#[derive(Debug)]
pub(super) struct Sequence {
    pub work: Work,
    pub lease: Option<Lease>,
    /// What others had of its prompt when it came.
    pub offers: SmallVec<[Offer; 2]>,
    /// Whether another answers it.
    pub hands_over: bool,
    /// Whether another has computed its prompt.
    pub handover: Handover,
    /// Tokens whose KV is there. While decoding, as of the last time the sequence was looked at.
    pub computed: u32,
    /// Answer tokens made, as of the same time.
    pub generated: u32,
    /// How far `computed` must come before the next token can be sampled.
    pub target: u32,
    /// What was found at first admission.
    pub cached_tokens: u32,
    pub hit: Hit,
    pub cancelled: bool,
    pub admitted_before: bool,
    /// Part of what it found at first admission did not come.
    pub found_less: bool,
    /// Its place among the waiting; the lower goes first.
    pub place: i64,
    /// When the scheduler heard of it.
    pub came: Instant,
    /// While decoding: whether its sliding window still fills with each step.
    pub filling: bool,
    pub state: State,
}

/// How the KV of a prompt that another has computed comes here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handover {
    /// Not at all.
    None,
    /// It lies there.
    From(WorkerId),
    /// It is on its way.
    Pulling,
    /// It has come.
    Landed,
    /// It has a place in HBM, and the last token is still to be computed.
    Taken,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Waiting,
    /// For so many transfers, since then.
    Loading(usize, Instant),
    /// The count is the sequence's place among the running.
    Prefilling(u64),
    /// `since` and `due` count the engine's steps: when it was last looked at, and when it must be.
    Decoding {
        admitted: u64,
        since: u64,
        due: u64,
    },
}

impl Sequence {
    pub fn new(work: Work) -> Self {
        Self {
            target: work.request.prompt.tokens(),
            work,
            lease: None,
            offers: SmallVec::new(),
            hands_over: false,
            handover: Handover::None,
            computed: 0,
            generated: 0,
            cached_tokens: 0,
            hit: Hit::default(),
            cancelled: false,
            admitted_before: false,
            found_less: false,
            place: 0,
            came: Instant::START,
            filling: false,
            state: State::Waiting,
        }
    }
}
