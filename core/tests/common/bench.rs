//! An engine that a test drives by hand, and its outputs.

use super::{round_profile, spill, work};
use std::collections::BTreeMap;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{Loads, Profile};
use warmpath_core::engine::{Engine, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::request::Work;
use warmpath_core::time::Instant;
use warmpath_core::tokens::Segment;

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;

pub fn text(seed: u64, tokens: u32) -> Segment {
    Segment::Text { seed, tokens }
}

pub fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

/// The outputs of one request, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    pub admitted: Option<u64>,
    pub hit: [u32; 3],
    pub first: Option<u64>,
    pub finished: Option<u64>,
    pub cached: u32,
}

pub struct Bench {
    pub engine: Engine,
    pub scope: ScopePlan,
    pub seen: BTreeMap<u64, Seen>,
}

impl Bench {
    pub fn new(profile: Profile) -> Self {
        profile.check().expect("a valid profile");
        let scope = ScopePlan::new("", "", "", profile.block_size);
        Self { engine: Engine::new(WorkerId(0), 1, profile), scope, seen: BTreeMap::new() }
    }

    pub fn work(&self, id: u64, prompt: &[Segment], output: u32) -> Work {
        work(id, &self.scope, prompt, output)
    }

    /// Submits a request. Work due before `ns` is done first, work due at `ns` afterwards.
    pub fn submit(&mut self, ns: u64, id: u64, prompt: &[Segment], output: u32) {
        self.run_before(ns);
        self.engine.submit(at(ns), self.work(id, prompt, output)).unwrap();
    }

    pub fn cancel(&mut self, ns: u64, id: u64) {
        self.run_before(ns);
        self.engine.cancel(at(ns), RequestId(id));
    }

    pub fn run_before(&mut self, ns: u64) {
        if let Some(before) = ns.checked_sub(1) {
            self.run_until(before);
        }
    }

    pub fn run_until(&mut self, ns: u64) {
        while let Some(wake) = self.engine.next_wake().filter(|&wake| wake <= at(ns)) {
            let mut out = Vec::new();
            self.engine.step(wake, &mut out);
            self.engine.store().check();
            for output in out {
                match output {
                    Output::Admitted { id, at, hit } => {
                        let seen = self.seen.entry(id.0).or_default();
                        (seen.admitted, seen.hit) = (Some(at.as_nanos()), [hit[0], hit[1], hit[2]]);
                    }
                    Output::FirstToken { id, at } => {
                        let first = &mut self.seen.entry(id.0).or_default().first;
                        assert_eq!(first.replace(at.as_nanos()), None, "two first tokens");
                    }
                    Output::Fetch { .. }
                    | Output::FetchServed { .. }
                    | Output::Put { .. }
                    | Output::Prefilled { .. }
                    | Output::Pull { .. }
                    | Output::KvSent { .. } => {
                        panic!("an output for another worker, in a test with one")
                    }
                    Output::Finished { id, at, cached_tokens, .. } => {
                        let seen = self.seen.entry(id.0).or_default();
                        assert_eq!(seen.finished.replace(at.as_nanos()), None, "finished twice");
                        seen.cached = cached_tokens;
                    }
                    Output::Kv { .. } => {}
                }
            }
        }
    }

    pub fn finish(mut self) -> BTreeMap<u64, Seen> {
        self.run_until(u64::MAX);
        self.engine.check_at_rest();
        self.seen
    }

    pub fn progress(&self, ns: u64) -> Vec<(u64, u32)> {
        let mut made = Vec::new();
        self.engine.progress(at(ns), |id, tokens| made.push((id.0, tokens)));
        made
    }
}

pub fn times(seen: &BTreeMap<u64, Seen>, id: u64) -> (u64, u64) {
    let seen = seen[&id];
    (seen.first.expect("a first token"), seen.finished.expect("an end"))
}

/// HBM has 101 blocks. A (400 tokens) is computed at 0, and B evicts it at 10 ms.
pub fn with_a_in_the_host_tier(loads: Loads) -> Bench {
    let mut profile = round_profile(4);
    profile.hbm_tokens = Some(404);
    // 0.1 GB/s is 10 µs a token; the latency is 500 µs.
    profile.tiers = vec![spill("host", 1_000, 0.1, 500.0, loads)];
    let mut bench = Bench::new(profile);
    bench.submit(0, 100, &[text(1, 400)], 1);
    bench.submit(10 * MS, 101, &[text(2, 400)], 1);
    bench.run_until(15 * MS);
    assert_eq!(bench.engine.load_report().blocks_by_tier[..2], [100, 100]);
    bench
}
