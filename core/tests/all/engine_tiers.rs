//! Tiers behind HBM, with times computed by hand. Unless a test says otherwise, a step takes 1 ms,
//! or 10 µs for each token if that is longer (above 100 tokens). Blocks hold 4 tokens.

use crate::common::bench::{Bench, MS, US, text, times, with_a_in_the_host_tier};
use crate::common::{round_profile, spill};
use warmpath_core::engine::profile::{Fill, Loads};

#[test]
fn a_load_delays_only_the_request_that_waits_for_it() {
    let mut bench = with_a_in_the_host_tier(Loads::Always);
    bench.submit(20 * MS, 1, &[text(1, 201)], 1);
    bench.submit(20 * MS, 2, &[text(3, 8)], 5);
    bench.run_until(21 * MS);
    let report = bench.engine.load_report();
    assert_eq!((report.waiting, report.running), (1, 1), "loading counts as waiting");
    let seen = bench.finish();
    // 200 tokens at 10 µs, and the latency: loaded at 22.5 ms. The running step ends at 23 ms, and
    // the step with the last prompt token at 24 ms.
    assert_eq!((seen[&1].hit, seen[&1].cached), ([0, 50, 0], 200));
    assert_eq!(times(&seen, 1), (24 * MS, 24 * MS));
    // The same as without the load.
    assert_eq!(times(&seen, 2), (21 * MS, 25 * MS));
}

#[test]
fn loads_share_the_link() {
    let mut bench = with_a_in_the_host_tier(Loads::Always);
    bench.submit(20 * MS, 1, &[text(1, 101)], 1);
    bench.submit(20 * MS, 2, &[text(1, 301)], 1);
    let seen = bench.finish();
    // 100 tokens for the first request and the 200 after them for the second, each at half the
    // rate: the first have moved at 22 ms. The last hundred of the second move alone until 23 ms.
    // The latency is added.
    assert_eq!((seen[&1].hit, times(&seen, 1).0), ([0, 25, 0], 23_500 * US));
    // Loaded at 23.5 ms, when the first request's step ends.
    assert_eq!((seen[&2].hit, times(&seen, 2).0), ([0, 75, 0], 24_500 * US));
}

/// HBM of 101 blocks, a fast tier of 50 and a slow one behind it. B evicts A (400 tokens) from HBM,
/// its end first, and the end moves on to the slow tier.
fn with_a_in_two_tiers(loads: Loads) -> Bench {
    with_a_in_tiers([loads, loads])
}

fn with_a_in_tiers([host, disk]: [Loads; 2]) -> Bench {
    let mut profile = round_profile(4);
    profile.hbm_tokens = Some(404);
    // The fast tier takes 1 µs a token and 50 µs latency, the slow one 100 µs a token.
    profile.tiers =
        vec![spill("host", 200, 1.0, 50.0, host), spill("disk", 1_000, 0.01, 50.0, disk)];
    let mut bench = Bench::new(profile);
    bench.submit(0, 100, &[text(1, 400)], 1);
    bench.submit(10 * MS, 101, &[text(2, 400)], 1);
    bench.run_until(15 * MS);
    assert_eq!(bench.engine.load_report().blocks_by_tier[..3], [100, 50, 50]);
    bench
}

#[test]
fn the_part_of_a_prompt_that_is_faster_to_load_is_loaded() {
    let mut bench = with_a_in_two_tiers(Loads::WhenCheaper);
    bench.submit(20 * MS, 1, &[text(1, 401)], 1);
    // The first half loads in 0.25 ms. The second would take 20 ms, and takes 2.01 ms to compute
    // with the last token.
    let seen = bench.finish();
    assert_eq!((seen[&1].hit, times(&seen, 1).0), ([0, 50, 0], 22_260 * US));
}

#[test]
fn loads_from_two_tiers_run_at_the_same_time() {
    let mut bench = with_a_in_two_tiers(Loads::Always);
    bench.submit(20 * MS, 1, &[text(1, 401)], 1);
    // 200 tokens at 100 µs and the latency; the other load ends before. One token to compute.
    bench.run_until(40_050 * US);
    let traffic = bench.engine.stats().traffic;
    assert_eq!((traffic[0].loaded_blocks, traffic[1].loaded_blocks), (50, 50));
    assert_eq!(traffic[1].loading.as_nanos(), 20 * MS);
    let seen = bench.finish();
    assert_eq!((seen[&1].hit, times(&seen, 1).0), ([0, 50, 50], 41_050 * US));
}

#[test]
fn a_tier_with_loads_always_does_not_force_the_tier_behind_it() {
    let mut bench = with_a_in_tiers([Loads::Always, Loads::WhenCheaper]);
    bench.submit(20 * MS, 1, &[text(1, 401)], 1);
    assert_eq!(bench.finish()[&1].hit, [0, 50, 0]);
}

#[test]
fn written_through_blocks_are_in_the_tier_when_hbm_evicts_them() {
    let mut profile = round_profile(4);
    profile.hbm_tokens = Some(404);
    let mut through = spill("host", 1_000, 1.0, 50.0, Loads::Always);
    // Writing takes 10 µs a token.
    (through.fill, through.store_gb_s) = (Fill::WriteThrough, 0.1);
    profile.tiers = vec![through];
    let mut bench = Bench::new(profile);
    bench.submit(0, 100, &[text(1, 400)], 1);
    bench.run_until(2 * MS);
    assert_eq!(bench.engine.load_report().blocks_by_tier[..2], [100, 100], "in both tiers");
    bench.submit(4 * MS, 101, &[text(2, 300)], 1);
    bench.submit(10 * MS, 1, &[text(1, 401)], 1);
    // B takes 3 ms and evicts the last 75 blocks of A, as one place was free. They are loaded at
    // 1 µs a token; the blocks that stayed in HBM don't move.
    bench.run_until(11 * MS);
    let traffic = bench.engine.stats().traffic[0];
    assert_eq!((traffic.stored_blocks, traffic.loaded_blocks), (175, 75), "each written once");
    let seen = bench.finish();
    assert_eq!(seen[&1].hit, [25, 75, 0]);
    assert_eq!(times(&seen, 1).0, 10 * MS + 350 * US + MS);
}

#[test]
fn a_load_that_takes_longer_than_computing_does_not_start() {
    let mut bench = with_a_in_the_host_tier(Loads::WhenCheaper);
    bench.submit(20 * MS, 1, &[text(1, 201)], 1);
    // Loading 200 tokens takes 2.5 ms. Computing 201 tokens at 10 µs takes 2.01 ms.
    let seen = bench.finish();
    assert_eq!((seen[&1].hit, times(&seen, 1).0), ([0, 0, 0], 22_010 * US));
}
