//! What a worker says it found, there and back.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use warmpath_core::engine::profile::{
    Fill, LinearStep, Loads, PoolLink, Profile, StepTime, TierSpec,
};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_proto::tiers::{from_wire, to_wire};

fn profile() -> Profile {
    Profile {
        name: "test".into(),
        validated: false,
        block_size: 16,
        hbm_tokens: None,
        kv_bytes_per_token: 1_000,
        max_num_seqs: 8,
        max_num_batched_tokens: 512,
        step: StepTime::Linear(LinearStep {
            base_ns: 1e6,
            weights_ns: 1e6,
            ns_per_token: 1e3,
            ns_per_pair: 0.0,
            ns_per_context_token: 0.0,
            ns_per_seq: 0.0,
        }),
        eviction: EvictionRule::Lru,
        tiers: vec![TierSpec {
            name: "host".into(),
            tokens: 1_000,
            load_gb_s: 1.0,
            store_gb_s: 1.0,
            latency_us: 0.0,
            eviction: EvictionRule::Lru,
            fill: Fill::Spill,
            loads: Loads::Always,
        }],
        pool: None,
        peers: None,
    }
}

#[test]
fn origins_come_back_as_they_went() {
    let mut profile = profile();
    let found = from_wire(&to_wire(&profile, &[1_024, 512, 0, 0, 7, 9])).unwrap();
    assert_eq!(found.tiers, ["hbm", "host"]);
    assert_eq!(found.by_origin, [1_024, 512, 0, 0, 0, 0], "it has no way to pool and peers");
    profile.pool = Some(PoolLink {
        gb_s: 1.0,
        latency_us: 0.0,
        fill: Fill::WriteThrough,
        loads: Loads::Always,
        timeout_ms: 1.0,
    });
    let wire = to_wire(&profile, &[1_024, 512, 0, 0, 256, 0]);
    let found = from_wire(&wire).unwrap();
    assert_eq!((found.tiers.len(), found.by_origin), (2, [1_024, 512, 0, 0, 256, 0]));

    assert_eq!(from_wire(&Struct::default()), None);
    let mut odd = wire;
    for value in odd.fields.values_mut() {
        *value = Value { kind: Some(Kind::BoolValue(true)) };
    }
    assert_eq!(from_wire(&odd), None);
}
