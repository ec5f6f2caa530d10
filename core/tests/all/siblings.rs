//! Routers before the same fleet: what one tells, and what another makes of it.

use crate::common::attempts::Bench;
use warmpath_core::event::LoadReport;
use warmpath_core::id::{MAX_TIERS, RequestId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::health::{Standing, Why};
use warmpath_core::routing::input::{Action, Decision, Input, News, RouterId};
use warmpath_core::routing::policy::LeastLoaded;
use warmpath_core::routing::record::Header;
use warmpath_core::routing::{Reliability, Siblings};

const OTHER: RouterId = RouterId(7);

fn bench(workers: u32, siblings: Siblings) -> Bench {
    let header = Header::new(LeastLoaded::DEFAULT.into(), 0).with_reliability(Reliability::on());
    Bench::with(workers, header.with_siblings(siblings))
}

fn hear(bench: &mut Bench, router: RouterId, news: News) {
    assert_eq!(bench.apply(Input::Sibling { router, news }), []);
}

/// A sibling sends a request that this router never saw.
fn sent(bench: &mut Bench, router: RouterId, id: u64, worker: u32) {
    let request = Request { id: RequestId(id), ..Bench::request(id + 1_000) };
    let decision = Decision::blind(WorkerId(worker));
    hear(bench, router, News::Sent { request, decision });
}

fn finished(id: u64) -> News {
    let id = RequestId(id);
    News::Finished { id, cached_tokens: 0, by_origin: None, output_tokens: None }
}

/// Requests under way, requests and tokens that wait, booked tokens.
fn on(bench: &Bench, worker: u32) -> (u32, u32, u64, u64) {
    let state = bench.router.fleet().worker(WorkerId(worker)).expect("it joined");
    let booked = state.booked_tokens();
    (state.active(), state.queued_requests(), state.queued_tokens(), booked)
}

#[test]
fn what_a_sibling_sent_is_booked_until_it_ends() {
    let mut bench = bench(2, Siblings::NONE);
    sent(&mut bench, OTHER, 1, 0);
    assert_eq!((on(&bench, 0), on(&bench, 1)), ((1, 1, 40, 40), (0, 0, 0, 0)));
    assert!(!bench.router.fleet().pending().is_empty(), "its blocks are on their way");
    assert_eq!(bench.router.fleet().in_flight(), 0, "it is not this router's");
    let (own, worker) = bench.send();
    assert_eq!(worker, WorkerId(1), "the other one is busy");
    hear(&mut bench, OTHER, News::FirstToken(RequestId(1)));
    assert_eq!(on(&bench, 0), (1, 0, 0, 40));
    hear(&mut bench, OTHER, finished(1));
    assert_eq!(on(&bench, 0), (0, 0, 0, 0));
    assert_eq!(on(&bench, 1).0, 1, "the own request of the same number goes on");
    bench.answer(own);
    bench.end();
}

#[test]
fn routers_may_use_the_same_ids() {
    let mut bench = bench(2, Siblings::NONE);
    sent(&mut bench, OTHER, 1, 0);
    sent(&mut bench, RouterId(8), 1, 1);
    hear(&mut bench, OTHER, News::Cancelled(RequestId(1)));
    assert_eq!((on(&bench, 0).0, on(&bench, 1).0), (0, 1));
    hear(&mut bench, RouterId(8), finished(1));
    // Of a request or a worker that is not known here, nothing is booked.
    hear(&mut bench, RouterId(8), finished(1));
    sent(&mut bench, OTHER, 2, 9);
    hear(&mut bench, OTHER, finished(2));
    assert_eq!((on(&bench, 0).0, on(&bench, 1).0), (0, 0));
    bench.end();
}

#[test]
fn a_sibling_that_is_gone_has_nothing_under_way() {
    let mut bench = bench(2, Siblings::NONE);
    for id in 1..=4 {
        sent(&mut bench, OTHER, id, 0);
        sent(&mut bench, RouterId(8), id, 0);
    }
    assert_eq!(bench.apply(Input::SiblingLost(OTHER)), []);
    assert_eq!(on(&bench, 0).0, 4, "those of the other one");
    assert_eq!(bench.apply(Input::SiblingLost(RouterId(8))), []);
    assert_eq!(on(&bench, 0), (0, 0, 0, 0));
    bench.end();
}

/// A sibling that tells what it sends hears from the other what that sends: both then see the same.
#[test]
fn what_a_router_tells_is_what_another_books() {
    let tell = Siblings { tell: true, ..Siblings::NONE };
    let (mut one, mut two) = (bench(3, tell), bench(3, Siblings::NONE));
    let pass = |one: &mut Bench, two: &mut Bench| {
        for news in one.router.take_news() {
            hear(two, OTHER, news);
        }
        (0..3).for_each(|worker| assert_eq!(on(one, worker), on(two, worker), "w{worker}"));
    };
    let ids: Vec<u64> = (0..6).map(|_| one.send().0).collect();
    pass(&mut one, &mut two);
    assert_eq!((0..3).map(|worker| on(&two, worker).0).sum::<u32>(), 6);
    one.first_token(ids[0]);
    pass(&mut one, &mut two);
    one.fail(ids[1], warmpath_core::routing::input::Failure::NotTaken, true);
    pass(&mut one, &mut two);
    ids.iter().for_each(|&id| one.answer(id));
    pass(&mut one, &mut two);
    assert_eq!(on(&two, 0), (0, 0, 0, 0));
    one.end();
    two.end();
}

/// No worker is judged by a sibling's requests, and none of them hides those of this router.
#[test]
fn a_siblings_requests_are_not_judged() {
    let mut bench = bench(2, Siblings::NONE);
    (1..=5).for_each(|id| sent(&mut bench, OTHER, id, 0));
    bench.ms = 5_000;
    assert_eq!(bench.apply(Input::Tick), [], "nothing to give up");
    assert_eq!(bench.standing(0), Standing::In);
    (11..=20).for_each(|id| sent(&mut bench, RouterId(8), id, 1));
    let stuck: Vec<u64> = (0..3).map(|_| bench.send_to(0)).collect();
    bench.ms = 60_000;
    let worker = WorkerId(0);
    let abandoned: Vec<Action> =
        stuck.iter().map(|&id| Action::Abandon { id: RequestId(id), worker }).collect();
    assert_eq!(bench.apply(Input::Tick), abandoned);
    assert!(matches!(bench.standing(0), Standing::Out { why: Why::Silent, .. }));
}

fn report(worker: u32, waiting: u32, tokens: u64) -> Input {
    Input::Load(LoadReport {
        worker: WorkerId(worker),
        epoch: 1,
        seq: 0,
        waiting,
        running: 1,
        queued_prefill_tokens: tokens,
        blocks_by_tier: [0; MAX_TIERS],
        blocks_in_use: 0,
        digest: None,
    })
}

#[test]
fn a_report_shows_what_others_have_queued() {
    let read = Siblings { read_reports: true, ..Siblings::NONE };
    let (mut bench, mut alone) = (bench(2, read), bench(2, Siblings::NONE));
    for bench in [&mut bench, &mut alone] {
        bench.send_to(0);
        bench.apply(report(0, 3, 160));
    }
    let backlog = |bench: &Bench, ms: u64| {
        let now = warmpath_core::time::Instant::from_nanos(ms * 1_000_000);
        bench.router.fleet().worker(WorkerId(0)).expect("it joined").backlog(now)
    };
    assert_eq!(on(&alone, 0), (1, 1, 40, 40), "a router without siblings knows its own bookings");
    // Four requests of 40 tokens wait; one of them is this router's.
    assert_eq!(on(&bench, 0), (4, 4, 160, 40));
    assert!(backlog(&bench, 0) > backlog(&alone, 0));
    bench.ms = 1_000;
    bench.apply(Input::Tick);
    assert_eq!(on(&bench, 0), (1, 1, 40, 40), "the worker has computed it since");
    bench.apply(report(0, 0, 0));
    assert_eq!(on(&bench, 0), (1, 1, 40, 40), "a booking may be under way to the worker");
}
