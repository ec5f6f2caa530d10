use super::*;
use crate::block::Chain;
use crate::workload::spec::{SharedTexts, TextsOf};
use std::collections::BTreeMap;

fn spec(arrivals: Arrivals) -> SessionsSpec {
    SessionsSpec {
        name: "test".into(),
        requests: 50,
        arrivals,
        system_prompts: 2,
        system_tokens: 100,
        turns: Amount { mean: 4.0, cv: 0.5 },
        branching: None,
        user_tokens: Amount { mean: 50.0, cv: 1.0 },
        output_tokens: Amount { mean: 20.0, cv: 0.5 },
        think_s: Amount { mean: 2.0, cv: 1.0 },
        think_from: ThinkFrom::Answer,
        max_context_tokens: 2_000,
    }
}

/// Answers each request `service` after its send. Returns (id, send time, prompt tokens, answer
/// tokens).
fn play(spec: &SessionsSpec, service: Duration) -> Vec<(RequestId, Instant, u32, u32)> {
    let scope = ScopePlan::new("", "", "", 16);
    let mut sessions = Sessions::new(spec, &scope, 7, 1.0, None);
    let mut seen = Vec::new();
    let mut ends: BTreeSet<(Instant, RequestId)> = BTreeSet::new();
    loop {
        let end = ends.first().copied();
        match (sessions.next_send(), end) {
            (Some(at), end) if end.is_none_or(|(ended, _)| at <= ended) => {
                let work = sessions.send();
                let request = &work.request;
                seen.push((request.id, at, request.prompt.tokens(), work.output_tokens));
                ends.insert((at + service, request.id));
            }
            (_, Some((ended, id))) => {
                ends.pop_first();
                sessions.on_ended(ended, id);
            }
            (_, None) => return seen,
        }
    }
}

#[test]
fn requests_do_not_depend_on_the_service_time() {
    for arrivals in [
        Arrivals::Poisson { sessions_per_s: 2.0 },
        Arrivals::Gamma { sessions_per_s: 2.0, cv: 2.0 },
        Arrivals::Constant { sessions_per_s: 2.0 },
        Arrivals::Closed { sessions: 3 },
    ] {
        let spec = spec(arrivals);
        let mut fast = play(&spec, Duration::from_millis(1));
        let mut slow = play(&spec, Duration::from_millis(5_000));
        assert_eq!(fast.len(), 50);
        let bare = |all: &mut Vec<(RequestId, Instant, u32, u32)>| {
            all.sort_unstable();
            all.iter().map(|&(id, _, prompt, output)| (id, prompt, output)).collect::<Vec<_>>()
        };
        assert_eq!(bare(&mut fast), bare(&mut slow));
    }
}

#[test]
fn a_turn_waits_for_the_answer_before_it() {
    let service = Duration::from_millis(700);
    let seen = play(&spec(Arrivals::Poisson { sessions_per_s: 5.0 }), service);
    let mut last: BTreeMap<u64, (u64, Instant, u32)> = BTreeMap::new();
    for (id, at, prompt, output) in seen {
        let (session, turn) = (id.0 / MAX_TURNS, id.0 % MAX_TURNS);
        if let Some((before, sent, context)) = last.insert(session, (turn, at, prompt + output)) {
            assert_eq!(turn, before + 1);
            assert!(at >= sent + service, "{id} did not wait");
            assert!(prompt > context, "the history grows");
        }
    }
}

#[test]
fn think_time_from_the_message_keeps_send_times_while_answers_are_fast() {
    let mut spec = spec(Arrivals::Poisson { sessions_per_s: 2.0 });
    spec.think_from = ThinkFrom::Message;
    spec.think_s = Amount { mean: 10.0, cv: 0.0 };
    let fast = play(&spec, Duration::from_millis(1));
    assert_eq!(fast, play(&spec, Duration::from_millis(9_000)));
    // An answer that takes longer than the think time delays the next message.
    let slow = play(&spec, Duration::from_millis(11_000));
    let second = |all: &[(RequestId, Instant, u32, u32)]| {
        all.iter().find(|(id, ..)| id.0 == 1).map(|&(_, at, ..)| at)
    };
    let late = second(&slow).zip(second(&fast)).map(|(slow, fast)| slow - fast);
    assert_eq!(late, Some(Duration::from_millis(1_000)));
}

#[test]
fn the_branches_of_a_level_are_sent_together_and_end_it_together() {
    let mut spec = spec(Arrivals::Closed { sessions: 1 });
    spec.branching = Some(Branching { branches: 3, keep: 2, turns: 1 });
    spec.turns = Amount { mean: 3.0, cv: 0.0 };
    spec.think_s = Amount { mean: 2.0, cv: 0.0 };
    let seen = play(&spec, Duration::from_millis(500));
    assert_eq!(seen.len(), 50, "whole sessions of 15 requests and one that is cut");
    let at = |turn: u64| {
        let of_turn = seen.iter().find(|(id, ..)| id.0 == turn);
        of_turn.map(|&(_, at, ..)| at.as_secs_f64())
    };
    for (turn, expected) in [(0, 0.0), (2, 0.0), (3, 2.5), (8, 2.5), (9, 5.0), (14, 5.0)] {
        assert_eq!(at(turn), Some(expected), "turn {turn}");
    }
    assert_eq!((at(15), at(MAX_TURNS)), (None, Some(5.5)), "session 1 starts after session 0");
}

#[test]
fn a_closed_loop_keeps_its_number_of_sessions() {
    let seen = play(&spec(Arrivals::Closed { sessions: 3 }), Duration::from_millis(10));
    let first = seen.iter().filter(|(id, at, ..)| *at == Instant::START && id.0 % MAX_TURNS == 0);
    assert_eq!(first.count(), 3);
}

#[test]
fn shared_texts_change_no_other_draw() {
    let plain = spec(Arrivals::Poisson { sessions_per_s: 2.0 });
    let scope = ScopePlan::new("", "", "", 16);
    let tokens = Amount { mean: 200.0, cv: 0.0 };
    let texts = SharedTexts { count: 3, tokens, zipf: 1.0, of: TextsOf::Tenant };
    let with = WorkloadSpec {
        sessions: SessionsSpec { max_context_tokens: 2_400, ..plain.clone() },
        team_prefixes: Some(texts),
        documents: Some(texts),
        tenants: 1,
        tenant_zipf: 0.0,
        stages: Vec::new(),
        prompts: None,
    };
    let mut bare = Sessions::new(&plain, &scope, 7, 1.0, None);
    let mut shared = Sessions::with_shared_texts(&with, &Scopes::from(&scope), 7, 1.0, None);
    let mut chains = Vec::new();
    while let Some(at) = bare.next_send() {
        assert_eq!(shared.next_send(), Some(at));
        let (a, b) = (bare.send(), shared.send());
        assert_eq!(a.request.id, b.request.id);
        assert_eq!(a.request.prompt.tokens() + 400, b.request.prompt.tokens());
        assert_eq!(a.output_tokens, b.output_tokens);
        chains.push(b.request.prompt.chain().clone());
        bare.on_ended(at, a.request.id);
        shared.on_ended(at, a.request.id);
    }
    // System prompt, team prefix and document have 500 tokens and 18 combinations.
    let document = |chain: &Chain| chain.hash(30);
    let different: BTreeSet<_> = chains.iter().map(document).collect();
    assert!((4..=18).contains(&different.len()), "{}", different.len());
}
