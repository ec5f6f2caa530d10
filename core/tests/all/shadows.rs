//! Rules beside the one that decides change nothing, and are weighed as it is.

use crate::common::{for_seeds, joined, rules_that_send};
use warmpath_core::block::{ScopePlan, TokenBlocks, hash_segments};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::rng::Rng;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::policy::shadow::ShadowCounts;
use warmpath_core::routing::record::{Header, replay};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::tokens::Segment;

const WORKERS: u32 = 5;

fn request(id: u64, text: u64, tokens: u32) -> Request {
    let scope = ScopePlan::new("", "", "", 10);
    let prompt = TokenBlocks::whole(hash_segments(&scope, &[Segment::Text { seed: text, tokens }]));
    let (id, session) = (RequestId(id), Some(SessionId(text)));
    let tenant = TenantId(0);
    Request { id, session, tenant, prompt, priority: 0, deadline: None, max_new_tokens: None }
}

/// Some requests on some workers, drawn. Gives back all actions.
fn play(router: &mut Router, rng: Rng) -> Vec<Action> {
    let mut all = Vec::new();
    play_into(rng, &mut |now, input, overlap: &Overlap| {
        let lookup = |_: &TokenBlocks, out: &mut Overlap| out.clone_from(overlap);
        router.apply(now, input, &lookup, &mut all);
    });
    all
}

fn play_into(mut rng: Rng, tell: &mut impl FnMut(Instant, &Input, &Overlap)) {
    let mut now = Instant::START;
    let mut overlap = Overlap::default();
    for worker in 0..WORKERS {
        tell(now, &Input::Joined(joined(worker)), &overlap);
    }
    for id in 0..60 {
        now = now + Duration::from_nanos(rng.below(300_000));
        let request = request(id, rng.below(6), 1 + rng.below(400) as u32);
        overlap.clear();
        for worker in 0..WORKERS {
            let blocks = rng.below(u64::from(request.prompt.reusable_blocks()) * 2 + 1) as u32;
            if blocks <= request.prompt.reusable_blocks() && blocks > 0 {
                overlap.raise_stored(WorkerId(worker).into(), blocks);
            }
        }
        tell(now, &Input::Arrived(request), &overlap);
        let past = RequestId(rng.below(id + 1));
        let next = match rng.below(3) {
            0 => Input::FirstToken(past),
            1 => Input::Cancelled(past),
            _ => Input::Tick,
        };
        tell(now, &next, &overlap);
    }
}

fn counts(router: &Router) -> Vec<ShadowCounts> {
    router.shadows().into_iter().map(|(_, counts)| counts).collect()
}

#[test]
fn shadows_change_no_decision() {
    let rules = rules_that_send();
    for &live in &rules {
        for_seeds(0..3, |rng| {
            let seed = rng.next_u64();
            let mut alone = Router::new(live).with_seed(seed);
            let mut beside = Router::new(live).with_seed(seed).with_shadows(&rules);
            beside.keep_explanations(4);
            let draws = || Rng::named(seed, &[1]);
            assert_eq!(play(&mut alone, draws()), play(&mut beside, draws()), "{live}");
            assert_eq!(alone.shadows(), []);
        });
    }
}

#[test]
fn the_deciding_rule_as_its_own_shadow_agrees_with_itself() {
    for live in rules_that_send() {
        let mut router = Router::new(live).with_seed(3).with_shadows(&[live]);
        play(&mut router, Rng::named(5, &[1]));
        let [counts] = counts(&router)[..] else { panic!("one shadow") };
        assert_eq!((counts.asked, counts.held), (60, 0), "{live}");
        assert_eq!((counts.same, counts.live), (60, counts.shadow), "{live}");
        assert!(counts.prompt_tokens > 6_000, "{live}");
    }
}

/// Each worker holds more or less of a prompt and is idle: then less is computed where more is held.
#[test]
fn a_rule_that_sees_the_caches_is_ahead_of_one_that_does_not() {
    let shadows = [PolicyConfig::KvAware, PolicyConfig::Random];
    let mut router = Router::new(PolicyConfig::RoundRobin).with_shadows(&shadows);
    play(&mut router, Rng::named(5, &[2]));
    let [aware, random] = counts(&router)[..] else { panic!("two shadows") };
    assert_eq!(aware.live, random.live, "the same requests");
    assert!(aware.shadow.hit_tokens * 4 > aware.live.hit_tokens * 5, "{aware:?}");
    assert!(aware.shadow.ttft < aware.live.ttft, "{aware:?}");
    assert!(aware.same < 30 && random.same < 30, "{aware:?} {random:?}");
    assert!(random.shadow.hit_tokens < aware.shadow.hit_tokens, "{random:?}");
}

#[test]
fn what_a_shadow_would_hold_is_not_weighed() {
    let holds: PolicyConfig = "wait-for-room(max_active=1)".parse().expect("a rule");
    let mut router = Router::new(PolicyConfig::RoundRobin).with_shadows(&[holds]);
    play(&mut router, Rng::named(5, &[3]));
    let [counts] = counts(&router)[..] else { panic!("one shadow") };
    assert!(counts.held > 0 && counts.held < 60, "{counts:?}");
    let sent = router.shadows()[0].1.asked - counts.held;
    assert!(counts.same <= sent && counts.prompt_tokens > 0, "{counts:?}");
}

/// What the index says, whichever rule decides, and without what requests on the way will store.
#[test]
fn a_decision_tells_who_holds_how_much() {
    for live in rules_that_send() {
        let mut router = Router::new(live).with_seed(3).telling_holders();
        let told = play(&mut router, Rng::named(5, &[4]));
        let mut plain = Router::new(live).with_seed(3);
        let silent = play(&mut plain, Rng::named(5, &[4]));
        let mut lost = 0;
        for (told, silent) in told.iter().zip(&silent) {
            let (
                Action::Dispatch { decision: told, .. },
                Action::Dispatch { decision: silent, .. },
            ) = (told, silent)
            else {
                panic!("{told:?} {silent:?}")
            };
            assert_eq!((told.worker, silent.holders), (silent.worker, None), "{live}");
            let holders = told.holders.expect("it was asked to tell");
            assert!(holders.chosen <= holders.best, "{live}: {holders:?}");
            lost += holders.lost();
        }
        assert_eq!(told.len(), 60, "{live}");
        match live {
            PolicyConfig::RoundRobin | PolicyConfig::Random => {
                assert!(lost > 100, "{live}: {lost}")
            }
            PolicyConfig::KvAware => assert!(lost < 300, "{live}: {lost}"),
            _ => {}
        }
    }
}

/// A blind rule looks nothing up by itself, but what is told beside it does.
#[test]
fn a_record_of_a_router_that_tells_replays() {
    let json = |line: serde_json::Result<String>| line.expect("it has a form");
    for live in rules_that_send() {
        let router = Router::new(live).with_shadows(&rules_that_send());
        let mut router = router.with_seed(3).telling_holders();
        let mut lines = vec![json(serde_json::to_string(&Header::new(live, 3).telling_holders()))];
        let mut all = Vec::new();
        play_into(Rng::named(5, &[6]), &mut |now, input, overlap| {
            let lookup = |_: &TokenBlocks, out: &mut Overlap| out.clone_from(overlap);
            let entry = router.apply_recorded(now, input.clone(), &lookup, &mut all);
            lines.push(json(serde_json::to_string(&entry)));
        });
        let replayed = replay(lines.iter()).unwrap_or_else(|error| panic!("{live}: {error}"));
        assert_eq!(replayed.decisions, 60, "{live}");
    }
}
