//! How fast the hearts are on this machine: `cargo bench -p warmpath-core --bench hearts`. For a
//! change, compare with criterion's `--save-baseline` and `--baseline`.

mod common;

use common::{Deciding, Hashing, Indexed, Stepping};
use core::time::Duration;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use warmpath_core::routing::index::Overlap;
use warmpath_core::routing::policy::{Group, PolicyConfig};

fn hash(c: &mut Criterion) {
    let hashing = Hashing::new();
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(hashing.tokens.len() as u64));
    group.bench_function("16384 tokens", |b| b.iter(|| hashing.run()));
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for workers in [8, 64, 256] {
        let indexed = Indexed::new(workers, 512, 32);
        let mut overlap = Overlap::default();
        let mut prompts = indexed.prompts.iter().cycle();
        group.bench_function(BenchmarkId::new("workers", workers), |b| {
            b.iter(|| {
                indexed.index.overlap(prompts.next().expect("endless"), &mut overlap);
                black_box(overlap.entries().len())
            });
        });
    }
    group.finish();
}

fn update(c: &mut Criterion) {
    let mut indexed = Indexed::new(64, 512, 32);
    c.bench_function("update/removed and stored", |b| b.iter(|| indexed.update()));
}

/// Every rule with its defaults, its look-ups included; our own over large fleets too.
fn decision(c: &mut Criterion) {
    let mut group = c.benchmark_group("decision");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for rule in PolicyConfig::catalogue() {
        let policy: PolicyConfig = rule.name.parse().expect("a rule's name is a policy");
        let most = if policy.group() == Group::Field { 256 } else { 4_096 };
        for workers in [8, 64, 256, 1_024, 4_096].into_iter().filter(|&workers| workers <= most) {
            let deciding = std::cell::RefCell::new(Deciding::new(workers, policy));
            group.bench_function(BenchmarkId::new(policy.name(), workers), |b| {
                let next = || {
                    let mut deciding = deciding.borrow_mut();
                    deciding.settle();
                    deciding.request()
                };
                b.iter_batched(
                    next,
                    |request| deciding.borrow_mut().decide(request),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

fn step(c: &mut Criterion) {
    let stepping = Stepping::new();
    c.bench_function("step/48 requests", |b| b.iter(|| stepping.run()));
}

criterion_group!(benches, hash, lookup, update, decision, step);
criterion_main!(benches);
