//! Rules that are asked beside the one that decides. What they say is counted and changes nothing.
//!
//! A shadow is asked about each request that is sent as it arrives, in the same state of the fleet. Both choices
//! are weighed alike: what the worker holds of the prompt, and the time to the first token there, which is its
//! queue, the load of what lies behind HBM and the computing of the rest. A shadow with a memory of what was sent
//! where remembers what the deciding rule did, since only that is in the caches. So the figures say how single
//! decisions differ, and not how the fleet would fare if the shadow had made all of them: its own decisions would
//! have filled the caches otherwise. A replay of captured traffic says that.

use super::list::{PolicyConfig, RunningRule};
use super::parts::{Held, Ways};
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

/// What one rule would have done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShadowCounts {
    /// Requests that the shadow was asked about.
    pub asked: u64,
    /// It would have held the request.
    pub held: u64,
    /// It chose the same worker.
    pub same: u64,
    /// Prompt tokens of the requests that the shadow would have sent.
    pub prompt_tokens: u64,
    /// Of these requests, as they were sent.
    pub live: Weighed,
    /// Of these requests, as the shadow would have sent them.
    pub shadow: Weighed,
}

/// The sums over the requests that a shadow would have sent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Weighed {
    /// Prompt tokens that the chosen worker holds, in any tier.
    pub hit_tokens: u64,
    /// Expected times to the first token.
    pub ttft: Duration,
}

impl Weighed {
    /// One request on one worker.
    fn of(view: &FleetView<'_>, request: &Request, worker: WorkerId) -> Self {
        let Some(state) = view.worker(worker) else { return Self::default() };
        let (overlap, tokens) = (view.overlap(&request.prompt), request.prompt.tokens());
        let held = Held::of(overlap.get(worker.into()), state.info, tokens);
        let way = Ways::of(&overlap, view, tokens).own(state.kind(), &held);
        let ttft = state.backlog(view.now()) + way.load + way.prefill;
        Self { hit_tokens: held.tokens.into(), ttft }
    }

    fn add(&mut self, other: Self) {
        self.hit_tokens += other.hit_tokens;
        self.ttft += other.ttft;
    }
}

#[derive(Debug)]
struct Shadow {
    policy: PolicyConfig,
    rule: RunningRule,
    counts: ShadowCounts,
}

/// All shadows of a router.
#[derive(Default, Debug)]
pub struct Shadows(Vec<Shadow>);

impl Shadows {
    /// With empty memories and counts.
    pub fn new(policies: &[PolicyConfig]) -> Self {
        let shadow = |&policy| {
            let (rule, counts) = (RunningRule::new(policy), ShadowCounts::default());
            Shadow { policy, rule, counts }
        };
        Self(policies.iter().map(shadow).collect())
    }

    /// What each would have done since the router was made.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (PolicyConfig, ShadowCounts)> {
        self.0.iter().map(|shadow| (shadow.policy, shadow.counts))
    }

    /// What the deciding rule observes too.
    pub(in crate::routing) fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        for shadow in &mut self.0 {
            shadow.rule.observe(now, what);
        }
    }

    /// Asks each about a request that is sent as `decision` says.
    pub(in crate::routing) fn ask(
        &mut self,
        request: &Request,
        decision: &Decision,
        view: &FleetView<'_>,
    ) {
        let mut live = None;
        for shadow in &mut self.0 {
            let counts = &mut shadow.counts;
            counts.asked += 1;
            let Choice::Send(choice) = shadow.rule.choose(request, view) else {
                counts.held += 1;
                continue;
            };
            counts.same += u64::from(choice.worker == decision.worker);
            counts.prompt_tokens += u64::from(request.prompt.tokens());
            let live = *live.get_or_insert_with(|| Weighed::of(view, request, decision.worker));
            counts.live.add(live);
            counts.shadow.add(match choice.worker == decision.worker {
                true => live,
                false => Weighed::of(view, request, choice.worker),
            });
        }
    }
}
