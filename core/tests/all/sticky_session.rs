//! The rule that remembers which worker served a session last. Each step is an input of the router,
//! which the rule observes.

use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::{PolicyConfig, StickySession};
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::Instant;

const S: u64 = 1_000_000_000;

struct Bench {
    router: Router,
    now: u64,
    next: u64,
}

impl Bench {
    fn new(rule: StickySession, workers: u32) -> Self {
        let mut bench = Self { router: Router::new(rule.into()), now: 0, next: 0 };
        (0..workers).for_each(|worker| bench.tell(Input::Joined(crate::common::joined(worker))));
        bench
    }

    fn act(&mut self, input: &Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.router.apply(Instant::from_nanos(self.now), input, &no_lookup, &mut actions);
        actions
    }

    fn tell(&mut self, input: Input) {
        assert_eq!(self.act(&input), []);
    }

    /// A request that stays under way. The answer is its worker.
    fn start(&mut self, session: Option<u64>) -> u32 {
        self.next += 1;
        let chain = hash_blocks(&ScopePlan::new("", "", "", 10), &[1; 40]);
        let arrived = Input::Arrived(Request {
            id: RequestId(self.next),
            session: session.map(SessionId),
            tenant: TenantId(0),
            prompt: TokenBlocks::whole(chain),
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        });
        match self.act(&arrived).as_slice() {
            [Action::Dispatch { decision, .. }] => decision.worker.0,
            other => panic!("{other:?}"),
        }
    }

    /// A request that ends at once.
    fn send(&mut self, session: u64) -> u32 {
        let worker = self.start(Some(session));
        let id = RequestId(self.next);
        self.tell(Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None });
        worker
    }
}

fn rule(ttl_s: f64, capacity: u32) -> StickySession {
    StickySession { ttl_s, capacity }
}

#[test]
fn a_session_stays_with_its_worker_though_others_are_less_loaded() {
    let mut bench = Bench::new(rule(600.0, 100), 3);
    let home = bench.start(Some(7));
    // Nothing ends: each further request makes home busier than the others.
    for _ in 0..5 {
        assert_eq!(bench.start(Some(7)), home);
    }
    let others: Vec<u32> = (0..4).map(|_| bench.start(None)).collect();
    assert!(others.iter().all(|&worker| worker != home), "others go to the least loaded");
    assert_ne!(bench.start(Some(8)), home, "so does a session that is new");
}

#[test]
fn a_session_moves_when_its_worker_can_not_serve_it_and_stays_where_it_went() {
    let mut bench = Bench::new(rule(600.0, 100), 3);
    let home = bench.send(7);
    bench.tell(Input::Drained(WorkerId(home)));
    let second = bench.send(7);
    assert_ne!(second, home);
    bench.tell(Input::Undrained(WorkerId(home)));
    // It was served last by the second one. That is what counts.
    assert_eq!([bench.send(7), bench.send(7)], [second; 2]);
    bench.tell(Input::Draining(WorkerId(second)));
    assert_ne!(bench.send(7), second);
}

#[test]
fn a_lost_worker_and_a_restarted_one_are_forgotten() {
    for restarts in [false, true] {
        // Two workers; the session's one comes back empty. The other is made less loaded.
        let mut bench = Bench::new(rule(600.0, 100), 2);
        let home = bench.send(7);
        if !restarts {
            bench.tell(Input::Lost(WorkerId(home).into()));
        }
        bench.tell(Input::Joined(crate::common::joined(home)));
        // One request on each, and a third on one of them.
        let first = bench.start(None);
        let second = bench.start(None);
        assert_ne!(first, second);
        let third = bench.start(None);
        assert_eq!(bench.send(7), 1 - third, "the least loaded, not where it was");
    }
}

#[test]
fn a_session_is_forgotten_when_it_was_idle_for_too_long() {
    let mut bench = Bench::new(rule(10.0, 100), 2);
    let home = bench.start(Some(7));
    // Home has one under way. Each request of the session starts the time anew.
    for _ in 0..3 {
        bench.now += 10 * S - 1;
        assert_eq!(bench.send(7), home);
    }
    bench.now += 10 * S;
    assert_eq!(bench.send(7), 1 - home, "the least loaded");
}

#[test]
fn the_session_that_was_idle_longest_is_forgotten_first() {
    let mut bench = Bench::new(rule(600.0, 2), 2);
    let home = bench.start(Some(1));
    assert_eq!(bench.start(Some(2)), 1 - home, "the least loaded");
    bench.now += 1;
    assert_eq!(bench.send(1), home, "now 2 was idle longest");
    // A third session, and the second is forgotten.
    bench.send(3);
    bench.start(Some(1));
    // Home has two under way, the other has one.
    assert_eq!(bench.send(2), 1 - home);
    // Session 3 was forgotten for session 2, session 1 was not.
    assert_eq!(bench.send(1), home);
}

#[test]
fn only_the_last_sessions_are_remembered() {
    const CAPACITY: u64 = 50;
    let mut bench = Bench::new(rule(1e9, CAPACITY as u32), 2);
    // One request is under way, so all sessions find the other worker less loaded and stay there.
    let busy = bench.start(None);
    for round in 0..2_000 {
        bench.now += 1;
        assert_eq!(bench.send(round), 1 - busy);
        assert_eq!(bench.send(round), 1 - busy, "whatever was noted before");
    }
    // Now the other worker is the busier one: with one request that was without a session, it has
    // two of a session's.
    bench.start(Some(1_999));
    bench.start(Some(1_999));
    let remembered = (1_900..2_000).rev().filter(|&session| bench.send(session) == 1 - busy);
    assert!(remembered.eq((1_950..2_000).rev()), "fifty, and none of those before them");
}

#[test]
fn a_policy_that_is_set_again_starts_with_an_empty_memory() {
    let mut bench = Bench::new(rule(600.0, 100), 2);
    let home = bench.start(Some(7));
    assert_eq!(bench.send(7), home);
    bench.tell(Input::SetPolicy(PolicyConfig::StickySession));
    assert_eq!(bench.send(7), 1 - home, "the least loaded");
}
