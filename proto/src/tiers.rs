//! How much of a prompt was found where, on the wire.
//!
//! vLLM's contract has one number for it, `FinishInfo.num_cached_tokens`. A worker adds the parts in
//! `FinishInfo.kv_transfer_params`, the place for what KV connectors have to say:
//! `{"cached_tokens_by_tier": [["hbm", 1024], ["host", 512], ["pool", 0], ["peers", 256]]}`. Its own
//! tiers come first, the nearest first; "pool" and "peers" stand there if it has a way to them. Clients
//! that know nothing of it lose nothing.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use warmpath_core::engine::profile::Profile;
use warmpath_core::id::{MAX_TIERS, ORIGINS};

/// The field's name.
pub const FIELD: &str = "cached_tokens_by_tier";
/// Names of the origins that are not a worker's own tiers, in their places behind them.
pub const OTHERS: [&str; ORIGINS - MAX_TIERS] = ["pool", "peers"];

/// `tokens`: by origin.
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

/// What a worker found, as it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Names of its own tiers, the nearest first.
    pub tiers: Vec<String>,
    /// Tokens by origin.
    pub by_origin: [u32; ORIGINS],
}

/// None if it says nothing of tiers, or not so.
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
