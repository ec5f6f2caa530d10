//! Why a request went where it went: what each candidate would have cost, as the rule itself saw it.
//!
//! A rule that weighs seconds notes them while it chooses ([`FleetView::note`]). So an explanation shows
//! the very numbers of the decision; nothing is computed a second time. Where explanations are kept,
//! that costs 96 written bytes for each candidate and decision, into buffers that are used again.
//! Sorting waits until an explanation is asked for. Where none are kept, it costs one test of an option
//! for each candidate.
//!
//! [`FleetView::note`]: crate::routing::view::FleetView::note

use crate::id::{RequestId, WorkerId};
pub use crate::routing::candidate::{Candidate, Notes, Score, Terms};
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::Fleet;
use crate::routing::health::{Standing, Why};
use crate::routing::policy::PolicyConfig;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::cell::RefCell;
use std::collections::VecDeque;

/// What was decided about a request, and what it was decided by.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The request.
    pub request: RequestId,
    /// When it was decided.
    pub at: Instant,
    /// How long the request had been held by then.
    pub waited: Duration,
    /// The rule that decided.
    pub policy: PolicyConfig,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Best first, where the rule weighs seconds; otherwise the chosen one, then by number.
    pub candidates: Vec<Candidate>,
    /// What a rule that weighs no seconds compared, for each worker that it compared.
    pub scores: Vec<Score>,
    /// Which step of the rule decided. Empty: it has one step only.
    pub because: &'static str,
    /// The workers that did not stand for choice because calls to them fail, or failed for this request.
    pub left_out: Vec<(WorkerId, LeftOut)>,
}

/// Why a worker did not stand for choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LeftOut {
    /// An attempt at this request failed there.
    #[error("it failed this request")]
    Tried,
    /// It is out of rotation.
    #[error("out of rotation: {0}")]
    Out(Why),
    /// It is out of rotation, and another request probes it.
    #[error("probed by another request: {0}")]
    Probed(Why),
    /// By admission it gets no further request now.
    #[error("it has enough to do")]
    Busy,
}

/// What came of asking the rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The request was sent.
    Sent {
        /// The worker that computes the prompt.
        worker: WorkerId,
        /// The worker that decodes, where the other only computes the prompt.
        decode: Option<WorkerId>,
    },
    /// The request waits.
    Held {
        /// The rule is asked again then at the latest.
        until: Instant,
    },
}

impl Explanation {
    /// The worker that computes the prompt; none while the request is held.
    pub const fn chosen(&self) -> Option<WorkerId> {
        match self.outcome {
            Outcome::Sent { worker, .. } => Some(worker),
            Outcome::Held { .. } => None,
        }
    }

    /// The worker that decodes, where the chosen one only computes the prompt.
    pub const fn decode(&self) -> Option<WorkerId> {
        match self.outcome {
            Outcome::Sent { decode, .. } => decode,
            Outcome::Held { .. } => None,
        }
    }

    /// Second best, where the rule weighs seconds.
    pub fn runner_up(&self) -> Option<&Candidate> {
        self.candidates.get(1).filter(|candidate| candidate.terms.is_some())
    }

    /// By how much the chosen one was ahead.
    pub fn margin(&self) -> Option<Duration> {
        let (best, second) = (self.candidates.first()?, self.runner_up()?);
        Some(second.terms?.total().saturating_sub(best.terms?.total()))
    }

    /// What the rule compared of a worker, where it weighs no seconds. Where it looked twice, what it
    /// saw last.
    pub fn score(&self, worker: WorkerId) -> Option<&Score> {
        self.scores.iter().rev().find(|score| score.worker == worker)
    }

    pub(super) fn sorted(mut self) -> Self {
        let chosen = self.chosen();
        match self.candidates.iter().all(|candidate| candidate.terms.is_some()) {
            true => self.candidates.sort_by_key(Candidate::rank),
            false => self.candidates.sort_by_key(|c| (Some(c.worker) != chosen, c.worker)),
        }
        self
    }
}

