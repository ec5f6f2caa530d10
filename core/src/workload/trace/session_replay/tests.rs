use super::*;
use crate::block::ScopePlan;
use std::collections::BTreeMap;

fn request(agent: u32, after: &[u32], think_ms: u64, service_ms: u64) -> RecordedRequest {
    RecordedRequest {
        prompt: vec![Segment::Text { seed: u64::from(agent), tokens: 40 }],
        output_tokens: 2,
        service: Duration::from_millis(service_ms),
        agent,
        after: after.into(),
        think: Duration::from_millis(think_ms),
        due: Duration::ZERO,
        priority: 0,
    }
}

/// Four turns, of which the third waits for the two turns of a sub-agent.
fn session() -> RecordedSession {
    let requests = vec![
        request(0, &[], 0, 100),
        request(0, &[0], 1_000, 100),
        request(1, &[1], 10, 300),
        request(1, &[2], 10, 300),
        request(0, &[3, 1], 50, 100),
        request(0, &[4], 90_000, 100),
    ];
    RecordedSession { start: None, requests }
}

fn trace(sessions: usize, at_a_time: u32) -> Arc<SessionTrace> {
    let scope = ScopePlan::new("", "", "", 16);
    let sessions = vec![session(); sessions];
    Arc::new(SessionTrace::new(&sessions, &scope, at_a_time, Duration::from_millis(60_000)))
}

/// Answers every request `service_ms(id)` after it was due. Returns (id, session, due in ms, ended in
/// ms).
fn play(mut replay: SessionReplay, service_ms: impl Fn(u64) -> u64) -> Vec<(u64, u64, u64, u64)> {
    let mut seen = Vec::new();
    let mut ends = BTreeSet::new();
    loop {
        let end = ends.first().copied();
        match (replay.next_send(), end) {
            (Some(at), end) if end.is_none_or(|(ended, _)| at <= ended) => {
                let request = replay.send().request;
                let ended = at + Duration::from_millis(service_ms(request.id.0));
                let ms = |at: Instant| at.as_nanos() / 1_000_000;
                let session = request.session.expect("a recorded session has a name");
                seen.push((request.id.0, session.0, ms(at), ms(ended)));
                ends.insert((ended, request.id));
            }
            (_, Some((ended, id))) => {
                ends.pop_first();
                replay.on_ended(ended, id);
            }
            (_, None) => return seen,
        }
    }
}

#[test]
fn requests_wait_for_answers_and_think_within_the_cap() {
    let seen = play(SessionReplay::new(trace(1, 1), None), |_| 100);
    let due: Vec<(u64, u64, u64)> =
        seen.iter().map(|&(id, session, at, _)| (id, session, at)).collect();
    let expected =
        [(0, 0, 0), (1, 0, 1_100), (2, 1, 1_210), (3, 1, 1_320), (4, 0, 1_470), (5, 0, 61_570)];
    assert_eq!(due, expected);
}

#[test]
fn nominal_times_follow_the_recorded_service() {
    let trace = trace(2, 1);
    // 0, 1.1, 1.21, 1.52, 1.87 and 61.97 s, then the same again from 62.07 s.
    for (seconds, sent) in [(0.0, 1), (1.2, 2), (1.6, 4), (61.0, 5), (62.0, 6), (62.1, 7)] {
        assert_eq!(trace.nominally_sent_within(seconds), sent, "{seconds}");
    }
    assert_eq!(trace.requests(), 12);
}

#[test]
fn a_closed_loop_keeps_its_number_of_sessions_in_order() {
    let seen = play(SessionReplay::new(trace(9, 3), None), |id| 50 + id * 7 % 90);
    assert_eq!(seen.len(), 9 * 6);
    let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for &(id, _, at, ended) in &seen {
        let span = spans.entry(id / 6).or_insert((at, ended));
        *span = (span.0.min(at), span.1.max(ended));
    }
    let starts: Vec<u64> = spans.values().map(|span| span.0).collect();
    assert!(starts.is_sorted());
    for &start in &starts {
        let under_way = spans.values().filter(|span| (span.0..span.1).contains(&start)).count();
        assert!(under_way <= 3, "{under_way} at {start}");
    }
    assert_eq!(starts.iter().filter(|&&start| start == 0).count(), 3);
}

#[test]
fn requests_do_not_depend_on_the_service_time() {
    let trace = trace(20, 4);
    for limit in [None, Some(1), Some(13), Some(60), Some(1_000)] {
        let run = |service: fn(u64) -> u64| {
            let replay = SessionReplay::new(Arc::clone(&trace), limit);
            assert_eq!(replay.total(), limit.unwrap_or(u64::MAX).min(120));
            let mut seen: Vec<(u64, u64)> =
                play(replay, service).iter().map(|&(id, session, ..)| (id, session)).collect();
            seen.sort_unstable();
            seen
        };
        let (fast, slow) = (run(|_| 1), run(|id| 10_000 * (1 + id % 7)));
        assert_eq!(fast, slow, "{limit:?}");
        assert_eq!(fast.len() as u64, limit.unwrap_or(u64::MAX).min(120));
    }
}

#[test]
fn a_limited_run_has_as_many_active_sessions_as_a_whole_one() {
    let seen = play(SessionReplay::new(trace(20, 4), Some(12)), |_| 100);
    let sessions: BTreeSet<u64> = seen.iter().map(|&(id, ..)| id / 6).collect();
    assert_eq!(sessions.len(), 4);
}

#[test]
fn a_sub_agent_has_its_own_session() {
    let seen = play(SessionReplay::new(trace(2, 2), None), |_| 100);
    let names: BTreeMap<u64, u64> = seen.iter().map(|&(id, session, ..)| (id, session)).collect();
    assert_eq!(names.into_values().collect::<Vec<_>>(), [0, 0, 1, 1, 0, 0, 2, 2, 3, 3, 2, 2]);
}

#[test]
fn a_seed_draws_the_order_in_which_sessions_begin() {
    let trace = trace(8, 1);
    let order = |replay: SessionReplay| {
        let played = play(replay, |_| 1);
        assert_eq!(played.len(), trace.requests());
        let mut sessions: Vec<u64> = played.iter().map(|&(id, ..)| id / 6).collect();
        sessions.dedup();
        sessions
    };
    let shuffled = |seed| order(SessionReplay::shuffled(Arc::clone(&trace), None, seed));
    let recorded = order(SessionReplay::new(Arc::clone(&trace), None));
    assert_eq!(recorded, (0..8).collect::<Vec<_>>());
    let mut sorted = shuffled(1);
    assert_ne!(sorted, recorded);
    assert_eq!((shuffled(1), shuffled(1) == shuffled(2)), (sorted.clone(), false));
    sorted.sort_unstable();
    assert_eq!(sorted, recorded, "each session begins once");
}

#[test]
fn a_limited_run_has_the_same_requests_in_each_order() {
    let trace = trace(8, 2);
    let ids = |replay: SessionReplay| {
        let played = play(replay, |_| 1);
        played.iter().map(|&(id, ..)| id).collect::<BTreeSet<_>>()
    };
    let recorded = ids(SessionReplay::new(Arc::clone(&trace), Some(20)));
    assert_eq!(ids(SessionReplay::shuffled(Arc::clone(&trace), Some(20), 7)), recorded);
    assert_eq!(recorded.len(), 20);
}
