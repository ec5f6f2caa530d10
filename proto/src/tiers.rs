//! How much of a prompt was found in which tier, on the wire.
//!
//! vLLM's contract has one number for it, `FinishInfo.num_cached_tokens`. A worker with tiers behind
//! HBM adds the parts in `FinishInfo.kv_transfer_params`, the place for what KV connectors have to
//! say: `{"cached_tokens_by_tier": [["hbm", 1024], ["host", 512]]}`, the nearest first. Clients that
//! know nothing of it lose nothing.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

const FIELD: &str = "cached_tokens_by_tier";

/// `names` from near to far, and as many counts.
pub fn to_wire(names: &[String], tokens: &[u32]) -> Struct {
    let value = |kind| Value { kind: Some(kind) };
    let list = |values| value(Kind::ListValue(ListValue { values }));
    let pair = |(name, &tokens): (&String, &u32)| {
        let name = value(Kind::StringValue(name.clone()));
        list(vec![name, value(Kind::NumberValue(f64::from(tokens)))])
    };
    let pairs = list(names.iter().zip(tokens).map(pair).collect());
    Struct { fields: [(FIELD.to_owned(), pairs)].into_iter().collect() }
}

/// None if it says nothing of tiers, or not so.
pub fn from_wire(params: &Struct) -> Option<Vec<(String, u32)>> {
    let list = |value: &Value| match &value.kind {
        Some(Kind::ListValue(list)) => Some(list.values.clone()),
        _ => None,
    };
    let pair = |value: &Value| match list(value)?.as_slice() {
        [
            Value { kind: Some(Kind::StringValue(name)) },
            Value { kind: Some(Kind::NumberValue(n)) },
        ] if (0.0..=f64::from(u32::MAX)).contains(n) => Some((name.clone(), *n as u32)),
        _ => None,
    };
    list(params.fields.get(FIELD)?)?.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_come_back_as_they_went() {
        let names = ["hbm", "host"].map(str::to_owned);
        let wire = to_wire(&names, &[1_024, 512]);
        let pairs = vec![("hbm".to_owned(), 1_024), ("host".to_owned(), 512)];
        assert_eq!(from_wire(&wire), Some(pairs));
        assert_eq!(from_wire(&Struct::default()), None);
        let mut odd = wire;
        odd.fields.insert(FIELD.to_owned(), Value { kind: Some(Kind::BoolValue(true)) });
        assert_eq!(from_wire(&odd), None);
    }
}