/// For rules that note nothing: the workers that stood for choice.
pub(super) fn fill(notes: &mut Notes, view: &FleetView<'_>, busy: &[WorkerId]) {
    if notes.candidates.is_empty() {
        let workers = view.workers().filter(|(id, _)| !busy.contains(id));
        notes.candidates.extend(workers.map(|(worker, state)| Candidate {
            worker,
            active: state.active(),
            overlap: None,
            pull: None,
            terms: None,
            lot: 0,
        }));
    }
}

/// The workers that a decision leaves out, by their health and by what was `tried`.
pub(super) fn left_out(
    fleet: &Fleet,
    now: Instant,
    tried: &[WorkerId],
    busy: &[WorkerId],
) -> Vec<(WorkerId, LeftOut)> {
    if tried.is_empty() && busy.is_empty() && fleet.rotation().out() == 0 {
        return Vec::new();
    }
    let why = |id| {
        if tried.contains(&id) {
            return Some(LeftOut::Tried);
        }
        if busy.contains(&id) {
            return Some(LeftOut::Busy);
        }
        match fleet.rotation().health(id)?.standing() {
            Standing::In => None,
            Standing::Out { until, why } => (until > now).then_some(LeftOut::Out(why)),
            Standing::Probed { why, .. } => Some(LeftOut::Probed(why)),
        }
    };
    fleet.workers().filter_map(|(id, _)| Some((id, why(id)?))).collect()
}

/// The explanations of the last requests that were sent.
#[derive(Debug, Default)]
pub(super) struct Kept {
    last: usize,
    /// Oldest first; candidates as they were noted.
    ring: VecDeque<Explanation>,
    /// The candidates of the decision that is being made.
    pub notes: RefCell<Notes>,
}

impl Kept {
    pub fn limit(&mut self, last: usize) {
        self.last = last;
        self.ring.drain(..self.ring.len().saturating_sub(last));
    }

    /// Where a rule notes its candidates, if explanations are kept.
    pub fn notes(&self) -> Option<&RefCell<Notes>> {
        (self.last > 0).then_some(&self.notes)
    }

    /// Drops what was noted: the request is held, and the rule will be asked again.
    pub fn discard(&mut self) {
        self.notes.get_mut().clear();
    }

    /// Keeps what was noted, in the oldest one's place.
    pub fn keep(&mut self, about: About, choice: &Choice, left_out: Vec<(WorkerId, LeftOut)>) {
        let mut notes = match self.ring.len() < self.last {
            true => Notes::default(),
            false => self.ring.pop_front().map_or_else(Notes::default, |oldest| Notes {
                candidates: oldest.candidates,
                scores: oldest.scores,
                because: "",
            }),
        };
        notes.clear();
        core::mem::swap(&mut notes, self.notes.get_mut());
        self.ring.push_back(about.explanation(choice, notes, left_out));
    }

    pub fn get(&self, id: RequestId) -> Option<Explanation> {
        let found = self.ring.iter().rev().find(|explanation| explanation.request == id);
        found.cloned().map(Explanation::sorted)
    }
}

/// Which request is decided about, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub request: RequestId,
    pub at: Instant,
    pub waited: Duration,
    pub policy: PolicyConfig,
    pub prompt_tokens: u32,
}

impl About {
    pub fn explanation(
        self,
        choice: &Choice,
        notes: Notes,
        left_out: Vec<(WorkerId, LeftOut)>,
    ) -> Explanation {
        let Self { request, at, waited, policy, prompt_tokens } = self;
        let outcome = match *choice {
            Choice::Send(Decision { worker, decode, .. }) => Outcome::Sent { worker, decode },
            Choice::Hold { until } => Outcome::Held { until },
        };
        let Notes { candidates, scores, because } = notes;
        Explanation {
            request,
            at,
            waited,
            policy,
            prompt_tokens,
            outcome,
            candidates,
            scores,
            because,
            left_out,
        }
    }
}
