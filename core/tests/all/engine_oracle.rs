//! The engine compared with times computed by hand. Unless a test says otherwise, a step takes
//! 1 ms, or 10 µs for each token if that is longer (above 100 tokens). Blocks hold 4 tokens.

use crate::common::bench::{Bench, MS, Seen, US, at, text, times, with_a_in_the_host_tier};
use crate::common::{linear, round_profile};
use std::collections::BTreeMap;
use warmpath_core::engine::SubmitError;
use warmpath_core::engine::profile::Loads;
use warmpath_core::id::RequestId;
use warmpath_core::tokens::Segment;

#[test]
fn one_request_takes_a_step_for_its_prompt_and_one_for_each_further_token() {
    let mut bench = Bench::new(round_profile(4));
    bench.submit(7 * MS, 1, &[text(1, 10)], 5);
    // Prompt: 10 tokens, 1 ms. Four more tokens, 1 ms each.
    assert_eq!(times(&bench.finish(), 1), (8 * MS, 12 * MS));
}

#[test]
fn a_step_pays_every_term_of_its_time() {
    let mut profile = round_profile(4);
    linear(&mut profile).base_ns = 100_000.0;
    linear(&mut profile).ns_per_pair = 1_000.0;
    linear(&mut profile).ns_per_seq = 5_000.0;
    linear(&mut profile).ns_per_context_token = 100.0;
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 3)], 3);
    // Prompt: 100 base + 1000 weights + (1 + 2 + 3) pairs * 1 + 1 sequence * 5 = 1111 µs.
    // Second token: 100 + 1000 + 5 + 4 tokens of context * 0.1 = 1105.4 µs; third: 1105.5 µs.
    let first = 1_111 * US;
    assert_eq!(times(&bench.finish(), 1), (first, first + 1_105_400 + 1_105_500));
}

#[test]
fn a_step_reads_the_context_of_decoding_requests_only() {
    let mut profile = round_profile(4);
    linear(&mut profile).ns_per_context_token = 1_000.0;
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 9)], 3);
    bench.submit(0, 2, &[text(2, 19)], 2);
    bench.submit(0, 3, &[text(3, 29)], 50);
    bench.cancel(MS + 1, 3);
    // First tokens at 1 ms. The next step reads 10 + 20 + 30 tokens, takes 1.06 ms and ends R2. R3
    // is cancelled in it. The step after it reads 11 tokens of R1.
    let second = MS + 1_060 * US;
    let third = second + 1_011 * US;
    // Much later, alone: 10 tokens.
    bench.submit(10 * MS, 4, &[text(4, 9)], 2);
    let seen = bench.finish();
    assert_eq!((times(&seen, 2), times(&seen, 1)), ((MS, second), (MS, third)));
    assert_eq!(seen[&3], Seen { admitted: Some(0), first: Some(MS), ..Seen::default() });
    assert_eq!(times(&seen, 4), (11 * MS, 12_010 * US));
}

#[test]
fn a_long_prompt_is_computed_in_chunks() {
    let mut profile = round_profile(4);
    linear(&mut profile).ns_per_pair = 1.0;
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 2_500)], 1);
    // Chunks of 1000, 1000 and 500 tokens: 10 + 10 + 5 ms. With any chunks, each token attends to
    // the tokens before it and to itself: 2500 * 2501 / 2 pairs of 1 ns.
    let first = 25 * MS + 2_500 * 2_501 / 2;
    bench.run_until(10 * MS);
    assert_eq!(
        bench.engine.load_report().queued_prefill_tokens,
        2_500,
        "the first chunk is still running"
    );
    bench.run_until(11 * MS);
    assert_eq!(bench.engine.load_report().queued_prefill_tokens, 1_500);
    assert_eq!(times(&bench.finish(), 1), (first, first));
}

#[test]
fn a_later_request_finds_the_shared_prefix() {
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 400), text(2, 100)], 1);
    bench.submit(10 * MS, 2, &[text(1, 400), text(3, 110)], 1);
    bench.submit(20 * MS, 3, &[text(1, 400), text(2, 100)], 1);
    let seen = bench.finish();
    // 500 tokens at 10 µs.
    assert_eq!(times(&seen, 1), (5 * MS, 5 * MS));
    // 100 blocks with 400 of 510 tokens are cached; the other 110 cost 1.1 ms.
    assert_eq!(times(&seen, 2), (11_100 * US, 11_100 * US));
    assert_eq!((seen[&2].hit, seen[&2].cached), ([100, 0, 0], 400));
    // All blocks are cached. The last one is computed again to sample from: 4 tokens, 1 ms.
    assert_eq!(times(&seen, 3), (21 * MS, 21 * MS));
    assert_eq!((seen[&3].hit, seen[&3].cached), ([124, 0, 0], 496));
}

