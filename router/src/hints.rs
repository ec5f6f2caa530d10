//! What a worker is told besides the request: whence it might fetch what it lacks, and what is public.

use crate::shared::Shared;
use warmpath_core::id::SourceId;
use warmpath_core::routing::input::Decision;
use warmpath_proto::hints::{self, Holder, PullHint};
use warmpath_proto::scope::ScopeHint;
use warmpath_proto::vllm::KvHintsEnvelope;

/// None: there is nothing to say.
pub fn of(
    shared: &Shared,
    decision: &Decision,
    scope: &ScopeHint,
    message_id: &str,
) -> Option<KvHintsEnvelope> {
    let pull = pull(shared, decision).map(|pull| pull.to_action());
    let scope = (!scope.is_plain()).then(|| scope.to_action());
    let actions: Vec<_> = pull.into_iter().chain(scope).collect();
    (!actions.is_empty()).then(|| hints::to_wire(message_id, actions))
}

/// As [`of`], for a worker that has nothing to fetch.
pub fn of_scope(scope: &ScopeHint, message_id: &str) -> Option<KvHintsEnvelope> {
    (!scope.is_plain()).then(|| hints::to_wire(message_id, vec![scope.to_action()]))
}

/// None: there is nothing to pull, or its source has gone since.
fn pull(shared: &Shared, decision: &Decision) -> Option<PullHint> {
    let pull = decision.pull?;
    let (holder, from) = match pull.from {
        SourceId::Worker(id) => (Holder::Peer, shared.roster.get(id)?.url.clone()),
        SourceId::Pool(id) => (Holder::Pool, shared.pools.get(id.0 as usize)?.url.clone()),
    };
    Some(PullHint { holder, from, blocks: pull.blocks })
}
