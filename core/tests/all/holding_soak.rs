//! Random runs of a router that holds requests. In all of them each request ends exactly once, the
//! queue stays within its limits, held requests are decided about in the order of their arrival, and
//! the record replays.

use crate::common::{between, chance, for_seeds};
use std::collections::BTreeMap;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::Rng;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::{PolicyConfig, StickySession, WaitForRoom};
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::routing::{QueueLimits, Router, no_lookup};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

const WORKERS: u32 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Held,
    Sent,
    Over,
}

struct Soak {
    router: Router,
    limits: QueueLimits,
    entries: Vec<Entry>,
    now: Instant,
    states: BTreeMap<u64, State>,
    holds: u32,
    rejects: u32,
}

impl Soak {
    fn tell(&mut self, input: Input) {
        // The shell's duty: a tick at each instant that the router names.
        while let Some(wake) = self.router.next_wake().filter(|&wake| wake < self.now) {
            self.apply(wake, Input::Tick);
        }
        self.apply(self.now, input);
    }

    fn apply(&mut self, now: Instant, input: Input) {
        let arrived = match &input {
            Input::Arrived(request) => Some(request.id.0),
            Input::Cancelled(id) | Input::Finished { id, .. } => {
                self.states.insert(id.0, State::Over);
                None
            }
            _ => None,
        };
        let before: Vec<u64> = self.held();
        let mut out = Vec::new();
        self.entries.push(self.router.apply_recorded(now, input, &no_lookup, &mut out));
        let mut order = Vec::new();
        for action in &out {
            let (id, state) = match action {
                Action::Dispatch { id, .. } => (id.0, State::Sent),
                Action::Hold { id, until } => {
                    assert!(*until > now);
                    self.holds += 1;
                    (id.0, State::Held)
                }
                Action::Reject { id, .. } => {
                    self.rejects += 1;
                    (id.0, State::Over)
                }
                Action::Abandon { .. } => panic!("no limits of health are set: {action:?}"),
            };
            let known = self.states.insert(id, state);
            let expected = if arrived == Some(id) { None } else { Some(State::Held) };
            assert_eq!(known, expected, "{action:?} of a request that is not waiting");
            if arrived != Some(id) {
                order.push(before.iter().position(|&held| held == id).expect("it was held"));
            }
        }
        assert!(order.is_sorted(), "held requests are decided about by arrival: {out:?}");
        if let Some(id) = arrived {
            assert!(out.iter().any(|action| id_of(action) == id), "an arrival is answered");
        }
        let queue = self.router.queue();
        assert!(queue.len() <= self.limits.requests as usize);
        assert!(queue.prompt_tokens() <= self.limits.prompt_tokens);
        let tokens = queue.held().iter().map(|held| u64::from(held.request.prompt.tokens()));
        assert_eq!(queue.prompt_tokens(), tokens.sum::<u64>());
        assert!(queue.held().iter().all(|held| held.waited(now) < self.limits.longest_wait));
        assert!(queue.next_wake().is_none_or(|wake| wake > now), "all that was due is done");
        let waiting = self.states.iter().filter(|(_, state)| **state == State::Held);
        let mut held = self.held();
        held.sort_unstable();
        assert!(waiting.map(|(&id, _)| id).eq(held));
    }

    fn held(&self) -> Vec<u64> {
        self.router.queue().held().iter().map(|held| held.request.id.0).collect()
    }

    fn pick(&self, rng: &mut Rng, state: State) -> Option<u64> {
        let all: Vec<u64> =
            self.states.iter().filter(|(_, s)| **s == state).map(|(&id, _)| id).collect();
        (!all.is_empty()).then(|| all[rng.below(all.len() as u64) as usize])
    }
}

fn id_of(action: &Action) -> u64 {
    match action {
        Action::Dispatch { id, .. }
        | Action::Hold { id, .. }
        | Action::Reject { id, .. }
        | Action::Abandon { id, .. } => id.0,
    }
}

