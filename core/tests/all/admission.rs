//! What a router takes on. Requests take 100 ms to compute, and a worker gets no more while it has more
//! than 250 ms of work, so three are sent to each idle worker at once.

use crate::common::attempts::Bench;
use std::collections::BTreeMap;
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_blocks};
use warmpath_core::id::{RequestId, TenantId};
use warmpath_core::request::Request;
use warmpath_core::routing::admission::{AdmissionLimits, Class, Share};
use warmpath_core::routing::explain::LeftOut;
use warmpath_core::routing::input::{Action, Failure, Input, RejectReason};
use warmpath_core::routing::policy::LeastLoaded;
use warmpath_core::routing::record::Header;
use warmpath_core::routing::{QueueLimits, Reliability, no_lookup};
use warmpath_core::time::{Duration, Instant};

fn limits() -> AdmissionLimits {
    AdmissionLimits { backlog_s: 0.25, ttft_s: Some(1.0), ..AdmissionLimits::default() }
}

fn bench(workers: u32, limits: AdmissionLimits) -> Bench {
    limits.check().expect("limits that make sense");
    let header = Header::new(LeastLoaded::DEFAULT.into(), 0).with_reliability(Reliability::on());
    Bench::with(workers, header.with_admission(Some(limits)))
}

/// Of 10,000 tokens, which take 100 ms.
fn request(id: u64) -> Request {
    let tokens: Vec<u32> = (0..10_000).map(|token| token + 10_007 * id as u32).collect();
    let prompt = TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", 10), &tokens));
    Request { prompt, ..Bench::request(id) }
}

fn of_tenant(id: u64, tenant: u32) -> Request {
    Request { tenant: TenantId(tenant), ..request(id) }
}

impl Bench {
    fn arrives(&mut self, request: Request) -> Action {
        let id = request.id;
        let out = self.apply(Input::Arrived(request));
        let own = |action: &&Action| match action {
            Action::Dispatch { id: of, .. }
            | Action::Reject { id: of, .. }
            | Action::Hold { id: of, .. }
            | Action::Abandon { id: of, .. } => *of == id,
        };
        out.iter().find(own).expect("each request has an action").clone()
    }

    /// Its first token and its end come now. Which requests are sent.
    fn ends(&mut self, id: u64, tokens: u32) -> Vec<u64> {
        let id = RequestId(id);
        let output_tokens = Some(tokens);
        let mut out = self.apply(Input::FirstToken(id));
        out.extend(self.apply(Input::Finished {
            id,
            cached_tokens: 0,
            by_origin: None,
            output_tokens,
        }));
        sent(&out)
    }

    /// The worker computes one prompt after the other, 100 ms each, until all have ended. The order.
    fn works_off(&mut self, mut under_way: Vec<u64>) -> Vec<u64> {
        let mut order = under_way.clone();
        while !under_way.is_empty() {
            self.ms += 100;
            let first = under_way.remove(0);
            let next = self.ends(first, 1);
            under_way.extend(&next);
            order.extend(next);
        }
        order
    }
}

