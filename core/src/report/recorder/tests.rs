use super::*;

fn found([hbm, host]: [u32; 2]) -> Cached {
    Cached { tokens: hbm + host, by_tier: [hbm, host, 0, 0, 0, 0] }
}

fn at(ms: u64) -> Instant {
    Instant::START + Duration::from_millis(ms)
}

/// Two requests on two of three workers, computed by hand.
#[test]
fn figures_follow_their_formulas() {
    let mut recorder = Recorder::default();
    recorder.sent(at(0), RequestId(1), 100, 11);
    recorder.sent(at(1_000), RequestId(2), 60, 1);
    recorder.sent(at(1_500), RequestId(3), 7, 1);
    recorder.first_token(at(500), RequestId(1));
    recorder.finished(at(1_500), RequestId(1), WorkerId(0), found([16, 16]));
    recorder.first_token(at(4_000), RequestId(2));
    recorder.finished(at(4_000), RequestId(2), WorkerId(2), found([48, 0]));
    recorder.failed(at(3_000), RequestId(3), "rejected");
    let slo = Slo { ttft_s: 1.0, tpot_s: 0.1 };
    let figures = recorder.figures(16, 3, &slo);
    assert_eq!((figures.offered, figures.requests, figures.errors), (3, 2, 1));
    assert_eq!(figures.hit_rate, Some(80.0 / 160.0));
    let by_tier = [64.0 / 160.0, 16.0 / 160.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(figures.hit_rate_by_tier, Some(by_tier));
    // 100 tokens are 6 full blocks, 60 are 3; 2 + 3 blocks were found.
    assert_eq!(figures.hit_rate_blocks, Some(5.0 / 9.0));
    assert_eq!((figures.prefill_tokens_computed, figures.prefill_tokens_cached), (80, 80));
    assert_eq!(figures.ttft_s, Some(Spread { mean: 1.75, p50: 0.5, p90: 3.0, p99: 3.0 }));
    // One second for the ten tokens after the first. The other answer has one token only.
    assert_eq!(figures.tpot_s, Some(Spread { mean: 0.1, p50: 0.1, p90: 0.1, p99: 0.1 }));
    assert_eq!(figures.duration_s, 4.0);
    assert_eq!(figures.throughput.requests_per_s, 0.5);
    assert_eq!(figures.throughput.output_tokens_per_s, 3.0);
    assert_eq!(figures.goodput_requests_per_s, 0.25, "the second missed its TTFT");
    assert_eq!(figures.within_slo, 1.0 / 3.0);
    // Loads are 68 + 11 = 79, 0 and 12 + 1 = 13, so the mean is 92 / 3.
    let balance = figures.balance_max_over_mean.expect("three workers");
    assert!((balance - 79.0 * 3.0 / 92.0).abs() < 1e-12);
    // Three requests in a second and a half.
    assert_eq!((figures.offered_requests_per_s, figures.arrivals_s), (2.0, 1.5));
}

#[test]
fn a_part_has_its_own_times_and_failures() {
    let mut recorder = Recorder::default();
    for (id, sent) in [(1, 0), (2, 1_000), (3, 1_500), (4, 2_000)] {
        recorder.sent(at(sent), RequestId(id), 100, 11);
    }
    recorder.first_token(at(500), RequestId(1));
    recorder.finished(at(9_000), RequestId(1), WorkerId(0), found([16, 16]));
    recorder.failed(at(3_000), RequestId(3), "rejected");
    recorder.first_token(at(2_500), RequestId(2));
    recorder.finished(at(2_500), RequestId(2), WorkerId(2), found([48, 0]));
    recorder.failed(at(2_000), RequestId(4), "lost");
    let slo = Slo { ttft_s: 1.0, tpot_s: 0.1 };
    let part = recorder.part(|id| id.0 == 2 || id.0 == 3).figures(16, 3, &slo);
    assert_eq!((part.offered, part.requests, part.errors), (2, 1, 1));
    assert_eq!((part.duration_s, part.arrivals_s, part.hit_rate), (2.0, 0.5, Some(0.48)));
    assert_eq!(part.errors_by_reason.keys().collect::<Vec<_>>(), ["rejected"]);
    let all = recorder.figures(16, 3, &slo);
    assert_eq!(recorder.part(|_| true).figures(16, 3, &slo), all);
    let none = recorder.part(|_| false).figures(16, 3, &slo);
    assert_eq!((none.offered, none.duration_s), (0, 0.0));
}

#[test]
fn a_figure_over_nothing_is_absent() {
    let mut recorder = Recorder::default();
    recorder.sent(at(0), RequestId(1), 100, 11);
    recorder.failed(at(3_000), RequestId(1), "rejected");
    let slo = Slo { ttft_s: 1.0, tpot_s: 0.1 };
    let figures = recorder.figures(16, 3, &slo);
    assert_eq!((figures.requests, figures.errors, figures.within_slo), (0, 1, 0.0));
    assert_eq!((figures.hit_rate, figures.hit_rate_blocks), (None, None));
    assert_eq!((figures.hit_rate_by_tier, figures.hit_rate_by_owner), (None, None));
    assert_eq!((figures.ttft_s, figures.tpot_s, figures.e2e_s), (None, None, None));
    assert_eq!(figures.balance_max_over_mean, None);
    // An answer of one token has a TTFT and no time per token after the first.
    recorder.sent(at(4_000), RequestId(2), 100, 1);
    recorder.first_token(at(4_500), RequestId(2));
    recorder.finished(at(4_500), RequestId(2), WorkerId(0), found([0, 0]));
    let figures = recorder.figures(16, 3, &slo);
    assert_eq!((figures.ttft_s.map(|ttft| ttft.mean), figures.tpot_s), (Some(0.5), None));
    assert_eq!(figures.hit_rate, Some(0.0), "nothing of it was cached, which is a figure");
}

#[test]
fn the_gap_between_turns_is_that_of_each_session() {
    let mut recorder = Recorder::default();
    assert_eq!(recorder.turn_gap_s(), None);
    for (id, ms, session) in [
        (1, 0, Some(1)),
        (2, 1_000, Some(2)),
        (3, 2_000, Some(1)),
        (4, 3_000, None),
        (5, 6_000, Some(1)),
    ] {
        recorder.sent(at(ms), RequestId(id), 60, 1);
        recorder.described(at(ms), RequestId(id), session.map(SessionId), TenantId(0));
    }
    // 2 s and 4 s; session 2 has one turn.
    assert_eq!(recorder.turn_gap_s(), Some(3.0));
}

#[test]
fn a_row_has_the_outcome_of_its_request() {
    let mut recorder = Recorder::default();
    recorder.keep_rows();
    recorder.sent(at(500), RequestId(2), 60, 1);
    recorder.sent(at(0), RequestId(1), 100, 11);
    recorder.described(at(20), RequestId(1), Some(SessionId(7)), TenantId(3));
    recorder.placed(RequestId(2), WorkerId(4));
    recorder.placed(RequestId(1), WorkerId(0));
    recorder.failed(at(900), RequestId(2), "lost");
    recorder.first_token(at(500), RequestId(1));
    recorder.finished(at(1_500), RequestId(1), WorkerId(0), found([32, 16]));
    let rows = recorder.take_rows();
    let [answered, failed] = rows.as_slice() else { panic!("{rows:?}") };
    let expected = Row {
        id: RequestId(1),
        session: Some(SessionId(7)),
        tenant: TenantId(3),
        worker: Some(WorkerId(0)),
        intended: at(0),
        sent: at(20),
        first_token: Some(at(500)),
        ended: at(1_500),
        prompt_tokens: 100,
        output_tokens: 11,
        cached: Some(found([32, 16])),
        failed: None,
    };
    assert_eq!(*answered, expected);
    assert_eq!((answered.ttft(), answered.tpot_s()), (Some(Duration::from_millis(500)), Some(0.1)));
    assert_eq!(failed.failed.as_deref(), Some("lost"));
    assert_eq!((failed.worker, failed.ttft(), failed.tpot_s()), (Some(WorkerId(4)), None, None));
    assert_eq!((failed.intended, failed.ended), (at(500), at(900)));
}
