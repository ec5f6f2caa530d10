//! A router that holds requests, under `wait-for-room`: each worker has room for one request. A token
//! costs 10 µs to prefill; blocks hold 10 tokens.

use std::cell::Cell;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::event::{LoadReport, Role, WorkerInfo};
use warmpath_core::id::{RequestId, SourceId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::explain::Outcome;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::input::{Action, Input, RejectReason};
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};
use warmpath_core::routing::record::{Entry, Header, ReplayError, replay};
use warmpath_core::routing::{QueueLimits, Router};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

const S: u64 = 1_000_000_000;

fn policy() -> PolicyConfig {
    WaitForRoom { max_active: 1, recheck_s: 1.0 }.into()
}

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn request(id: u64, tokens: u32) -> Request {
    let scope = ScopePlan::new("", "", "", 10);
    let prompt = TokenBlocks::whole(hash_segments(&scope, &[Segment::Text { seed: id, tokens }]));
    let (id, tenant) = (RequestId(id), TenantId(0));
    Request { id, session: None, tenant, prompt, priority: 0, deadline: None, max_new_tokens: None }
}

fn finished(id: u64) -> Input {
    Input::Finished { id: RequestId(id), cached_tokens: 0, by_origin: None, output_tokens: None }
}

/// What was done, without the parts that a test does not look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    Sent(u64, u32),
    /// Until, in nanoseconds.
    Held(u64, u64),
    Rejected(u64, RejectReason),
}

use Done::{Held, Rejected, Sent};

struct Bench {
    router: Router,
    header: Header,
    entries: Vec<Entry>,
    /// How many look-ups there were.
    looked: Cell<u32>,
}

impl Bench {
    fn new(limits: QueueLimits, workers: u32) -> Self {
        let mut router = Router::new(policy()).with_queue_limits(limits);
        router.keep_explanations(100);
        let header = Header::new(policy(), 0).with_queue_limits(limits);
        let mut bench = Self { router, header, entries: Vec::new(), looked: Cell::new(0) };
        for worker in 0..workers {
            assert_eq!(bench.tell(0, Input::Joined(crate::common::joined(worker))), []);
        }
        bench
    }

    /// One worker, busy with request 0.
    fn busy(limits: QueueLimits) -> Self {
        let mut bench = Self::new(limits, 1);
        assert_eq!(bench.send(0, 0, 100), [Sent(0, 0)]);
        bench
    }

    fn tell(&mut self, now: u64, input: Input) -> Vec<Done> {
        let looked = &self.looked;
        let lookup = |_: &TokenBlocks, out: &mut Overlap| {
            looked.set(looked.get() + 1);
            out.clear();
            // Each answer differs from the one before, so that their order matters.
            out.raise(WorkerId(0).into(), 1 + looked.get() % 3);
        };
        let mut out = Vec::new();
        let entry = self.router.apply_recorded(at(now), input, &lookup, &mut out);
        self.entries.push(entry);
        let done = |action: &Action| match action {
            Action::Dispatch { id, decision } => Sent(id.0, decision.worker.0),
            Action::Hold { id, until } => Held(id.0, until.as_nanos()),
            Action::Reject { id, reason } => Rejected(id.0, *reason),
            Action::Abandon { .. } => panic!("no limits of health are set: {action:?}"),
        };
        out.iter().map(done).collect()
    }

    fn send(&mut self, now: u64, id: u64, tokens: u32) -> Vec<Done> {
        self.tell(now, Input::Arrived(request(id, tokens)))
    }

    fn send_until(&mut self, now: u64, id: u64, deadline: u64) -> Vec<Done> {
        let deadline = Some(at(deadline));
        self.tell(now, Input::Arrived(Request { deadline, ..request(id, 100) }))
    }

    /// The first request that was sent to a worker.
    fn first_on(&self, worker: u32) -> u64 {
        let mut actions = self.entries.iter().flat_map(|entry| &entry.actions);
        let sent = actions.find_map(|action| match action {
            Action::Dispatch { id, decision } if decision.worker.0 == worker => Some(id.0),
            _ => None,
        });
        sent.expect("each worker has one")
    }