fn sent(out: &[Action]) -> Vec<u64> {
    let of = |action: &Action| match action {
        Action::Dispatch { id, .. } => Some(id.0),
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

fn is_sent(action: &Action) -> bool {
    matches!(action, Action::Dispatch { .. })
}

fn is_held(action: &Action) -> bool {
    matches!(action, Action::Hold { .. })
}

fn refusal(action: &Action) -> RejectReason {
    match action {
        Action::Reject { reason, .. } => *reason,
        other => panic!("{other:?}, expected a refusal"),
    }
}

#[test]
fn a_worker_with_enough_to_do_gets_no_more_and_what_waits_goes_in_order() {
    let mut bench = bench(1, limits());
    for id in 1..=3 {
        assert!(is_sent(&bench.arrives(request(id))), "{id}");
    }
    for id in 4..=6 {
        assert!(is_held(&bench.arrives(request(id))), "{id}");
    }
    assert_eq!(bench.works_off(vec![1, 2, 3]), [1, 2, 3, 4, 5, 6]);
    bench.end();
}

/// Time alone opens a worker: what waits still comes before what arrives then.
#[test]
fn what_arrives_does_not_overtake_what_waits() {
    let mut bench = bench(1, limits());
    for id in 1..=4 {
        bench.arrives(request(id));
    }
    bench.ms = 60;
    let out = bench.apply(Input::Arrived(request(5)));
    assert_eq!(sent(&out), [4]);
    assert!(is_held(out.last().expect("its own")));
    assert_eq!(bench.works_off(vec![1, 2, 3, 4]), [1, 2, 3, 4, 5]);
    bench.end();
}

#[test]
fn what_would_wait_too_long_is_refused_when_it_arrives() {
    let mut bench = bench(1, limits());
    let actions: Vec<Action> = (1..=20).map(|id| bench.arrives(request(id))).collect();
    let held = actions.iter().filter(|action| is_held(action)).count();
    // 300 ms are on the worker, and each that waits adds 100 ms: 800 ms are full.
    assert_eq!(held, 4, "{actions:?}");
    let reason = refusal(actions.last().expect("twenty"));
    let RejectReason::OverSlo { predicted, slo } = reason else { panic!("{reason:?}") };
    assert!(slo == Duration::from_millis(1_000) && predicted > Duration::from_millis(800));
    assert!(reason.retry_after() >= Some(Duration::from_millis(100)));
    // No request that waits is refused later.
    assert_eq!(bench.works_off(vec![1, 2, 3]).len(), 3 + held);
    // The load is gone, and so is its effect.
    assert!(is_sent(&bench.arrives(request(50))));
    assert_eq!(bench.works_off(vec![50]), [50]);
    bench.end();
}

#[test]
fn without_a_limit_all_wait() {
    let no_limit = AdmissionLimits { ttft_s: None, ..limits() };
    let mut bench = bench(1, no_limit);
    let held = (1..=20).filter(|&id| is_held(&bench.arrives(request(id)))).count();
    assert_eq!(held, 17);
    assert_eq!(bench.works_off(vec![1, 2, 3]).len(), 20);
    bench.end();
}

#[test]
fn a_deadline_that_cannot_be_met_is_refused_even_by_an_idle_worker() {
    let mut bench = bench(1, limits());
    let by = |id, ms: u64| {
        let deadline = Some(Instant::from_nanos(ms * 1_000_000));
        Request { deadline, ..request(id) }
    };
    let late = refusal(&bench.arrives(by(1, 50)));
    assert!(matches!(late, RejectReason::LateForDeadline { .. }), "{late:?}");
    assert!(is_sent(&bench.arrives(by(2, 150))));
    bench.ms = 100;
    assert!(bench.ends(2, 1).is_empty());
    let passed = refusal(&bench.arrives(by(3, 100)));
    assert_eq!(passed, RejectReason::DeadlinePassed { waited: Duration::ZERO });
    bench.end();
}

/// How long an answer takes is learned: its length from the tenant's answers, as a share of what was asked
/// for at most, and its speed from the worker's.
#[test]
fn a_deadline_is_of_the_whole_answer() {
    let mut bench = bench(1, limits());
    let asked = |id, most, by_ms: Option<u64>| Request {
        max_new_tokens: Some(most),
        deadline: by_ms.map(|ms| Instant::from_nanos(ms * 1_000_000)),
        ..request(id)
    };
    // Half as many tokens as asked for, 10 ms each.
    assert!(is_sent(&bench.arrives(asked(1, 202, None))));
    bench.ms = 100;
    bench.first_token(1);
    bench.ms = 1_100;
    let id = RequestId(1);
    let output_tokens = Some(101);
    bench.apply(Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens });
    // 100 ms and 50 tokens of 10 ms: 600 ms.
    let late = refusal(&bench.arrives(asked(2, 100, Some(1_100 + 590))));
    assert!(matches!(late, RejectReason::LateForDeadline { .. }), "{late:?}");
    assert!(is_sent(&bench.arrives(asked(3, 100, Some(1_100 + 610)))));
    bench.ends(3, 50);
    bench.end();
}

#[test]
fn a_tenant_that_floods_the_queue_does_not_delay_another_one() {
    let mut bench = bench(1, AdmissionLimits { ttft_s: None, ..limits() });
    for id in 1..=40 {
        bench.arrives(of_tenant(id, 0));
    }
    for id in 101..=105 {
        assert!(is_held(&bench.arrives(of_tenant(id, 1))));
    }
    let order = bench.works_off(vec![1, 2, 3]);
    let place = |id: u64| order.iter().position(|&at| at == id).expect("it was sent");
    // Three are on the worker, then the two take turns.
    assert!(place(105) <= 3 + 10, "{order:?}");
    assert_eq!(order.len(), 45);
    bench.end();
}

#[test]
fn shares_are_as_the_weights_say() {
    let weights = vec![Share { tenant: TenantId(1), weight: 3.0 }];
    let mut bench = bench(1, AdmissionLimits { ttft_s: None, weights, ..limits() });
    for n in 0..40 {
        bench.arrives(of_tenant(1 + n, 0));
        bench.arrives(of_tenant(101 + n, 1));
    }
    let order = bench.works_off(vec![1, 101, 2]);
    let mut shares: BTreeMap<bool, usize> = BTreeMap::new();
    for id in &order[3..43] {
        *shares.entry(*id > 100).or_default() += 1;
    }
    assert!((29..=31).contains(&shares[&true]), "{shares:?} of 40");
    assert_eq!(order.len(), 80);
    bench.end();
}

#[test]
fn urgent_requests_go_first_and_have_their_own_limit() {
    let classes = vec![Class { priority: -5, ttft_s: 0.5 }];
    let mut bench = bench(1, AdmissionLimits { classes, ..limits() });
    for id in 1..=6 {
        bench.arrives(request(id));
    }
    let urgent = |id, priority| Request { priority, ..request(id) };
    // 300 ms on the worker, and 100 ms of its own: more than 0.8 x 0.5 s.
    let late = refusal(&bench.arrives(urgent(7, -5)));
    let slo = Duration::from_millis(500);
    assert!(matches!(late, RejectReason::OverSlo { slo: own, .. } if own == slo), "{late:?}");
    assert!(is_held(&bench.arrives(urgent(8, -1))));
    assert_eq!(bench.works_off(vec![1, 2, 3]), [1, 2, 3, 8, 4, 5, 6]);
    bench.end();
}

#[test]
fn in_a_full_queue_the_last_makes_room_for_another_tenant() {
    let queue = QueueLimits { requests: 5, ..QueueLimits::default() };
    let no_limit = AdmissionLimits { ttft_s: None, ..limits() };
    let header = Header::new(LeastLoaded::DEFAULT.into(), 0).with_queue_limits(queue);
    let mut bench = Bench::with(1, header.with_admission(Some(no_limit)));
    for id in 1..=8 {
        bench.arrives(of_tenant(id, 0));
    }
    let full = refusal(&bench.arrives(of_tenant(9, 0)));
    assert!(matches!(full, RejectReason::QueueFull { requests: 5, .. }), "{full:?}");
    let out = bench.apply(Input::Arrived(of_tenant(101, 1)));
    let [pushed, own] = &out[..] else { panic!("{out:?}") };
    assert!(matches!(pushed, Action::Reject { id: RequestId(8), .. }) && is_held(own), "{out:?}");
    assert_eq!(bench.works_off(vec![1, 2, 3]), [1, 2, 3, 101, 4, 5, 6, 7]);
    bench.end();
}

/// Slow answers close a worker only while they are news, and never an idle one.
#[test]
fn a_worker_that_was_slow_is_tried_again() {
    let limits = AdmissionLimits { tpot_s: Some(0.02), ttft_s: None, ..limits() };
    let mut bench = bench(1, limits);
    for id in 1..=2 {
        bench.arrives(request(id));
    }
    (1..=2).for_each(|id| bench.first_token(id));
    bench.ms = 1_000;
    // 10 tokens in a second: the worker is far too slow for two.
    bench.finish_with(1, 11);
    bench.ms = 1_100;
    assert!(is_held(&bench.arrives(request(3))), "one is on the worker");
    let out = bench.finish_with(2, 11);
    assert_eq!(sent(&out), [3], "an idle worker is open");
    bench.first_token(3);
    assert!(is_held(&bench.arrives(request(4))));
    bench.ms = 7_000;
    assert_eq!(sent(&bench.apply(Input::Tick)), [4], "what was seen six seconds ago is forgotten");
    bench.works_off(vec![3, 4]);
    bench.end();
}

impl Bench {
    fn finish_with(&mut self, id: u64, tokens: u32) -> Vec<Action> {
        let (id, output_tokens) = (RequestId(id), Some(tokens));
        self.apply(Input::Finished { id, cached_tokens: 0, by_origin: None, output_tokens })
    }
}

/// It was taken on. That its worker failed is no reason to refuse it.
#[test]
fn a_request_that_failed_on_its_worker_is_not_refused_for_the_load() {
    let mut bench = bench(2, limits());
    (1..=6).for_each(|id| assert!(is_sent(&bench.arrives(request(id)))));
    let worker = bench.on[&1];
    let (id, how, again) = (RequestId(1), Failure::NotTaken, Some(request(1)));
    let out = bench.apply(Input::Failed { id, worker, how, again });
    assert_eq!(sent(&out), [1]);
    assert_ne!(bench.on[&1], worker);
    bench.works_off((1..=6).collect());
    bench.end();
}

/// The rule sees the open workers only, and so does who asks why.
#[test]
fn an_explanation_names_the_workers_that_have_enough_to_do() {
    let mut bench = bench(2, limits());
    bench.router.keep_explanations(8);
    // One worker has 400 ms of work, the other 100 ms, and the rule counts requests.
    let long = |id| {
        let tokens: Vec<u32> = (0..40_000).map(|token| token + 7 * id as u32).collect();
        let prompt = TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", 10), &tokens));
        Request { prompt, ..Bench::request(id) }
    };
    assert!(is_sent(&bench.arrives(long(1))));
    let busy = bench.on[&1];
    for id in 2..=3 {
        assert!(is_sent(&bench.arrives(request(id))));
        assert_ne!(bench.on[&id], busy);
    }
    let kept = bench.router.explanation(RequestId(3)).expect("it is kept");
    assert_eq!(kept.left_out, [(busy, LeftOut::Busy)]);
    assert_eq!(kept.candidates.len(), 1, "{:?}", kept.candidates);
    let now = Instant::START;
    let asked = bench.router.explain(now, &request(4), &no_lookup).expect("an open worker");
    assert_eq!(asked.left_out, [(busy, LeftOut::Busy)]);
    bench.works_off(vec![1, 2, 3]);
    bench.end();
}
