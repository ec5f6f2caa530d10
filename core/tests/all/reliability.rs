//! Failing workers leave rotation and come back; failed requests are tried again, within limits.

use crate::common::joined;
use std::collections::BTreeMap;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::event::Role;
use warmpath_core::id::{RequestId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::attempt::TimeLimits;
use warmpath_core::routing::explain::LeftOut;
use warmpath_core::routing::health::{HealthLimits, Standing, Why};
use warmpath_core::routing::input::{Action, Decision, Failure, Input, RejectReason};
use warmpath_core::routing::policy::{LeastLoaded, PolicyConfig};
use warmpath_core::routing::record::{Header, replay};
use warmpath_core::routing::retry::{GiveUp, RetryBudget, RetryLimits};
use warmpath_core::routing::{Reliability, Router, no_lookup};
use warmpath_core::time::{Duration, Instant};

/// A router, its clock in milliseconds, and where each request is.
struct Bench {
    router: Router,
    ms: u64,
    next: u64,
    on: BTreeMap<u64, WorkerId>,
    lines: Vec<String>,
}

impl Bench {
    fn new(workers: u32, what: Reliability) -> Self {
        what.check().expect("limits that make sense");
        let policy: PolicyConfig = LeastLoaded::DEFAULT.into();
        let header = Header::new(policy, 0).with_reliability(what);
        let router = Router::new(policy).with_reliability(what);
        let lines = vec![serde_json::to_string(&header).expect("JSON")];
        let mut bench = Self { router, ms: 0, next: 0, on: BTreeMap::new(), lines };
        for worker in 0..workers {
            assert_eq!(bench.apply(Input::Joined(joined(worker))), []);
        }
        bench
    }

    fn apply(&mut self, input: Input) -> Vec<Action> {
        let (now, mut out) = (Instant::from_nanos(self.ms * 1_000_000), Vec::new());
        let entry = self.router.apply_recorded(now, input, &no_lookup, &mut out);
        self.lines.push(serde_json::to_string(&entry).expect("JSON"));
        for action in &out {
            if let Action::Dispatch { id, decision } = action {
                self.on.insert(id.0, decision.worker);
            }
        }
        out
    }

    fn request(id: u64) -> Request {
        let scope = ScopePlan::new("", "", "", 10);
        let tokens: Vec<u32> = (0..40).map(|token| token + 100 * id as u32).collect();
        let prompt = TokenBlocks::whole(hash_blocks(&scope, &tokens));
        let (id, tenant) = (RequestId(id), TenantId(0));
        Request {
            id,
            session: None,
            tenant,
            prompt,
            priority: 0,
            deadline: None,
            max_new_tokens: None,
        }
    }

    /// A request comes. Where it goes.
    fn send(&mut self) -> (u64, WorkerId) {
        self.next += 1;
        let id = self.next;
        let out = self.apply(Input::Arrived(Self::request(id)));
        assert!(matches!(out[..], [Action::Dispatch { .. }]), "{out:?}");
        (id, self.on[&id])
    }

    /// Sends requests until one is on this worker; the others are answered.
    fn send_to(&mut self, worker: u32) -> u64 {
        for _ in 0..100 {
            let (id, on) = self.send();
            if on == WorkerId(worker) {
                return id;
            }
            self.answer(id);
        }
        panic!("w{worker} gets nothing");
    }

    fn fail(&mut self, id: u64, how: Failure, again: bool) -> Vec<Action> {
        let again = again.then(|| Self::request(id));
        let worker = self.on[&id];
        self.apply(Input::Failed { id: RequestId(id), worker, how, again })
    }

    fn first_token(&mut self, id: u64) {
        self.apply(Input::FirstToken(RequestId(id)));
    }

    fn finish(&mut self, id: u64) {
        let id = RequestId(id);
        self.apply(Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None });
    }

    fn answer(&mut self, id: u64) {
        self.first_token(id);
        self.finish(id);
    }

    fn standing(&self, worker: u32) -> Standing {
        let health = self.router.fleet().rotation().health(WorkerId(worker));
        health.expect("it joined").standing()
    }

    fn is_out(&self, worker: u32) -> bool {
        self.standing(worker) != Standing::In
    }

    /// How many of some requests, one after the other, go to a worker.
    fn share(&mut self, worker: u32, of: u32) -> u32 {
        let mut got = 0;
        for _ in 0..of {
            let (id, on) = self.send();
            got += u32::from(on == WorkerId(worker));
            self.answer(id);
        }
        got
    }

    fn eject(&mut self, worker: u32) {
        for _ in 0..3 {
            let id = self.send_to(worker);
            assert_eq!(self.fail(id, Failure::BeforeFirstToken, false), []);
        }
    }

    /// All is over, and the record replays.
    fn end(self) {
        self.router.check_at_rest_but_pending();
        replay(self.lines.iter()).expect("the record replays");
    }
}

