//! An explanation is what the decision was made of: on random fleets the best candidate is the
//! chosen one, and looking changes nothing.

use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::event::{PrefillCost, TierCost, WorkerInfo};
use warmpath_core::id::{RequestId, SessionId, TenantId, TierId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::hash_words;
use warmpath_core::routing::explain::Explanation;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::input::{Action, Decision, Input, RejectReason};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::{Router, no_lookup};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

fn info(worker: u32, prefill_ns: u64) -> WorkerInfo {
    let prefill = PrefillCost {
        step_ns: 1_000.0,
        floor_ns: 0.0,
        chunk_tokens: 100,
        ns_per_token: prefill_ns as f64,
        ns_per_pair: 0.5,
    };
    let host = TierCost { tier: TierId::HOST, latency_ns: 2_000.0, load_ns_per_block: 3_000.0 };
    WorkerInfo { prefill, tiers: vec![host], ..crate::common::joined(worker) }
}

fn request(id: u64, text: u64, tokens: u32) -> Request {
    let scope = ScopePlan::new("", "", "", 10);
    let prompt = TokenBlocks::whole(hash_segments(&scope, &[Segment::Text { seed: text, tokens }]));
    let session = Some(SessionId(text));
    let (id, tenant) = (RequestId(id), TenantId(0));
    Request { id, session, tenant, prompt, priority: 0, deadline: None, max_new_tokens: None }
}

/// What workers hold of any prompt, at random: some of it in HBM and some behind.
fn held(seed: u64, workers: u32, blocks: u32) -> Overlap {
    let mut overlap = Overlap::default();
    for worker in 0..workers {
        let lot = hash_words(&[seed, u64::from(worker)]);
        if !lot.is_multiple_of(3) && blocks > 0 {
            overlap.raise(WorkerId(worker).into(), (lot >> 8) as u32 % (blocks + 1));
        }
    }
    // Only HBM can be raised; a part goes behind it on the way through text.
    let mut text = serde_json::to_value(&overlap).unwrap();
    for entry in text["entries"].as_array_mut().unwrap() {
        let blocks = entry["by_tier"][0].as_u64().unwrap();
        let behind = hash_words(&[seed, blocks]) % (blocks + 1);
        entry["by_tier"][0] = (blocks - behind).into();
        entry["by_tier"][1] = behind.into();
    }
    serde_json::from_value(text).unwrap()
}

fn decision(actions: &[Action]) -> &Decision {
    let [Action::Dispatch { decision, .. }] = actions else { panic!("{actions:?}") };
    decision
}

/// A fleet with a past, drawn from `seed`; each request explained before and after it.
fn live(seed: u64, policy: PolicyConfig, mut each: impl FnMut(&Explanation, &Decision)) {
    let lot = |i: u64, n: u64| hash_words(&[seed, i]) % n;
    let workers = 1 + lot(0, 8) as u32;
    let mut router = Router::new(policy).with_seed(seed);
    router.keep_explanations(4);
    let mut plain = Router::new(policy).with_seed(seed);
    let mut now = Instant::START;
    let tell = |router: &mut Router, now, input: &Input, lookup: &Overlap| {
        let mut actions = Vec::new();
        router.apply(now, input, &|_, out: &mut Overlap| out.clone_from(lookup), &mut actions);
        actions
    };
    let none = Overlap::default();
    for worker in 0..workers {
        let joined = Input::Joined(info(worker, 1_000 + lot(100 + u64::from(worker), 3) * 500));
        assert!(tell(&mut router, now, &joined, &none).is_empty());
        assert!(tell(&mut plain, now, &joined, &none).is_empty());
    }
    for id in 0..40 {
        let draw = |what: u64, n: u64| lot(1_000 + id * 16 + what, n);
        now = now + Duration::from_nanos(draw(0, 200_000));
        let request = request(id, draw(1, 5), 1 + draw(2, 300) as u32);
        let overlap = held(draw(3, 1 << 40), workers, request.prompt.reusable_blocks());
        let lookup = |_: &TokenBlocks, out: &mut Overlap| out.clone_from(&overlap);
        // The tick that a shell applies when one is due: an explanation alone forgets nothing.
        tell(&mut router, now, &Input::Tick, &none);
        tell(&mut plain, now, &Input::Tick, &none);
        let would = router.explain(now, &request, &lookup).unwrap();
        let arrived = Input::Arrived(request);
        let actions = tell(&mut router, now, &arrived, &overlap);
        assert_eq!(
            actions,
            tell(&mut plain, now, &arrived, &overlap),
            "explaining is only looking"
        );
        let did = router.explanation(RequestId(id)).unwrap();
        assert_eq!(would, did);
        each(&did, decision(&actions));
        assert!(plain.explanation(RequestId(id)).is_none(), "kept only where asked for");
        let past = RequestId(draw(4, id + 1));
        let next = match draw(5, 4) {
            0 => Input::FirstToken(past),
            1 => {
                Input::Finished { id: past, cached_tokens: 0, by_origin: None, output_tokens: None }
            }
            2 => Input::Cancelled(past),
            _ => Input::Tick,
        };
        tell(&mut router, now, &next, &none);
        tell(&mut plain, now, &next, &none);
    }
    let kept = (0..40).filter(|&id| router.explanation(RequestId(id)).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [36, 37, 38, 39]);
}

#[test]
fn the_best_candidate_is_the_chosen_one() {
    let (mut loads, mut margins) = (0, 0);
    for seed in 0..200 {
        live(seed, PolicyConfig::KvAware, |explanation, decision| {
            let best = &explanation.candidates[0];
            let worker = decision.worker;
            assert_eq!((best.worker, explanation.chosen()), (worker, Some(worker)));
            assert_eq!(best.overlap, decision.overlap);
            assert!(explanation.candidates.is_sorted_by_key(|candidate| candidate.rank()));
            let total = |i: usize| explanation.candidates[i].terms.unwrap().total();
            if let Some(margin) = explanation.margin() {
                assert_eq!(total(0) + margin, total(1));
                margins += u32::from(margin > Duration::ZERO);
            }
            loads += u32::from(best.terms.unwrap().load > Duration::ZERO);
        });
    }
    assert!(loads > 500 && margins > 2_000, "the fleets are too alike: {loads}, {margins}");
}

#[test]
fn rules_that_do_not_weigh_seconds_list_the_workers_that_could_be_chosen() {
    let rules = crate::common::rules_that_send();
    for policy in rules.into_iter().filter(|&policy| policy != PolicyConfig::KvAware) {
        for seed in 0..20 {
            live(seed, policy, |explanation, decision| {
                let [first, rest @ ..] = explanation.candidates.as_slice() else { panic!("none") };
                assert_eq!((first.worker, explanation.policy), (decision.worker, policy));
                if first.terms.is_some() {
                    assert!(explanation.candidates.is_sorted_by_key(|candidate| candidate.rank()));
                    return;
                }
                assert!(rest.is_sorted_by_key(|candidate| candidate.worker));
                assert!(explanation.candidates.iter().all(|c| c.terms.is_none()));
                assert_eq!((explanation.margin(), explanation.runner_up()), (None, None));
            });
        }
    }
}

#[test]
fn the_operator_and_the_worker_itself_drain_independently() {
    let mut router = Router::new(PolicyConfig::RoundRobin);
    let (a, b) = (WorkerId(0), WorkerId(1));
    let tell = |router: &mut Router, input: Input| {
        let mut actions = Vec::new();
        router.apply(Instant::START, &input, &no_lookup, &mut actions);
        actions.pop()
    };
    let takes = |router: &Router, id| router.fleet().worker(id).unwrap().takes_requests();
    tell(&mut router, Input::Drained(a));
    tell(&mut router, Input::Joined(info(0, 1)));
    tell(&mut router, Input::Joined(info(1, 1)));
    assert!(!takes(&router, a) && takes(&router, b), "drained before it came");
    tell(&mut router, Input::Draining(a));
    tell(&mut router, Input::Undrained(a));
    assert!(!takes(&router, a), "it still drains by itself");
    tell(&mut router, Input::Joined(info(0, 1)));
    assert!(takes(&router, a), "a restart");
    tell(&mut router, Input::Drained(a));
    tell(&mut router, Input::Joined(info(0, 1)));
    assert!(!takes(&router, a), "the operator's drain outlasts a restart");
    tell(&mut router, Input::Drained(b));
    let refused = tell(&mut router, Input::Arrived(request(1, 1, 20)));
    let reason = RejectReason::NoEligibleWorker { joined: 2, draining: 2 };
    assert_eq!(refused, Some(Action::Reject { id: RequestId(1), reason }));
    assert_eq!(router.explain(Instant::START, &request(1, 1, 20), &no_lookup), Err(reason));
    tell(&mut router, Input::Undrained(b));
    let sent = tell(&mut router, Input::Arrived(request(2, 1, 20)));
    assert_eq!(decision(sent.as_slice()).worker, b);
}