#[test]
fn a_request_in_the_same_step_finds_the_shared_prefix_too() {
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 400), text(2, 100)], 1);
    bench.submit(0, 2, &[text(1, 400), text(3, 100)], 1);
    let seen = bench.finish();
    // One step of 500 + 100 tokens.
    assert_eq!(times(&seen, 1), (6 * MS, 6 * MS));
    assert_eq!((times(&seen, 2), seen[&2].hit), ((6 * MS, 6 * MS), [100, 0, 0]));
}

#[test]
fn the_next_turn_finds_the_previous_answer() {
    let mut bench = Bench::new(round_profile(4));
    // 6 + 6 tokens, and the last has no KV. Blocks 0 and 1 are full; block 1 holds tokens of both.
    bench.submit(0, 1, &[text(1, 6)], 6);
    bench.submit(10 * MS, 2, &[text(1, 6), Segment::Answer { tokens: 6 }, text(2, 8)], 1);
    assert_eq!(bench.finish()[&2].hit, [2, 0, 0]);
}

#[test]
fn an_arrival_ends_a_decode_stretch_after_the_current_step() {
    for arrival in [3_000 * US + 1, 3_500 * US, 4_000 * US] {
        let mut profile = round_profile(1_000);
        profile.max_num_batched_tokens = 2_000;
        let mut bench = Bench::new(profile);
        bench.submit(0, 1, &[text(1, 4)], 20);
        bench.submit(arrival, 2, &[text(2, 199)], 1);
        bench.run_until(4 * MS);
        // R1 has a token at 1, 2, 3 and 4 ms. The mixed step holds 199 + 1 tokens: 2 ms.
        assert_eq!(bench.progress(5 * MS), [(1, 4)]);
        assert_eq!(bench.progress(6 * MS), [(1, 5)]);
        let seen = bench.finish();
        assert_eq!(times(&seen, 2), (6 * MS, 6 * MS), "arrival at {arrival} ns");
        // Five tokens by 6 ms, fifteen are left.
        assert_eq!(times(&seen, 1), (MS, 21 * MS), "arrival at {arrival} ns");
    }
}

/// Compares one stretch of 5,000 steps with the same steps one by one (with blocks of one token
/// every step ends a stretch), and with exact integers.
#[test]
fn the_closed_form_of_a_decode_stretch_is_the_sum_of_its_steps() {
    let (prompt, output) = (777, 5_001);
    let end = |block_size| {
        let mut profile = round_profile(block_size);
        linear(&mut profile).weights_ns = 1_234_567.25;
        linear(&mut profile).ns_per_context_token = 123.5;
        let mut bench = Bench::new(profile);
        bench.submit(0, 1, &[text(1, prompt)], output);
        let (first, finished) = times(&bench.finish(), 1);
        finished - first
    };
    // Step i (from 0) reads 778 + i tokens. The unit is a quarter of a nanosecond, an integer.
    let quarters: u64 = (0..5_000).map(|i| 4_938_269 + (778 + i) * 494).sum();
    assert_eq!(end(65_536), quarters.div_ceil(4), "rounded once");
    assert!(end(1).abs_diff(quarters / 4) <= 5_000 / 2, "rounded by at most 0.5 ns a step");
}

#[test]
fn without_room_the_request_admitted_last_is_preempted_and_computed_again() {
    let mut profile = round_profile(4);
    profile.hbm_tokens = Some(6 * 4);
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 8)], 12);
    bench.submit(0, 2, &[text(2, 8)], 8);
    // 3 blocks each, for 8 + 1 tokens. Both have their first token at 1 ms and their fifth at 5 ms.
    // Then 12 tokens fill three blocks, and both need a fourth. R2 is preempted: its last block
    // leaves at once and its second at 9 ms. R1 continues alone: 12 tokens by 12 ms.
    bench.run_until(5 * MS);
    assert_eq!(bench.engine.load_report().waiting, 1);
    let stats = |bench: &Bench| {
        let stats = bench.engine.stats();
        (stats.preemptions, stats.recomputed_tokens)
    };
    assert_eq!(stats(&bench), (1, 0));
    // At 12 ms R2 finds one block of 4 tokens and computes 8 + 5 - 4 = 9 tokens. Its sixth token is
    // at 13 ms, its eighth at 15 ms.
    bench.run_until(12 * MS);
    assert_eq!(stats(&bench), (1, 9));
    let seen = bench.finish();
    assert_eq!(times(&seen, 1), (MS, 12 * MS));
    assert_eq!(times(&seen, 2), (MS, 15 * MS));
    assert_eq!(seen[&2].cached, 0, "counted at its first admission");
}

