//! What rules ask of a prompt.

use crate::id::MAX_TIERS;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::fleet::WorkerState;

/// Tokens of a prompt that a worker would compute which holds `hit` of it, in blocks by tier.
pub fn new_tokens(hit: &[u32; MAX_TIERS], request: &Request, worker: WorkerState<'_>) -> u32 {
    let blocks = hit.iter().fold(0u32, |sum, blocks| sum.saturating_add(*blocks));
    request.prompt.tokens().saturating_sub(blocks.saturating_mul(worker.alike().block_size))
}

/// A key of the first blocks of a prompt, or of all where there are fewer. None: it has no full block.
pub fn start_key(request: &Request, blocks: u32) -> Option<u64> {
    let last = blocks.min(request.prompt.blocks()).checked_sub(1)?;
    let name = request.prompt.chain().hash(last).to_wire();
    Some(hash_words(&[(name >> 64) as u64, name as u64]))
}