    /// Ids of the requests that are held, by arrival.
    fn held(&self) -> Vec<u64> {
        self.router.queue().held().iter().map(|held| held.request.id.0).collect()
    }

    fn wake(&self) -> Option<u64> {
        self.router.queue().next_wake().map(Instant::as_nanos)
    }

    fn lines(&self) -> Vec<String> {
        let json = |value: serde_json::Result<String>| value.expect("it has a form");
        let entries = self.entries.iter().map(|entry| json(serde_json::to_string(entry)));
        std::iter::once(json(serde_json::to_string(&self.header))).chain(entries).collect()
    }

    /// The record replays; nothing is left when time has gone on.
    fn end(mut self) {
        let lines = self.lines();
        let done = replay(lines.iter()).expect("it comes out the same");
        assert_eq!(done.inputs as usize, self.entries.len());
        while let Some(wake) = self.router.next_wake() {
            self.tell(wake.as_nanos(), Input::Tick);
        }
        self.router.queue().check_at_rest();
        self.router.fleet().check_at_rest();
    }
}

#[test]
fn a_request_waits_until_a_worker_has_room() {
    let mut bench = Bench::busy(QueueLimits::default());
    assert_eq!(bench.send(S, 1, 100), [Held(1, 2 * S)]);
    assert_eq!(bench.send(S + 1, 2, 200), [Held(2, 2 * S + 1)]);
    let queue = bench.router.queue();
    assert_eq!((queue.len(), queue.prompt_tokens()), (2, 300));
    assert_eq!(queue.held()[0].waited(at(S + 5)), Duration::from_nanos(5));
    let fleet = bench.router.fleet();
    assert_eq!(fleet.in_flight(), 1, "a held request is on no worker");
    // The rule is asked again at 2 s, and holds on.
    assert_eq!((bench.wake(), bench.router.next_wake()), (Some(2 * S), Some(at(2 * S))));
    assert_eq!(bench.tell(2 * S, Input::Tick), []);
    assert_eq!(bench.wake(), Some(2 * S + 1), "the other one is due next");
    // Room for one: the first that came goes first.
    assert_eq!(bench.tell(2 * S + 5, finished(0)), [Sent(1, 0)]);
    assert_eq!(bench.held(), [2]);
    assert_eq!(bench.router.fleet().in_flight(), 1);
    assert_eq!(bench.tell(2 * S + 6, Input::Cancelled(RequestId(1))), [Sent(2, 0)]);
    assert_eq!(bench.tell(3 * S, finished(2)), []);
    assert_eq!(bench.send(3 * S, 3, 10), [Sent(3, 0)], "an idle worker is used at once");
    bench.tell(4 * S, finished(3));
    bench.end();
}

#[test]
fn a_newcomer_comes_after_the_held_requests_that_are_due() {
    let mut bench = Bench::new(QueueLimits::default(), 1);
    bench.send(0, 0, 100);
    assert_eq!(bench.send(0, 1, 100), [Held(1, S)]);
    // At 1 s request 1 is due, but no tick came. The new one is decided about after it.
    assert_eq!(bench.send(S, 2, 100), [Held(2, 2 * S)]);
    assert_eq!(bench.wake(), Some(2 * S), "the rule was asked about request 1, which waits on");
    // Request 3 is past its deadline when request 4 comes, and no tick came. It is rejected first.
    assert_eq!(bench.send_until(S, 3, S + 100), [Held(3, 2 * S)]);
    let waited = Duration::from_nanos(100);
    let late = Rejected(3, RejectReason::DeadlinePassed { waited });
    assert_eq!(bench.send(S + 100, 4, 100), [late, Held(4, 2 * S + 100)]);
    bench.tell(S + 200, Input::Cancelled(RequestId(4)));
    bench.tell(S + 201, finished(0));
    bench.tell(S + 202, finished(1));
    bench.tell(S + 203, finished(2));
    bench.end();
}