#[test]
fn max_num_seqs_limits_the_running_requests() {
    let mut profile = round_profile(4);
    profile.max_num_seqs = 2;
    let mut bench = Bench::new(profile);
    for id in 1..=3 {
        bench.submit(0, id, &[text(id, 4)], 3);
    }
    let load = |bench: &Bench| {
        let report = bench.engine.load_report();
        (report.waiting, report.running, report.queued_prefill_tokens)
    };
    bench.run_until(0);
    assert_eq!(load(&bench), (0, 0, 12), "the gauges are those of the last step");
    bench.run_until(MS);
    assert_eq!(load(&bench), (1, 2, 4));
    let seen = bench.finish();
    // Two requests run from 0 to 3 ms, the third after them.
    assert_eq!(
        [1, 2, 3].map(|id| times(&seen, id)),
        [(MS, 3 * MS), (MS, 3 * MS), (4 * MS, 6 * MS)]
    );
}

#[test]
fn decoding_requests_get_the_token_budget_first() {
    let mut profile = round_profile(4);
    (profile.max_num_seqs, profile.max_num_batched_tokens) = (2, 3);
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 3)], 6);
    bench.submit(1, 2, &[text(2, 4)], 1);
    // R1's prompt fills the first step. Then R1 takes one of three tokens in each step, and two are
    // left for R2. So R2's four tokens are computed after the steps that end at 2 and 3 ms.
    let seen = bench.finish();
    assert_eq!((times(&seen, 1), times(&seen, 2)), ((MS, 6 * MS), (3 * MS, 3 * MS)));
}

#[test]
fn sizes_around_a_block_take_the_right_steps_and_leave_full_blocks() {
    for prompt in [1, 3, 4, 5, 7, 8, 9] {
        for output in [1, 3, 4, 5] {
            let mut profile = round_profile(4);
            // HBM has exactly the room that the request needs.
            profile.hbm_tokens = Some(u64::from(prompt + output).next_multiple_of(4));
            let mut bench = Bench::new(profile);
            bench.submit(0, 1, &[text(1, prompt)], output);
            bench.run_until(u64::MAX);
            // The last token has no KV, so it fills no block.
            let full = u64::from((prompt + output - 1) / 4);
            let case = format!("{prompt} + {output} tokens");
            assert_eq!(bench.engine.load_report().blocks_by_tier[0], full, "{case}");
            let expected = (MS, u64::from(output) * MS);
            assert_eq!(times(&bench.finish(), 1), expected, "{case}");
        }
    }
}

#[test]
fn a_cancelled_request_frees_its_slot_and_blocks_in_every_state() {
    // Waiting: no step has started.
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 10)], 5);
    bench.cancel(0, 1);
    assert!(bench.engine.is_idle());
    assert_eq!(bench.finish(), BTreeMap::new());

    // Prefilling: the running step ends and makes no token.
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 10)], 5);
    bench.cancel(500 * US, 1);
    bench.run_until(MS);
    bench.engine.check_at_rest();
    assert_eq!(bench.finish()[&1].first, None);

    // Between two chunks.
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 2_500)], 5);
    bench.cancel(15 * MS, 1);
    bench.run_until(20 * MS);
    bench.engine.check_at_rest();
    assert_eq!(bench.finish()[&1].first, None);

    // Decoding: the stretch ends after the current step.
    let mut bench = Bench::new(round_profile(1_000));
    bench.submit(0, 1, &[text(1, 10)], 50);
    bench.cancel(3_500 * US, 1);
    bench.run_until(4 * MS);
    bench.engine.check_at_rest();
    assert_eq!(bench.engine.next_wake(), None);
    assert_eq!(bench.finish()[&1].finished, None);

    // Loading: the request ends at once, its transfer continues to its end.
    let mut bench = with_a_in_the_host_tier(Loads::Always);
    bench.submit(20 * MS, 1, &[text(1, 201)], 1);
    bench.cancel(21 * MS, 1);
    assert!(bench.engine.is_idle());
    bench.run_until(22_500 * US);
    bench.engine.check_at_rest();
    assert_eq!(bench.engine.next_wake(), None);
    // The request took 51 blocks for 201 + 1 tokens. One place was free, so 50 blocks of B were
    // evicted. 50 blocks of A were loaded; the 51st was never filled.
    assert_eq!(bench.engine.load_report().blocks_by_tier[..2], [100, 100]);
}

