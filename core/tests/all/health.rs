//! Failing workers leave rotation and come back.

use crate::common::attempts::{Bench, dispatched};
use crate::common::joined;
use warmpath_core::event::Role;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::routing::Reliability;
use warmpath_core::routing::explain::LeftOut;
use warmpath_core::routing::health::{Standing, Why};
use warmpath_core::routing::input::{Action, Failure, Input};
use warmpath_core::time::Instant;

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
