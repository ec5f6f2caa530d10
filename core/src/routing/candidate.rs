//! What a rule weighed a worker at.

use crate::id::{MAX_TIERS, WorkerId};
use crate::routing::decision::Pull;
use crate::time::Duration;

/// What a request is expected to cost on a worker, in seconds. The first four are the time to its first
/// token; not every rule weighs the others.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Terms {
    /// Prefill work that is booked on the worker and not yet done.
    pub queue: Duration,
    /// Computing what the worker does not hold.
    pub prefill: Duration,
    /// Fetching what it holds behind HBM, as far as that outlasts the waits.
    pub load: Duration,
    /// The step under way, and the wait for a seat and for room in HBM.
    pub room: Duration,
    /// Decoding the answer, as the rule weighs it.
    pub answer: Duration,
    /// Delay that other requests have from it, as the rule weighs it.
    pub others: Duration,
}

impl Terms {
    /// Their sum.
    pub fn total(&self) -> Duration {
        self.to_first_token() + self.answer + self.others
    }

    /// The expected time to the first token.
    pub fn to_first_token(&self) -> Duration {
        self.queue + self.prefill + self.load + self.room
    }
}

/// What candidates are compared by: expected seconds, then requests under way, then the lot.
pub type Rank = (Duration, u32, u64);

/// What a rule that weighs no seconds compared of a worker, and what that was made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Score {
    /// The worker.
    pub worker: WorkerId,
    /// What the rule compared.
    pub value: f64,
    /// Whether the rule takes the highest; otherwise the lowest.
    pub highest: bool,
    /// With their units. Unused ones are empty.
    pub parts: [(&'static str, f64); MAX_PARTS],
}

/// The most parts of a score.
pub const MAX_PARTS: usize = 4;

/// What a rule noted while it chose.
#[derive(Clone, Default, Debug)]
pub struct Notes {
    /// Of a rule that weighs seconds.
    pub candidates: Vec<Candidate>,
    /// Of another rule, for each worker that it compared.
    pub scores: Vec<Score>,
    /// Which step of the rule decided. Empty: it has one step only.
    pub because: &'static str,
}

impl Notes {
    /// As before any rule noted anything. The memory is used again.
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.scores.clear();
        self.because = "";
    }
}

/// A worker that could have had the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The worker.
    pub worker: WorkerId,
    /// Requests under way there before this one.
    pub active: u32,
    /// In blocks by tier. None: the rule did not look.
    pub overlap: Option<[u32; MAX_TIERS]>,
    /// The source from which it would fetch what it lacks.
    pub pull: Option<Pull>,
    /// None: the rule does not weigh seconds.
    pub terms: Option<Terms>,
    /// A hash of request and worker. It decides between equals.
    pub lot: u64,
}

impl Candidate {
    /// What candidates are compared by; the least is the best.
    pub fn rank(&self) -> Rank {
        let total = self.terms.map_or(Duration::ZERO, |terms| terms.total());
        (total, self.active, self.lot)
    }
}