#[test]
fn the_queue_is_bounded_in_requests_and_in_prompt_tokens() {
    let limits = QueueLimits { requests: 2, prompt_tokens: 500, ..QueueLimits::default() };
    let mut bench = Bench::busy(limits);
    assert_eq!(bench.send(1, 1, 400), [Held(1, S + 1)]);
    let full = |requests, prompt_tokens, needed_tokens| RejectReason::QueueFull {
        requests,
        most_requests: 2,
        prompt_tokens,
        most_prompt_tokens: 500,
        needed_tokens,
    };
    assert_eq!(bench.send(2, 2, 101), [Rejected(2, full(1, 400, 101))]);
    assert_eq!(bench.send(3, 3, 100), [Held(3, S + 3)], "exactly full");
    assert_eq!(bench.send(4, 4, 1), [Rejected(4, full(2, 500, 1))]);
    assert_eq!(
        full(2, 500, 1).to_string(),
        "the queue is full: 2 of 2 requests and 500 of 500 prompt tokens wait, this prompt has 1 \
         tokens"
    );
    // One that leaves makes room for another.
    assert_eq!(bench.tell(5, Input::Cancelled(RequestId(1))), []);
    assert_eq!(bench.send(6, 4, 400), [Held(4, S + 6)]);
    assert_eq!(bench.tell(7, finished(0)), [Sent(3, 0)]);
    assert_eq!(bench.tell(8, finished(3)), [Sent(4, 0)]);
    bench.tell(9, finished(4));
    bench.end();
}

#[test]
fn a_request_that_waited_too_long_is_rejected() {
    let longest = Duration::from_millis(2_500);
    let mut bench = Bench::busy(QueueLimits { longest_wait: longest, ..QueueLimits::default() });
    bench.send(0, 1, 100);
    for second in [1, 2] {
        assert_eq!(bench.tell(second * S, Input::Tick), []);
    }
    assert_eq!(bench.wake(), Some(2_500_000_000), "sooner than the next look at 3 s");
    let reason = RejectReason::WaitedTooLong { waited: longest, longest };
    assert_eq!(bench.tell(2_500_000_000, Input::Tick), [Rejected(1, reason)]);
    assert_eq!(reason.to_string(), "waited 2.5 s in the queue, the longest wait is 2.5 s");
    // Where room comes free at that instant, the request is sent.
    bench.send(3 * S, 2, 100);
    assert_eq!(bench.tell(5_500_000_000, finished(0)), [Sent(2, 0)]);
    bench.tell(6 * S, finished(2));
    bench.end();
}

#[test]
fn a_router_that_may_not_wait_rejects_what_its_rule_holds() {
    for (limits, reason) in [
        (
            QueueLimits { longest_wait: Duration::ZERO, ..QueueLimits::default() },
            RejectReason::WaitedTooLong { waited: Duration::ZERO, longest: Duration::ZERO },
        ),
        (
            QueueLimits { requests: 0, ..QueueLimits::default() },
            RejectReason::QueueFull {
                requests: 0,
                most_requests: 0,
                prompt_tokens: 0,
                most_prompt_tokens: 1 << 24,
                needed_tokens: 100,
            },
        ),
    ] {
        let mut bench = Bench::busy(limits);
        assert_eq!(bench.send(1, 1, 100), [Rejected(1, reason)]);
        bench.tell(2, finished(0));
        bench.end();
    }
}

#[test]
fn a_deadline_ends_the_wait() {
    let mut bench = Bench::busy(QueueLimits::default());
    assert_eq!(bench.send_until(S, 1, S + 300), [Held(1, 2 * S)]);
    assert_eq!(bench.wake(), Some(S + 300), "sooner than the rule's next look");
    let waited = Duration::from_nanos(300);
    let reason = RejectReason::DeadlinePassed { waited };
    assert_eq!(bench.tell(S + 300, Input::Tick), [Rejected(1, reason)]);
    // Room that comes free too late is not for it.
    assert_eq!(bench.send_until(2 * S, 2, 2 * S + 300), [Held(2, 3 * S)]);
    assert_eq!(bench.send(2 * S, 3, 100), [Held(3, 3 * S)]);
    let all = bench.tell(2 * S + 300, finished(0));
    assert_eq!(all, [Rejected(2, reason), Sent(3, 0)]);
    // A deadline in the past does not keep a request from a free worker, but it can't wait.
    let past = RejectReason::DeadlinePassed { waited: Duration::ZERO };
    assert_eq!(bench.send_until(3 * S, 4, 2 * S), [Rejected(4, past)]);
    bench.tell(4 * S, finished(3));
    bench.end();
}

