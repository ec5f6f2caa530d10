//! Where a worker may fetch the blocks of a prompt, in vLLM's `kv_hints`.
//!
//! The router sends this hint if a pool or another worker holds more of the prompt than the chosen
//! worker:
//!
//! ```text
//! kv_hints { protocol_version: "warmpath.v1", message_id: "<the request's upstream id>",
//!   actions [ { action_id: "0", action_type: "warmpath.pull", action_version: "1",
//!     payload: { "kind": "peer" | "pool", "from": "http://host:port", "blocks": 96 } } ] }
//! ```
//!
//! The worker fetches only blocks that it lacks, and only if that is faster than computing them. It
//! ignores a hint that it cannot read. The hint has an address that the worker will connect to, so a
//! router drops the hints of its clients.

use crate::vllm::{KvHintAction, KvHintsEnvelope};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

const PROTOCOL: &str = "warmpath.v1";
const PULL: &str = "warmpath.pull";
const VERSION: &str = "1";

/// The kind of source that holds the blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// Another worker.
    Peer,
    /// A pool.
    Pool,
}

impl Holder {
    const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Pool => "pool",
        }
    }
}

/// Where blocks of the prompt may be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PullHint {
    /// The kind of source.
    pub holder: Holder,
    /// The source's address, `http://host:port` or `https://host:port`.
    pub from: String,
    /// Blocks that the source holds, from the start of the prompt.
    pub blocks: u32,
}

impl PullHint {
    /// Encodes the hint.
    pub fn to_action(&self) -> KvHintAction {
        let text = |text: &str| Kind::StringValue(text.to_owned());
        let fields = [
            ("kind", text(self.holder.name())),
            ("from", text(&self.from)),
            ("blocks", Kind::NumberValue(f64::from(self.blocks))),
        ];
        let fields = fields.map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }));
        KvHintAction {
            action_id: "0".to_owned(),
            action_type: PULL.to_owned(),
            action_version: VERSION.to_owned(),
            payload: Some(Struct { fields: fields.into_iter().collect() }),
        }
    }
}

/// An envelope with these actions. `message_id` is the request's id.
pub fn to_wire(message_id: &str, actions: Vec<KvHintAction>) -> KvHintsEnvelope {
    let (protocol_version, message_id) = (PROTOCOL.to_owned(), message_id.to_owned());
    KvHintsEnvelope { protocol_version, message_id, actions }
}

/// The first valid fetch hint.
pub fn from_wire(hints: &KvHintsEnvelope) -> Option<PullHint> {
    let pulls = hints.actions.iter().filter(|action| {
        (action.action_type.as_str(), action.action_version.as_str()) == (PULL, VERSION)
    });
    pulls.filter_map(|action| pull(action.payload.as_ref()?)).next()
}

fn pull(payload: &Struct) -> Option<PullHint> {
    let kind = |name: &str| payload.fields.get(name)?.kind.as_ref();
    let text = |name: &str| match kind(name)? {
        Kind::StringValue(text) => Some(text.as_str()),
        _ => None,
    };
    let holder = text("kind")?;
    let holder = [Holder::Peer, Holder::Pool].into_iter().find(|known| known.name() == holder)?;
    let Kind::NumberValue(blocks) = *kind("blocks")? else { return None };
    let from = text("from")?.to_owned();
    if !from.starts_with("http://") && !from.starts_with("https://") {
        return None;
    }
    let blocks = (0.0..=f64::from(u32::MAX)).contains(&blocks).then_some(blocks as u32)?;
    Some(PullHint { holder, from, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        let hint =
            PullHint { holder: Holder::Peer, from: "http://127.0.0.1:7".to_owned(), blocks: 96 };
        let wire = to_wire("r-1", vec![hint.to_action()]);
        assert_eq!(from_wire(&wire), Some(hint));
        assert_eq!(from_wire(&KvHintsEnvelope::default()), None);
        let odd = |change: fn(&mut KvHintAction)| {
            let mut wire = wire.clone();
            change(&mut wire.actions[0]);
            from_wire(&wire)
        };
        assert_eq!(odd(|action| action.action_type = "prefetch".to_owned()), None);
        assert_eq!(odd(|action| action.action_version = "2".to_owned()), None);
        assert_eq!(odd(|action| action.payload = None), None);
        fn set(action: &mut KvHintAction, name: &str, kind: Kind) {
            let payload = action.payload.get_or_insert_default();
            payload.fields.insert(name.to_owned(), Value { kind: Some(kind) });
        }
        assert_eq!(odd(|action| set(action, "blocks", Kind::NumberValue(-1.0))), None);
        assert_eq!(
            odd(|action| set(action, "from", Kind::StringValue("file:///x".to_owned()))),
            None
        );
    }
}
