//! Small worlds that the tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{Fill, LinearStep, Loads, Profile, StepTime, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::Workload;
use warmpath_core::workload::sessions::{Amount, Arrivals, Sessions, SessionsSpec, ThinkFrom};
use warmpath_sim::{Group, Scenario};

pub fn profile(block_size: u32, hbm_tokens: Option<u64>) -> Profile {
    Profile {
        name: "test".into(),
        validated: false,
        block_size,
        hbm_tokens,
        kv_bytes_per_token: 100_000,
        max_num_seqs: 16,
        max_num_batched_tokens: 1_024,
        step: StepTime::Linear(LinearStep {
            base_ns: 1_000_000.0,
            weights_ns: 4_000_000.0,
            ns_per_token: 50_000.0,
            ns_per_pair: 1.0,
            ns_per_context_token: 30.0,
            ns_per_seq: 5_000.0,
        }),
        eviction: EvictionRule::Lru,
        tiers: Vec::new(),
        pool: None,
        peers: None,
    }
}

/// A step takes 1 ms and 1 µs a token; 1,000 tokens fit in a step; blocks of 100, 100,000 bytes a token.
pub fn by_hand() -> Profile {
    Profile {
        max_num_batched_tokens: 1_000,
        step: StepTime::Linear(LinearStep {
            base_ns: 1e6,
            weights_ns: 0.0,
            ns_per_token: 1e3,
            ns_per_pair: 0.0,
            ns_per_context_token: 0.0,
            ns_per_seq: 0.0,
        }),
        ..profile(100, Some(100_000))
    }
}

pub fn host(tokens: u64, loads: Loads) -> TierSpec {
    TierSpec {
        pieces: None,
        name: "host".into(),
        tokens,
        load_gb_s: 50.0,
        store_gb_s: 50.0,
        latency_us: 20.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads,
    }
}

pub fn scenario(workers: u32, policy: PolicyConfig, profile: Profile) -> Scenario {
    Scenario::plain(Group::alone(workers, profile), policy)
}

pub fn spec(requests: u64, arrivals: Arrivals) -> SessionsSpec {
    SessionsSpec {
        name: "test".into(),
        requests,
        arrivals,
        system_prompts: 3,
        system_tokens: 200,
        branching: None,
        turns: Amount { mean: 5.0, cv: 0.6 },
        user_tokens: Amount { mean: 150.0, cv: 1.0 },
        output_tokens: Amount { mean: 40.0, cv: 1.0 },
        think_s: Amount { mean: 1.0, cv: 1.0 },
        think_from: ThinkFrom::Answer,
        max_context_tokens: 4_000,
    }
}

pub fn workload(spec: &SessionsSpec, block_size: u32, seed: u64) -> Workload {
    let scope = ScopePlan::new("", "test", "", block_size);
    Workload::Sessions(Sessions::new(spec, &scope, seed, 1.0, None))
}

/// A pool in which all that is put has room.
pub fn pool() -> PoolSpec {
    PoolSpec {
        tokens: 1_000_000,
        gb_s: 100.0,
        store_gb_s: 100.0,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    }
}