#[test]
fn a_held_request_can_be_cancelled_and_its_id_used_again() {
    let mut bench = Bench::busy(QueueLimits::default());
    assert_eq!(bench.send(1, 1, 100), [Held(1, S + 1)]);
    assert_eq!(bench.send(2, 1, 100), [Rejected(1, RejectReason::DuplicateId)]);
    assert_eq!(bench.tell(3, Input::Cancelled(RequestId(1))), []);
    assert_eq!((bench.held(), bench.wake()), (vec![], None));
    assert_eq!(bench.tell(4, Input::Cancelled(RequestId(1))), [], "it is gone already");
    assert_eq!(bench.tell(5, finished(0)), [], "nothing waits for the room");
    assert_eq!(bench.send(6, 1, 100), [Sent(1, 0)]);
    bench.tell(7, finished(1));
    bench.end();
}

#[test]
fn the_end_of_a_request_before_does_not_touch_a_held_one_of_its_id() {
    let mut bench = Bench::busy(QueueLimits::default());
    bench.tell(1, finished(0));
    bench.send(2, 1, 100);
    // Id 0 again, held this time. Its name says nothing new about the worker.
    assert_eq!(bench.send(3, 0, 100), [Held(0, S + 3)]);
    for input in [Input::FirstToken(RequestId(0)), Input::PrefillDone(RequestId(0)), finished(0)] {
        assert_eq!(bench.tell(4, input), []);
    }
    assert_eq!(bench.held(), [0]);
    assert_eq!(bench.tell(5, finished(1)), [Sent(0, 0)]);
    bench.tell(6, finished(0));
    bench.end();
}

#[test]
fn held_requests_outlive_a_worker_if_another_can_serve_them() {
    let mut bench = Bench::new(QueueLimits::default(), 2);
    bench.send(0, 0, 100);
    bench.send(0, 1, 100);
    let (first, second) = (bench.first_on(0), bench.first_on(1));
    assert_eq!(bench.send(1, 2, 100), [Held(2, S + 1)]);
    // The other worker is as full as before.
    assert_eq!(bench.tell(2, Input::Lost(WorkerId(0).into())), []);
    // The end of the request that was on the lost worker frees nothing.
    assert_eq!(bench.tell(3, Input::Cancelled(RequestId(first))), []);
    assert_eq!(bench.held(), [2]);
    assert_eq!(bench.tell(4, finished(second)), [Sent(2, 1)]);
    bench.tell(5, finished(2));
    bench.end();
}

#[test]
fn held_requests_are_rejected_when_the_last_worker_is_lost() {
    let mut bench = Bench::busy(QueueLimits::default());
    bench.send(1, 1, 100);
    bench.send(2, 2, 100);
    let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
    let lost = bench.tell(3, Input::Lost(SourceId::Worker(WorkerId(0))));
    assert_eq!(lost, [Rejected(1, none), Rejected(2, none)]);
    bench.end();
}

#[test]
fn a_worker_that_joins_or_is_undrained_takes_held_requests() {
    let mut bench = Bench::busy(QueueLimits::default());
    (1..=4).for_each(|id| drop(bench.send(id, id, 100)));
    assert_eq!(bench.tell(5, Input::Joined(crate::common::joined(1))), [Sent(1, 1)]);
    // A restart: what was on it is lost, and there is room again.
    assert_eq!(bench.tell(6, Input::Joined(crate::common::joined(1))), [Sent(2, 1)]);
    assert_eq!(bench.tell(7, Input::Drained(WorkerId(2))), []);
    assert_eq!(bench.tell(8, Input::Joined(crate::common::joined(2))), [], "it came back drained");
    assert_eq!(bench.tell(9, Input::Undrained(WorkerId(2))), [Sent(3, 2)]);
    // All drain: nothing that is held can ever be served.
    assert_eq!(bench.tell(10, Input::Draining(WorkerId(0))), []);
    assert_eq!(bench.tell(11, Input::Drained(WorkerId(1))), []);
    let none = RejectReason::NoEligibleWorker { joined: 3, draining: 3 };
    assert_eq!(bench.tell(12, Input::Draining(WorkerId(2))), [Rejected(4, none)]);
    for id in [0, 2, 3] {
        assert_eq!(bench.tell(13, finished(id)), []);
    }
    bench.end();
}

