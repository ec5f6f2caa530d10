//! Whether a comparison is as sure as it says, found with many runs: a rule against itself, and against itself made slower by
//! 5 %. The two sides have other seeds, so that nothing cancels out between them.

use super::options::{Cell, RunOptions};
use super::parallel;
use super::simulate::{scope, simulate};
use crate::cli::Cli;
use crate::figures::{Comparison, Mode, Profiles, RunId, RunReport, compare_to};
use std::ffi::OsString;
use warmpath_core::report::Figures;
use warmpath_core::rng::Rng;
use warmpath_core::routing::policy::{NamedPolicy, PolicyConfig};

/// Runs of each side to draw from.
const RUNS: u64 = 400;
const REQUESTS: u64 = 400;
const SEEDINGS: u64 = 100;

/// The same rule with many seeds.
fn runs() -> Vec<Figures> {
    let args = ["loadgen", "sim", "--workload", "questions", "--policies", "random"];
    let cli = Cli::parse(args.map(OsString::from)).expect("these flags");
    let setup = cli.setup().expect("a scenario").expect("it is there");
    let prepared = setup.source.prepare(&scope(&setup));
    let options = RunOptions::default();
    let seeds: Vec<u64> = (1..=2 * RUNS).collect();
    parallel::map(&seeds, |&seed| {
        let (policy, limit) = (&setup.policies[0], Some(REQUESTS));
        let cell = Cell { policy, rate_scale: 1.0, seed, limit, options: &options };
        simulate(&setup, &prepared, cell, None, &mut |_| ()).expect("a run").figures
    })
}

fn named(label: &str) -> NamedPolicy {
    NamedPolicy { label: label.to_owned(), policy: PolicyConfig::Random }
}

/// Compares `count` runs of each side, drawn at random. The second rule of the pair.
fn compared(pool: &[Figures], count: usize, seeding: u64, slower: f64) -> [Comparison; 2] {
    let (own, other) = pool.split_at(pool.len() / 2);
    let mut rng = Rng::named(seeding, &[0x63_616c]);
    let mut reports = Vec::new();
    for (label, side, times) in [("one", own, 1.0), ("other", other, slower)] {
        let mut places: Vec<usize> = (0..side.len()).collect();
        for seed in 0..count {
            // Each run at most once.
            let drawn = seed + rng.below((places.len() - seed) as u64) as usize;
            places.swap(seed, drawn);
            let mut figures = side[places[seed]].clone();
            if let Some(ttft) = &mut figures.ttft_s {
                ttft.mean *= times;
            }
            let id = RunId {
                policy: Some(named(label)),
                variant: None,
                mode: Mode::Sim,
                workload: String::new(),
                seed: seed as u64,
                rate_scale: 1.0,
            };
            reports.push(RunReport::new(id, Profiles::default(), figures, 0.0));
        }
    }
    let policies = [named("one"), named("other")];
    let compared = compare_to(&policies[0], &policies, &[1.0], None, &reports);
    compared.try_into().expect("two rules")
}

/// Whether the one that is not the best is tied with it.
fn is_tied(compared: &[Comparison; 2]) -> bool {
    let behind =
        compared.iter().find(|rule| rule.by_ttft.best.as_deref() != Some(&rule.policy.label));
    behind.expect("one of two is behind").by_ttft.tied_with_best == Some(true)
}

/// The number of seeds that a comparison names for 5 %.
fn named_seeds(compared: &[Comparison; 2]) -> u32 {
    let named = compared.iter().find_map(|rule| rule.by_ttft.seeds_for_5_percent);
    named.expect("a number of seeds")
}

#[test]
fn a_rule_is_tied_with_itself_and_told_from_one_that_is_5_percent_slower() {
    let pool = runs();
    for seeds in [3, 5, 10] {
        let tied = (0..SEEDINGS).filter(|&s| is_tied(&compared(&pool, seeds, s, 1.0))).count();
        println!("{seeds} seeds: tied with itself in {tied} of {SEEDINGS}");
        assert!(tied >= 95, "{seeds} seeds: {tied}");
    }
    // What a comparison of 20 seeds names.
    let seeds = named_seeds(&compared(&pool, 20, 0, 1.0));
    let told =
        (0..SEEDINGS).filter(|&s| !is_tied(&compared(&pool, seeds as usize, s, 1.05))).count();
    println!("{seeds} seeds: told from 5 % in {told} of {SEEDINGS}");
    assert!((5..RUNS as u32 / 2).contains(&seeds), "{seeds}");
    assert!(told >= 90, "{seeds} seeds: {told}");
    // The control: with too few seeds it is not told apart.
    let few = (0..SEEDINGS).filter(|&s| !is_tied(&compared(&pool, 3, s, 1.05))).count();
    println!("3 seeds: told from 5 % in {few} of {SEEDINGS}");
    assert!(few < 60, "{few}");
}
