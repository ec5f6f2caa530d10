//! The cached tokens of a prompt by tier, in an answer.
//!
//! vLLM has one number, `FinishInfo.num_cached_tokens`. A worker adds its parts in
//! `FinishInfo.kv_transfer_params`, the place for data of KV connectors:
//! `{"cached_tokens_by_tier": [["hbm", 1024], ["host", 512], ["pool", 0], ["peers", 256]]}`. The worker's
//! own tiers come first, from HBM on. "pool" and "peers" follow if the worker can fetch from them.
//! Clients may ignore the field.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use warmpath_core::engine::profile::Profile;
use warmpath_core::id::{MAX_TIERS, ORIGINS};

/// The field's name.
pub const FIELD: &str = "cached_tokens_by_tier";
/// The names of the origins after a worker's own tiers, in their order.
pub const OTHERS: [&str; ORIGINS - MAX_TIERS] = ["pool", "peers"];

/// Encodes the cached tokens by origin.
pub fn to_wire(profile: &Profile, tokens: &[u32; ORIGINS]) -> Struct {
    let value = |kind| Value { kind: Some(kind) };
    let list = |values| value(Kind::ListValue(ListValue { values }));
    let pair = |(name, &tokens): (&str, &u32)| {
        let name = value(Kind::StringValue(name.to_owned()));
        list(vec![name, value(Kind::NumberValue(f64::from(tokens)))])
    };
    let has = [profile.pool.is_some(), profile.peers.is_some()];
    let others = OTHERS.into_iter().zip(&tokens[MAX_TIERS..]).zip(has);
    let others = others.filter_map(|(pair, has)| has.then_some(pair));
    let own = profile.tier_names().into_iter().zip(&tokens[..MAX_TIERS]);
    let pairs = list(own.chain(others).map(pair).collect());
    Struct { fields: [(FIELD.to_owned(), pairs)].into_iter().collect() }
}

/// The cached tokens that a worker reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The names of the worker's own tiers, from HBM on.
    pub tiers: Vec<String>,
    /// Cached tokens by origin.
    pub by_origin: [u32; ORIGINS],
}

/// Decodes the cached tokens. None if the field is missing or invalid.
pub fn from_wire(params: &Struct) -> Option<Found> {
    let mut found = Found { tiers: Vec::new(), by_origin: [0; ORIGINS] };
    for value in list(params.fields.get(FIELD)?)? {
        let [name, tokens] = list(value)? else { return None };
        let (Some(Kind::StringValue(name)), Some(Kind::NumberValue(tokens))) =
            (&name.kind, &tokens.kind)
        else {
            return None;
        };
        let known = OTHERS.iter().position(|other| other == name);
        let place = known.map_or(found.tiers.len(), |other| MAX_TIERS + other);
        if known.is_none() {
            if place >= MAX_TIERS {
                return None;
            }
            found.tiers.push(name.clone());
        }
        if !(0.0..=f64::from(u32::MAX)).contains(tokens) {
            return None;
        }
        found.by_origin[place] = *tokens as u32;
    }
    Some(found)
}

fn list(value: &Value) -> Option<&[Value]> {
    match &value.kind {
        Some(Kind::ListValue(list)) => Some(&list.values),
        _ => None,
    }
}