#[test]
fn a_prompt_that_only_a_lost_worker_could_hold_is_rejected() {
    let mut bench = Bench::new(QueueLimits::default(), 0);
    bench.tell(0, Input::Joined(crate::common::joined(0)));
    let small = WorkerInfo { total_blocks: Some(5), ..crate::common::joined(1) };
    bench.tell(0, Input::Joined(small));
    assert_eq!(bench.send(1, 0, 100), [Sent(0, 0)]);
    assert_eq!(bench.send(2, 1, 100), [Held(1, S + 2)], "the small one is free and too small");
    let reason = RejectReason::PromptTooLarge { needed: 11, largest: 5 };
    assert_eq!(bench.tell(3, Input::Lost(WorkerId(0).into())), [Rejected(1, reason)]);
    bench.end();
}

#[test]
fn a_change_of_policy_decides_about_held_requests_in_order() {
    let mut bench = Bench::busy(QueueLimits::default());
    (1..=3).for_each(|id| drop(bench.send(id, id, 100)));
    let before = bench.looked.get();
    let all = bench.tell(4, Input::SetPolicy(PolicyConfig::KvAware));
    assert_eq!(all, [Sent(1, 0), Sent(2, 0), Sent(3, 0)]);
    assert_eq!(bench.looked.get() - before, 3, "one look-up for each");
    let overlaps = &bench.entries.last().expect("an entry").overlaps;
    let blocks: Vec<u32> = overlaps.iter().map(|overlap| overlap.entries()[0].blocks()).collect();
    assert_eq!(blocks, [2, 3, 1], "they are recorded in the order of the look-ups");
    // A smaller room: what was sent stays sent.
    let one = bench.tell(5, Input::SetPolicy(policy()));
    assert_eq!(one, []);
    assert_eq!(bench.send(6, 4, 100), [Held(4, S + 6)]);
    let wider = WaitForRoom { max_active: 5, recheck_s: 1.0 }.into();
    assert_eq!(bench.tell(7, Input::SetPolicy(wider)), [Sent(4, 0)]);
    (0..=4).for_each(|id| drop(bench.tell(8, finished(id))));
    bench.end();
}

#[test]
fn a_load_report_and_a_first_token_ask_again() {
    let mut bench = Bench::busy(QueueLimits::default());
    bench.send(0, 1, 100);
    let report = LoadReport {
        worker: WorkerId(0),
        epoch: 1,
        seq: 0,
        waiting: 0,
        running: 1,
        queued_prefill_tokens: 0,
        blocks_by_tier: [0; 4],
        blocks_in_use: 0,
        digest: None,
    };
    for (now, input) in [(10, Input::Load(report)), (20, Input::FirstToken(RequestId(0)))] {
        assert_eq!(bench.tell(now, input), []);
        assert_eq!(bench.wake(), Some(S + now), "the rule was asked at {now}");
    }
    bench.tell(30, finished(0));
    bench.tell(40, finished(1));
    bench.end();
}

#[test]
fn a_prompt_that_is_handed_over_makes_room_on_its_prefill_worker() {
    let mut bench = Bench::new(QueueLimits::default(), 0);
    for (worker, role) in [(0, Role::Prefill), (1, Role::Decode)] {
        bench.tell(0, Input::Joined(WorkerInfo { role, ..crate::common::joined(worker) }));
    }
    assert_eq!(bench.send(1, 0, 100), [Sent(0, 0)]);
    assert_eq!(bench.send(2, 1, 100), [Held(1, S + 2)]);
    assert_eq!(bench.tell(3, Input::PrefillDone(RequestId(0))), [Sent(1, 0)]);
    // The last decode worker leaves while one waits.
    assert_eq!(bench.send(4, 2, 100), [Held(2, S + 4)]);
    let none = RejectReason::NoDecodeWorker { joined: 1, draining: 0 };
    assert_eq!(bench.tell(5, Input::Lost(WorkerId(1).into())), [Rejected(2, none)]);
    bench.end();
}

