//! Failed requests are tried again, within limits.

use crate::common::attempts::{Bench, dispatched, gave_up};
use warmpath_core::routing::Reliability;
use warmpath_core::routing::attempt::TimeLimits;
use warmpath_core::routing::health::HealthLimits;
use warmpath_core::routing::input::{Action, Failure, Input, RejectReason};
use warmpath_core::routing::retry::{GiveUp, RetryBudget, RetryLimits};
use warmpath_core::time::Duration;

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
    // The control: with a higher limit the same answer is resumed a third time.
    let retry = Some(RetryLimits { resumes: 3, ..RetryLimits::default() });
    let mut bench = Bench::new(6, Reliability { retry, ..Reliability::on() });
    let (id, _) = bench.send();
    for _ in 0..3 {
        bench.first_token(id);
        dispatched(&bench.fail(id, Failure::MidStream, true));
    }
    bench.answer(id);
    bench.end();
}

/// How many of 2,000 requests that fail within 10 s are tried again.
fn tried_again(budget: RetryBudget) -> u32 {
    let retry = Some(RetryLimits { budget, ..RetryLimits::default() });
    let mut bench = Bench::new(4, Reliability { retry, ..Reliability::default() });
    let mut again = 0;
    for _ in 0..2_000 {
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
    bench.end();
    again
}

#[test]
fn tries_have_a_budget() {
    let budget = RetryBudget { share: 0.2, per_s: 10.0, most: 500.0, at_first: 10.0 };
    let again = tried_again(budget);
    // 10 s, 20 % of 2,000 requests, and the second's worth that it begins with.
    assert!((500..=511).contains(&again), "{again}");
    // The control: a budget that never ends.
    assert_eq!(tried_again(RetryBudget { share: 1.0, ..budget }), 2_000);
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
