//! Why a request went where it went: what each candidate would have cost, as the rule itself saw it.
//!
//! A rule that weighs seconds notes them while it chooses ([`FleetView::note`]), so an explanation
//! is what the decision was made of, not a second opinion. What that costs where explanations are
//! kept: 96 bytes written for each candidate and decision, into buffers that are used again;
//! sorting waits until somebody asks. Where none are kept: one test of an option for each candidate.
//!
//! [`FleetView::note`]: crate::routing::view::FleetView::note

use crate::id::{MAX_TIERS, RequestId, WorkerId};
use crate::routing::input::{Decision, Pull};
use crate::routing::policy::PolicyConfig;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::cell::RefCell;
use std::collections::VecDeque;

/// The expected time to the first token, in its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Prefill work that is booked on the worker and not yet done.
    pub queue: Duration,
    /// Computing what the worker does not hold.
    pub prefill: Duration,
    /// Fetching what it holds behind HBM.
    pub load: Duration,
}

impl Terms {
    pub fn total(&self) -> Duration {
        self.queue + (self.prefill + self.load)
    }
}

/// A worker that could have had the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub worker: WorkerId,
    /// Requests under way there before this one.
    pub active: u32,
    /// In blocks by tier. None: the rule did not look.
    pub overlap: Option<[u32; MAX_TIERS]>,
    /// Whence it would fetch what it lacks.
    pub pull: Option<Pull>,
    /// None: the rule does not weigh seconds.
    pub terms: Option<Terms>,
    /// Decides between equals.
    pub lot: u64,
}

impl Candidate {
    /// What candidates are compared by; the least is the best.
    pub fn rank(&self) -> (Duration, u32, u64) {
        let total = self.terms.map_or(Duration::ZERO, |terms| terms.total());
        (total, self.active, self.lot)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    pub request: RequestId,
    pub at: Instant,
    pub policy: PolicyConfig,
    pub prompt_tokens: u32,
    pub chosen: WorkerId,
    /// Who answers, where the chosen one only computes the prompt.
    pub decode: Option<WorkerId>,
    /// Best first, where the rule weighs seconds; otherwise the chosen one, then by number.
    pub candidates: Vec<Candidate>,
}

impl Explanation {
    /// Second best, where the rule weighs seconds.
    pub fn runner_up(&self) -> Option<&Candidate> {
        self.candidates.get(1).filter(|candidate| candidate.terms.is_some())
    }

    /// By how much the chosen one was ahead.
    pub fn margin(&self) -> Option<Duration> {
        let (best, second) = (self.candidates.first()?, self.runner_up()?);
        Some(second.terms?.total().saturating_sub(best.terms?.total()))
    }

    pub(super) fn sorted(mut self) -> Self {
        match self.candidates.iter().all(|candidate| candidate.terms.is_some()) {
            true => self.candidates.sort_by_key(Candidate::rank),
            false => self.candidates.sort_by_key(|c| (c.worker != self.chosen, c.worker)),
        }
        self
    }
}

/// For rules that note nothing: who stood for choice.
pub(super) fn fill(notes: &mut Vec<Candidate>, view: &FleetView<'_>) {
    if notes.is_empty() {
        notes.extend(view.workers().map(|(worker, state)| Candidate {
            worker,
            active: state.active(),
            overlap: None,
            pull: None,
            terms: None,
            lot: 0,
        }));
    }
}

/// The explanations of the last decisions.
#[derive(Debug, Default)]
pub(super) struct Kept {
    last: usize,
    /// Oldest first; candidates as they were noted.
    ring: VecDeque<Explanation>,
    /// Those of the decision that is being made.
    pub notes: RefCell<Vec<Candidate>>,
}

impl Kept {
    pub fn limit(&mut self, last: usize) {
        self.last = last;
        self.ring.drain(..self.ring.len().saturating_sub(last));
    }

    /// Where a rule is to note its candidates, if anyone wants to know.
    pub fn notes(&self) -> Option<&RefCell<Vec<Candidate>>> {
        (self.last > 0).then_some(&self.notes)
    }

    /// Keeps what was noted, in the oldest one's place.
    pub fn keep(&mut self, about: About, decision: &Decision) {
        let mut candidates = match self.ring.len() < self.last {
            true => Vec::new(),
            false => self.ring.pop_front().map_or_else(Vec::new, |oldest| oldest.candidates),
        };
        candidates.clear();
        core::mem::swap(&mut candidates, self.notes.get_mut());
        self.ring.push_back(about.explanation(decision, candidates));
    }

    pub fn get(&self, id: RequestId) -> Option<Explanation> {
        let found = self.ring.iter().rev().find(|explanation| explanation.request == id);
        found.cloned().map(Explanation::sorted)
    }
}

/// What was decided, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub request: RequestId,
    pub at: Instant,
    pub policy: PolicyConfig,
    pub prompt_tokens: u32,
}

impl About {
    pub fn explanation(self, decision: &Decision, candidates: Vec<Candidate>) -> Explanation {
        let Self { request, at, policy, prompt_tokens } = self;
        let (chosen, decode) = (decision.worker, decision.decode);
        Explanation { request, at, policy, prompt_tokens, chosen, decode, candidates }
    }
}