#[test]
fn an_explanation_says_whether_a_request_would_be_held_and_how_long_one_was() {
    let mut bench = Bench::busy(QueueLimits::default());
    let none = |_: &TokenBlocks, out: &mut Overlap| out.clear();
    let would = bench.router.explain(at(S), &request(1, 100), &none).expect("a worker could");
    assert_eq!(would.outcome, Outcome::Held { until: at(2 * S) });
    assert_eq!((would.chosen(), would.decode(), would.waited), (None, None, Duration::ZERO));
    assert_eq!(would.candidates[0].active, 1, "this is why");
    bench.send(S, 1, 100);
    assert_eq!(bench.router.explanation(RequestId(1)), None, "nothing was decided yet");
    let again = bench.router.explain(at(S), &request(1, 100), &none);
    assert_eq!(again, Err(RejectReason::DuplicateId));
    bench.tell(3 * S, finished(0));
    let did = bench.router.explanation(RequestId(1)).expect("it was sent");
    assert_eq!(did.outcome, Outcome::Sent { worker: WorkerId(0), decode: None });
    assert_eq!((did.at, did.waited), (at(3 * S), Duration::from_millis(2_000)));
    assert_eq!(did.candidates.len(), 1);
    bench.tell(4 * S, finished(1));
    bench.end();
}

#[test]
fn a_changed_lookup_of_a_held_request_is_caught_with_its_line() {
    let mut bench = Bench::new(QueueLimits::default(), 2);
    (0..2).for_each(|id| drop(bench.send(0, id, 1_000)));
    (2..5).for_each(|id| drop(bench.send(id, id, 1_000)));
    bench.tell(6, Input::SetPolicy(PolicyConfig::KvAware));
    let lines = bench.lines();
    let last = lines.len();
    let tampered = |from: &str, to: &str| {
        let mut lines = lines.clone();
        let changed = lines[last - 1].replacen(from, to, 1);
        assert_ne!(changed, lines[last - 1], "no {from} in {changed}");
        lines[last - 1] = changed;
        match replay(lines.iter()) {
            Err(ReplayError::Differs { line, recorded, replayed }) => {
                assert_eq!(line, last);
                (recorded, replayed)
            }
            other => panic!("{other:?}"),
        }
    };
    let (recorded, replayed) = tampered("\"by_tier\":[3,", "\"by_tier\":[100,");
    assert_ne!(recorded, replayed);
    // A look-up that nothing asks for is a difference too.
    let more = "\"overlaps\":[{\"entries\":[]},{\"entries\":[]},{\"entries\":[]},";
    let (recorded, replayed) = tampered("\"overlaps\":[", more);
    assert_ne!(recorded, replayed);
}

#[test]
fn a_record_of_the_format_before_still_replays() {
    let text = include_str!("../fixtures/record_v1.jsonl");
    let done = replay(text.lines()).expect("version 1 is read");
    // Four requests were sent; one came before any worker, one had an id in use.
    assert_eq!((done.inputs, done.decisions, done.complete), (17, 6, true));
    let changed = text.replacen("\"by_tier\":[2,", "\"by_tier\":[3,", 1);
    assert!(matches!(replay(changed.lines()), Err(ReplayError::Differs { line: 5, .. })));
    let unknown = text.replacen("record.v1", "record.v3", 1);
    let why = replay(unknown.lines()).expect_err("no such version").to_string();
    let expected = "expected \"warmpath.record.v2\" or \"warmpath.record.v1\"";
    assert_eq!(why, format!("line 1: schema is \"warmpath.record.v3\", {expected}"));
    // Many look-ups belong to version 2 only.
    let mixed = text.replacen("\"overlap\":{", "\"overlaps\":[{", 1);
    assert!(matches!(replay(mixed.lines()), Err(ReplayError::BadLine { line: 5, .. })));
}