#[test]
fn a_cancelled_request_reports_no_end_even_if_its_last_token_was_made() {
    let mut bench = Bench::new(round_profile(4));
    bench.submit(0, 1, &[text(1, 10)], 2);
    bench.cancel(1_500 * US, 1);
    let seen = bench.finish();
    assert_eq!((seen[&1].first, seen[&1].finished), (Some(MS), None));
}

#[test]
fn cancelling_the_first_waiting_request_admits_the_next_after_the_current_step() {
    let mut profile = round_profile(100);
    profile.hbm_tokens = Some(400);
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 10)], 80);
    // It needs all four blocks, so it waits, and so does the request behind it.
    bench.submit(0, 2, &[text(2, 350)], 1);
    bench.submit(0, 3, &[text(3, 10)], 1);
    bench.cancel(3_500 * US, 2);
    let seen = bench.finish();
    assert_eq!(times(&seen, 3), (5 * MS, 5 * MS));
    assert_eq!(times(&seen, 1), (MS, 80 * MS));
}

#[test]
fn a_request_that_can_not_be_served_is_rejected_with_the_reason() {
    let mut profile = round_profile(4);
    profile.hbm_tokens = Some(40);
    let mut bench = Bench::new(profile);
    let try_it = |bench: &mut Bench, id, prompt, output| {
        let segments = if prompt == 0 { vec![] } else { vec![text(1, prompt)] };
        let work = bench.work(id, &segments, output);
        bench.engine.submit(at(0), work)
    };
    assert_eq!(try_it(&mut bench, 1, 0, 5), Err(SubmitError::EmptyPrompt));
    assert_eq!(try_it(&mut bench, 1, 5, 0), Err(SubmitError::EmptyAnswer));
    let too_large = SubmitError::TooLarge { needed: 11, capacity: 10 };
    assert_eq!(try_it(&mut bench, 1, 40, 1), Err(too_large));
    assert_eq!(too_large.to_string(), "request needs 11 blocks, worker holds 10");
    assert_eq!(bench.engine.next_wake(), None, "a rejected request causes no work");
    assert_eq!(try_it(&mut bench, 1, 39, 1), Ok(()));
    assert_eq!(try_it(&mut bench, 1, 1, 1), Err(SubmitError::DuplicateId));
    bench.run_until(u64::MAX);
    assert_eq!(bench.seen.remove(&1).map(|seen| seen.finished), Some(Some(MS)));
    assert_eq!(try_it(&mut bench, 1, 1, 1), Ok(()), "an id is free after its request ended");
    assert_eq!(times(&bench.finish(), 1), (MS, MS));
}

#[test]
fn token_counts_beyond_u32_are_rejected_even_without_a_memory_limit() {
    let mut bench = Bench::new(round_profile(4));
    let mut work = bench.work(1, &[text(1, u32::MAX - 10)], 5);
    work.output_tokens = 100;
    let refused = SubmitError::TooLarge { needed: 1_073_741_847, capacity: 1_073_741_823 };
    // u32::MAX - 10 + 100 = 4,294,967,385 tokens in blocks of 4.
    assert_eq!(bench.engine.submit(at(0), work), Err(refused));
    bench.finish();
}

#[test]
fn a_prompt_of_millions_of_tokens_is_computed() {
    let mut profile = round_profile(65_536);
    profile.max_num_batched_tokens = u32::MAX;
    let mut bench = Bench::new(profile);
    bench.submit(0, 1, &[text(1, 3_000_000_000)], 2);
    // 3 * 10^9 tokens at 10 µs; then one step of 1 ms.
    assert_eq!(times(&bench.finish(), 1), (30_000_000 * MS, 30_000_001 * MS));
}

/// A driver that handles several commands between two turns submits a request later than the instant at
/// which the engine is due.
#[test]
fn a_request_that_comes_after_the_engine_was_due_starts_when_it_comes() {
    let mut bench = Bench::new(round_profile(4));
    let gone = bench.work(1, &[text(1, 4)], 3);
    let late = bench.work(2, &[text(2, 4)], 3);
    bench.engine.submit(at(MS), gone).expect("it fits");
    bench.engine.cancel(at(2 * MS), RequestId(1));
    bench.engine.submit(at(3 * MS), late).expect("it fits");
    let seen = bench.finish();
    assert_eq!(times(&seen, 2), (4 * MS, 6 * MS));
}