trait AtRest {
    fn check_at_rest_but_pending(self);
}

impl AtRest for Router {
    /// Blocks stay pending for a while after an answer.
    fn check_at_rest_but_pending(mut self) {
        let late = Instant::from_nanos(u64::MAX / 2);
        self.apply(late, &Input::Tick, &no_lookup, &mut Vec::new());
        self.check_at_rest();
    }
}

fn gave_up(out: &[Action]) -> GiveUp {
    match out {
        [Action::Reject { reason: RejectReason::GaveUp { why, .. }, .. }] => *why,
        other => panic!("{other:?}"),
    }
}

fn dispatched(out: &[Action]) -> &Decision {
    match out {
        [Action::Dispatch { decision, .. }] => decision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_failures_in_a_row_take_a_worker_out_and_a_probe_brings_it_back() {
    let mut bench = Bench::new(4, Reliability::on());
    for _ in 0..2 {
        let id = bench.send_to(1);
        bench.fail(id, Failure::BeforeFirstToken, false);
    }
    let id = bench.send_to(1);
    bench.answer(id);
    bench.router.keep_explanations(4);
    bench.eject(1);
    let (id, _) = bench.send();
    let kept = bench.router.explanation(RequestId(id)).expect("it is kept");
    assert_eq!(kept.left_out, [(WorkerId(1), LeftOut::Out(Why::Failing))]);
    bench.answer(id);
    let second = Instant::from_nanos(1_000_000_000);
    assert_eq!(bench.standing(1), Standing::Out { until: second, why: Why::Failing });
    assert_eq!(bench.share(1, 40), 0, "out for a second");
    bench.ms = 1_000;
    let probe = bench.send_to(1);
    assert!(matches!(bench.standing(1), Standing::Probed { by: RequestId(id), .. } if id == probe));
    assert_eq!(bench.share(1, 40), 0, "one probe at a time");
    bench.fail(probe, Failure::NotTaken, false);
    assert_eq!(bench.share(1, 40), 0);
    bench.ms = 2_999;
    assert_eq!(bench.share(1, 40), 0, "two seconds this time");
    bench.ms = 3_000;
    let probe = bench.send_to(1);
    bench.apply(Input::Cancelled(RequestId(probe)));
    let probe = bench.send_to(1);
    bench.first_token(probe);
    assert!(!bench.is_out(1), "a client that went away says nothing; a first token does");
    bench.finish(probe);
    assert!(bench.share(1, 40) > 5);
    bench.eject(1);
    let until = Instant::from_nanos(7_000_000_000);
    assert_eq!(bench.standing(1), Standing::Out { until, why: Why::Failing }, "four seconds");
    bench.end();
}

#[test]
fn at_most_half_of_a_role_is_out() {
    let mut bench = Bench::new(5, Reliability::on());
    for worker in 0..5 {
        bench.eject(worker);
    }
    let out = (0..5).filter(|&worker| bench.is_out(worker)).count();
    assert_eq!(out, 2);
    let mut alone = Bench::new(1, Reliability::on());
    for _ in 0..10 {
        let (id, _) = alone.send();
        alone.fail(id, Failure::BeforeFirstToken, false);
    }
    assert!(!alone.is_out(0));
}

#[test]
fn a_worker_that_is_out_serves_if_no_other_can() {
    let mut bench = Bench::new(2, Reliability::on());
    bench.eject(0);
    assert_eq!(bench.share(0, 20), 0);
    bench.apply(Input::Drained(WorkerId(1)));
    let (id, on) = bench.send();
    assert_eq!(on, WorkerId(0));
    bench.answer(id);
    bench.end();
}

#[test]
fn answers_that_break_off_count_over_first_tokens() {
    let mut bench = Bench::new(4, Reliability::on());
    for _ in 0..3 {
        assert!(!bench.is_out(2));
        let id = bench.send_to(2);
        bench.first_token(id);
        bench.fail(id, Failure::MidStream, false);
    }
    assert!(matches!(bench.standing(2), Standing::Out { why: Why::Breaking, .. }));
    bench.ms = 1_000;
    let probe = bench.send_to(2);
    bench.first_token(probe);
    assert!(bench.is_out(2), "the whole answer is the proof");
    bench.finish(probe);
    assert!(!bench.is_out(2));
}

#[test]
fn a_worker_is_slow_beside_the_others_only() {
    let slow = |slow_worker: u32, slow_ms: u64, usual_ms: u64| {
        let mut bench = Bench::new(4, Reliability::on());
        for _ in 0..40 {
            let (id, on) = bench.send();
            bench.ms += if on == WorkerId(slow_worker) { slow_ms } else { usual_ms };
            bench.answer(id);
        }
        bench.standing(slow_worker)
    };
    assert!(matches!(slow(3, 400, 20), Standing::Out { why: Why::Slow, .. }));
    assert_eq!(slow(3, 400, 400), Standing::In, "all are slow alike");
    assert_eq!(slow(3, 90, 20), Standing::In, "not so much slower");
}

#[test]
fn a_worker_that_answers_nothing_is_out_after_a_second() {
    let mut bench = Bench::new(2, Reliability::on());
    let mut stuck = Vec::new();
    while stuck.len() < 3 {
        let (id, on) = bench.send();
        match on {
            WorkerId(0) => stuck.push(id),
            // The other one is busy too, so that both get requests.
            _ => bench.first_token(id),
        }
    }
    bench.ms = 990;
    let (id, _) = bench.send();
    bench.first_token(id);
    assert!(!bench.is_out(0));
    bench.ms = 1_100;
    let worker = WorkerId(0);
    let abandoned: Vec<Action> =
        stuck.iter().map(|&id| Action::Abandon { id: RequestId(id), worker }).collect();
    assert_eq!(bench.apply(Input::Tick), abandoned);
    assert!(matches!(bench.standing(0), Standing::Out { why: Why::Silent, .. }));
    for id in stuck {
        let out = bench.fail(id, Failure::NoFirstToken, true);
        assert_eq!(dispatched(&out).worker, WorkerId(1));
    }
}

#[test]
fn a_restart_is_in_rotation_but_its_ejections_are_remembered() {
    let mut bench = Bench::new(4, Reliability::on());
    bench.eject(1);
    bench.apply(Input::Lost(WorkerId(1).into()));
    bench.apply(Input::Joined(joined(1)));
    assert!(!bench.is_out(1));
    bench.eject(1);
    let until = Instant::from_nanos(2_000_000_000);
    assert_eq!(bench.standing(1), Standing::Out { until, why: Why::Failing });
}

#[test]
fn a_failed_request_goes_to_a_worker_that_was_not_tried() {
    let mut bench = Bench::new(4, Reliability::on());
    let (id, first) = bench.send();
    let mut tried = vec![first];
    for _ in 0..3 {
        let out = bench.fail(id, Failure::NotTaken, true);
        let next = dispatched(&out).worker;
        assert!(!tried.contains(&next), "{next} again");
        tried.push(next);
    }
    assert_eq!(gave_up(&bench.fail(id, Failure::NotTaken, true)), GiveUp::Tries);
    let mut pair = Bench::new(2, Reliability::on());
    let (id, _) = pair.send();
    pair.fail(id, Failure::NotTaken, true);
    assert_eq!(gave_up(&pair.fail(id, Failure::NotTaken, true)), GiveUp::NoOtherWorker);
    pair.end();
    bench.end();
}

#[test]
fn a_request_that_kills_its_workers_kills_two_and_is_held_against_one() {
    let mut bench = Bench::new(6, Reliability::on());
    for _ in 0..30 {
        let (id, _) = bench.send();
        dispatched(&bench.fail(id, Failure::BeforeFirstToken, true));
        let why = gave_up(&bench.fail(id, Failure::BeforeFirstToken, true));
        assert!(matches!(why, GiveUp::Suspect | GiveUp::Budget), "{why:?}");
        bench.ms += 300;
        // Well requests in between, as in a fleet that works.
        for _ in 0..8 {
            let (id, _) = bench.send();
            bench.answer(id);
        }
    }
    let out = (0..6).filter(|&worker| bench.is_out(worker)).count();
    assert_eq!(out, 0, "no worker is to blame");
    bench.end();
}

#[test]
fn an_answer_is_resumed_twice() {
    let mut bench = Bench::new(6, Reliability::on());
    let (id, _) = bench.send();
    for _ in 0..2 {
        bench.first_token(id);
        dispatched(&bench.fail(id, Failure::MidStream, true));
    }
    bench.first_token(id);
    assert_eq!(gave_up(&bench.fail(id, Failure::Stalled, true)), GiveUp::Resumes);
    bench.end();
}

#[test]
fn tries_have_a_budget() {
    let budget = RetryBudget { share: 0.2, per_s: 10.0, most: 500.0, at_first: 10.0 };
    let retry = Some(RetryLimits { budget, ..RetryLimits::default() });
    let mut bench = Bench::new(4, Reliability { retry, ..Reliability::default() });
    let (requests, mut again) = (2_000u32, 0);
    for _ in 0..requests {
        let (id, _) = bench.send();
        match bench.fail(id, Failure::NotTaken, true)[..] {
            [Action::Dispatch { .. }] => {
                again += 1;
                bench.answer(id);
            }
            [Action::Reject { reason: RejectReason::GaveUp { why: GiveUp::Budget, .. }, .. }] => {}
            ref other => panic!("{other:?}"),
        }
        bench.ms += 5;
    }
    // 10 s, 20 % of 2,000 requests, and the second's worth that it begins with.
    assert!((500..=511).contains(&again), "{again}");
    bench.end();
}

#[test]
fn a_request_on_a_lost_worker_is_tried_again() {
    let mut bench = Bench::new(3, Reliability::on());
    let (id, on) = bench.send();
    bench.apply(Input::Lost(on.into()));
    let out = bench.fail(id, Failure::MidStream, true);
    assert_ne!(dispatched(&out).worker, on);
    bench.answer(id);
    bench.end();
}

#[test]
fn without_limits_nothing_is_tried_again_and_no_worker_leaves() {
    let mut bench = Bench::new(4, Reliability::default());
    for _ in 0..20 {
        let id = bench.send_to(1);
        let out = bench.fail(id, Failure::BeforeFirstToken, true);
        assert_eq!(gave_up(&out), GiveUp::Off);
    }
    assert!(!bench.is_out(1));
    assert!(!bench.lines.concat().contains("reliability"), "as records were before");
    assert!(!bench.lines.concat().contains("limits"));
    bench.end();
}

#[test]
fn a_decision_says_how_long_its_attempt_may_take() {
    let mut bench = Bench::new(2, Reliability::on());
    let limits = |out: &[Action]| dispatched(out).limits.expect("limits");
    let first = limits(&bench.apply(Input::Arrived(Bench::request(900))));
    let ms = Duration::from_millis;
    assert_eq!((first.first_token, first.gap), (ms(2_000), ms(10_000)), "400 us are expected");
    let time = TimeLimits { headers_s: Some(0.5), ..TimeLimits::default() };
    let of = |expected| time.of(expected);
    assert_eq!(of(Some(ms(300))).first_token, ms(3_000));
    assert_eq!(of(Some(ms(300))).headers, ms(500));
    assert_eq!(of(None).first_token, ms(600_000), "it may wait for a seat");
    let bad = TimeLimits { gap_s: 0.0, ..time };
    let bad = Reliability { time: Some(bad), ..Reliability::default() };
    let why = bad.check().expect_err("no time at all");
    assert_eq!(why, "time.gap_s: 0, expected more than 0, at most 1000000");
    let health = HealthLimits { slow_calls: 9, ..HealthLimits::default() };
    let bad = Reliability { health: Some(health), ..Reliability::default() };
    assert_eq!(bad.check().expect_err("too many"), "health.slow_calls: 9, expected 1 to 8");
}

#[test]
fn a_decode_worker_is_probed_too() {
    let mut bench = Bench::new(0, Reliability::on());
    for worker in 0..4 {
        let role = if worker < 2 { Role::Prefill } else { Role::Decode };
        let mut info = joined(worker);
        info.role = role;
        bench.apply(Input::Joined(info));
    }
    let send = |bench: &mut Bench| {
        bench.next += 1;
        let id = bench.next;
        let out = bench.apply(Input::Arrived(Bench::request(id)));
        (id, dispatched(&out).decode.expect("two workers"))
    };
    let fail = |bench: &mut Bench, id, worker| {
        bench.apply(Input::PrefillDone(RequestId(id)));
        let how = Failure::BeforeFirstToken;
        bench.apply(Input::Failed { id: RequestId(id), worker, how, again: None });
    };
    let bad = WorkerId(2);
    for _ in 0..60 {
        let (id, decode) = send(&mut bench);
        match decode == bad {
            true => fail(&mut bench, id, decode),
            false => bench.answer(id),
        }
    }
    assert!(bench.is_out(2) && !bench.is_out(0) && !bench.is_out(1));
    bench.ms = 1_000;
    let mut probes = 0;
    for _ in 0..60 {
        let (id, decode) = send(&mut bench);
        match decode == bad {
            true => probes += 1,
            false => bench.answer(id),
        }
    }
    assert_eq!(probes, 1, "one at a time");
}
