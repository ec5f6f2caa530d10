//! What a worker is told of a decision besides the request: whence it might fetch what it lacks.

use crate::shared::Shared;
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Decision;
use warmpath_proto::hints::{self, Holder, PullHint};
use warmpath_proto::vllm::KvHintsEnvelope;

/// None: there is nothing to pull, or its source has gone since.
pub fn of(shared: &Shared, decision: &Decision, message_id: &str) -> Option<KvHintsEnvelope> {
    let pull = decision.pull?;
    let (holder, from) = match pull.from {
        SourceId::Worker(id) => (Holder::Peer, shared.roster.get(id)?.url.clone()),
        SourceId::Pool(id) => (Holder::Pool, shared.pools.get(id.0 as usize)?.url.clone()),
    };
    Some(hints::to_wire(message_id, &PullHint { holder, from, blocks: pull.blocks }))
}