fn request(rng: &mut Rng, id: u64, now: Instant) -> Request {
    let scope = ScopePlan::new("", "", "", 10);
    let text = Segment::Text { seed: rng.below(20), tokens: between(rng, 1, 300) };
    let deadline = chance(rng, 20).then(|| now + Duration::from_millis(rng.below(3_000)));
    Request {
        id: RequestId(id),
        session: chance(rng, 50).then(|| SessionId(rng.below(5))),
        tenant: TenantId(0),
        prompt: TokenBlocks::whole(hash_segments(&scope, &[text])),
        priority: 0,
        deadline,
        max_new_tokens: None,
    }
}

fn policy(rng: &mut Rng) -> PolicyConfig {
    match rng.below(5) {
        0 => StickySession { ttl_s: 1.0, capacity: 3 }.into(),
        1 => PolicyConfig::KvAware,
        _ => WaitForRoom { max_active: between(rng, 1, 3), recheck_s: 0.3 }.into(),
    }
}

#[test]
fn each_request_ends_once_and_the_queue_keeps_its_limits() {
    let (holds, rejects) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_seeds(0..120, |rng| {
        let limits = QueueLimits {
            requests: between(rng, 0, 6),
            prompt_tokens: rng.below(1_500),
            longest_wait: Duration::from_millis(rng.below(4_000)),
        };
        let first = policy(rng);
        let mut soak = Soak {
            router: Router::new(first).with_queue_limits(limits),
            limits,
            entries: Vec::new(),
            now: Instant::START,
            states: BTreeMap::new(),
            holds: 0,
            rejects: 0,
        };
        (0..2).for_each(|worker| soak.tell(Input::Joined(crate::common::joined(worker))));
        for id in 0..250 {
            soak.now = soak.now + Duration::from_millis(rng.below(200));
            let worker = WorkerId(rng.below(u64::from(WORKERS)) as u32);
            match rng.below(20) {
                0..10 => {
                    let arrived = request(rng, id, soak.now);
                    soak.tell(Input::Arrived(arrived));
                }
                10..15 => {
                    if let Some(id) = soak.pick(rng, State::Sent) {
                        soak.tell(Input::FirstToken(RequestId(id)));
                        let id = RequestId(id);
                        soak.tell(Input::Finished {
                            id,
                            cached_tokens: 0,
                            by_origin: None,
                            output_tokens: None,
                        });
                    }
                }
                15 => {
                    let state = if chance(rng, 50) { State::Held } else { State::Sent };
                    if let Some(id) = soak.pick(rng, state) {
                        soak.tell(Input::Cancelled(RequestId(id)));
                    }
                }
                16 => soak.tell(Input::Joined(crate::common::joined(worker.0))),
                17 => soak.tell(Input::Lost(worker.into())),
                18 => match rng.below(3) {
                    0 => soak.tell(Input::Draining(worker)),
                    1 => soak.tell(Input::Drained(worker)),
                    _ => soak.tell(Input::Undrained(worker)),
                },
                _ => {
                    let next = policy(rng);
                    soak.tell(Input::SetPolicy(next));
                }
            }
        }
        while let Some(id) = soak.pick(rng, State::Sent) {
            soak.tell(Input::Cancelled(RequestId(id)));
        }
        while let Some(wake) = soak.router.next_wake() {
            soak.apply(wake, Input::Tick);
            while let Some(id) = soak.pick(rng, State::Sent) {
                soak.apply(wake, Input::Cancelled(RequestId(id)));
            }
        }
        assert!(soak.states.values().all(|state| *state == State::Over));
        soak.router.queue().check_at_rest();
        soak.router.fleet().check_at_rest();
        let line = |value: serde_json::Result<String>| value.expect("it has a form");
        let header = Header::new(first, 0).with_queue_limits(limits);
        let entries = soak.entries.iter().map(|entry| line(serde_json::to_string(entry)));
        let lines = std::iter::once(line(serde_json::to_string(&header))).chain(entries);
        replay(lines).expect("it comes out the same");
        holds.set(holds.get() + soak.holds);
        rejects.set(rejects.get() + soak.rejects);
    });
    assert!(holds.get() > 1_000 && rejects.get() > 500, "{} and {}", holds.get(), rejects.get());
}
