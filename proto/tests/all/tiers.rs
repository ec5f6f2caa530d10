//! Cached tokens by tier are read as they were written.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use warmpath_core::engine::profile::{Fill, Loads, PoolLink, Profile, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_proto::tiers::{from_wire, to_wire};

/// A profile with a tier after HBM.
fn profile() -> Profile {
    let text = include_str!("../../../deploy/profiles/lab-tp2.toml");
    let mut profile: Profile = toml::from_str(text).expect("a profile");
    profile.tiers.push(TierSpec {
        pieces: None,
        name: "host".into(),
        tokens: 1_000,
        load_gb_s: 1.0,
        store_gb_s: 1.0,
        latency_us: 0.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads: Loads::Always,
    });
    profile
}

#[test]
fn cached_tokens_are_read_as_they_were_written() {
    let mut profile = profile();
    let found = from_wire(&to_wire(&profile, &[1_024, 512, 0, 0, 7, 9])).unwrap();
    assert_eq!(found.tiers, ["hbm", "host"]);
    assert_eq!(found.by_origin, [1_024, 512, 0, 0, 0, 0], "no pool and no peers in the profile");
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
