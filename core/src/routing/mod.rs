//! The router's heart. Everything that happens to it is an [`Input`], everything it wants done is
//! an [`Action`]; it keeps no clock and reads no socket, so a recorded run replays exactly.

mod decode;
pub mod explain;
pub mod fleet;
pub mod index;
pub mod input;
pub mod pending;
pub mod policy;
pub mod record;
pub mod view;

use crate::block::TokenBlocks;
use crate::id::{RequestId, SourceId};
use crate::request::Request;
use crate::time::Instant;
use decode::Eligible;
use explain::{About, Explanation, Kept};
use fleet::Fleet;
use index::Overlap;
use input::{Action, Input, Observed, RejectReason};
use policy::{PolicyConfig, Rule};
use std::cell::{Cell, RefCell};
use view::{FleetView, Lookup};

#[derive(Debug)]
pub struct Router {
    fleet: Fleet,
    policy: PolicyConfig,
    rule: Rule,
    seed: u64,
    decided: u64,
    /// Reused from one decision to the next, so that deciding allocates nothing.
    eligible: Eligible,
    scratch: RefCell<Overlap>,
    kept: Kept,
}

impl Router {
    pub fn new(policy: PolicyConfig) -> Self {
        Self {
            fleet: Fleet::default(),
            policy,
            rule: Rule::new(policy),
            seed: 0,
            decided: 0,
            eligible: Eligible::default(),
            scratch: RefCell::default(),
            kept: Kept::default(),
        }
    }

    /// Rules that draw lots draw others with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// From now on the explanations of the last so many decisions are kept; 0 at first.
    pub fn keep_explanations(&mut self, last: usize) {
        self.kept.limit(last);
    }

    /// That of a decision that was made, while it is kept.
    pub fn explanation(&self, id: RequestId) -> Option<Explanation> {
        self.kept.get(id)
    }

    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub const fn policy(&self) -> PolicyConfig {
        self.policy
    }

    /// Takes one input at `now` and adds what is to be done to `out`. `lookup` answers what each
    /// source holds of a prompt; it is asked at most once, and only if the rule wants to know.
    pub fn apply(
        &mut self,
        now: Instant,
        input: &Input,
        lookup: Lookup<'_>,
        out: &mut Vec<Action>,
    ) {
        self.fleet.expire(now);
        let first = out.len();
        match input {
            Input::Arrived(request) => out.push(self.decide(now, request, lookup)),
            Input::PrefillDone(id) => self.fleet.handed_over(now, *id),
            Input::FirstToken(id) => self.fleet.prefill_done(now, *id),
            Input::Finished { id, .. } => self.fleet.end(now, *id, true),
            Input::Cancelled(id) => self.fleet.end(now, *id, false),
            Input::Joined(info) => self.fleet.join(now, info.clone()),
            Input::Draining(id) => self.fleet.drain(*id),
            Input::Drained(id) => self.fleet.set_drained(*id, true),
            Input::Undrained(id) => self.fleet.set_drained(*id, false),
            Input::Lost(SourceId::Worker(id)) => self.fleet.lose(now, *id),
            Input::Load(report) => self.fleet.report(report.clone()),
            Input::SetPolicy(policy) => {
                self.policy = *policy;
                self.rule = Rule::new(*policy);
            }
            Input::Lost(SourceId::Pool(_)) | Input::Tick => {}
        }
        self.rule.observe(now, Observed::Input(input));
        for action in &out[first..] {
            self.rule.observe(now, Observed::Action(action));
        }
    }

    /// When to apply a [`Input::Tick`], if nothing else happens before.
    pub fn next_wake(&self) -> Option<Instant> {
        self.fleet.next_expiry()
    }

    /// What would be decided about a request at `now`. Nothing is booked and nothing changes.
    pub fn explain(
        &self,
        now: Instant,
        request: &Request,
        lookup: Lookup<'_>,
    ) -> Result<Explanation, RejectReason> {
        let mut eligible = Eligible::default();
        self.find_eligible(request, &mut eligible)?;
        let (scratch, notes) = (RefCell::default(), RefCell::default());
        let view = FleetView {
            eligible: &eligible.prefill,
            scratch: &scratch,
            notes: Some(&notes),
            ..self.view(now, lookup)
        };
        let mut decision = self.rule.choose(request, &view);
        decode::complete(&mut decision, request, &view, &eligible.decode);
        explain::fill(&mut notes.borrow_mut(), &view);
        let candidates = notes.take();
        Ok(self.about(now, request).explanation(&decision, candidates).sorted())
    }

    fn decide(&mut self, now: Instant, request: &Request, lookup: Lookup<'_>) -> Action {
        let id = request.id;
        let mut eligible = core::mem::take(&mut self.eligible);
        let found = self.find_eligible(request, &mut eligible);
        self.eligible = eligible;
        if let Err(reason) = found {
            return Action::Reject { id, reason };
        }
        let view = self.view(now, lookup);
        let mut decision = self.rule.choose(request, &view);
        decode::complete(&mut decision, request, &view, &self.eligible.decode);
        if let Some(notes) = self.kept.notes() {
            explain::fill(&mut notes.borrow_mut(), &view);
            self.kept.keep(self.about(now, request), &decision);
        }
        self.decided += 1;
        self.fleet.book(now, request, &decision);
        Action::Dispatch { id, decision }
    }

    fn view<'a>(&'a self, now: Instant, lookup: Lookup<'a>) -> FleetView<'a> {
        FleetView {
            fleet: &self.fleet,
            eligible: &self.eligible.prefill,
            now,
            seed: self.seed,
            ordinal: self.decided,
            lookup,
            scratch: &self.scratch,
            looked: Cell::new(false),
            notes: self.kept.notes(),
        }
    }

    fn about(&self, now: Instant, request: &Request) -> About {
        let prompt_tokens = request.prompt.tokens();
        About { request: request.id, at: now, policy: self.policy, prompt_tokens }
    }

    fn find_eligible(
        &self,
        request: &Request,
        eligible: &mut Eligible,
    ) -> Result<(), RejectReason> {
        if self.fleet.has_booking(request.id) {
            return Err(RejectReason::DuplicateId);
        }
        eligible.find(&self.fleet, request)
    }
}

/// For tests and tools that have no index: nobody holds anything.
pub fn no_lookup(_: &TokenBlocks, out: &mut Overlap) {
    out.clear();
}
