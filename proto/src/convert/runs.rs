//! Runs of blocks, and the hashes of a prompt.

use super::error::{DecodeError, HASH_BYTES};
use crate::v1;
use warmpath_core::block::{BlockHash, BlockRun, Chain};
use warmpath_core::id::{MAX_TIERS, TierId};
use warmpath_core::runs::anchor_above;

/// The hashes of blocks `from..to` of a chain.
fn hashes_to_wire(chain: &Chain, from: u32, to: u32) -> Vec<u8> {
    let mut hashes = Vec::with_capacity((to - from) as usize * HASH_BYTES);
    for block in from..to {
        hashes.extend_from_slice(&chain.hash(block).to_wire().to_le_bytes());
    }
    hashes
}

/// The chain with these hashes from block `base` on.
fn chain_from_wire(block_size: u32, base: u32, hashes: &[u8]) -> Result<Chain, DecodeError> {
    if !hashes.len().is_multiple_of(HASH_BYTES) {
        return Err(DecodeError::Hashes { bytes: hashes.len() });
    }
    let end = u64::from(base) + (hashes.len() / HASH_BYTES) as u64;
    if end * u64::from(block_size) > u64::from(u32::MAX) {
        return Err(DecodeError::TooLong { end, block_size });
    }
    let named = hashes_from_wire(hashes).collect();
    Ok(Chain::from_wire(block_size, base, named))
}

/// The hashes of whole blocks.
pub(super) fn hashes_from_wire(hashes: &[u8]) -> impl Iterator<Item = BlockHash> {
    hashes.chunks_exact(HASH_BYTES).map(|bytes| {
        let bits = bytes.iter().rev().fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
        BlockHash::from_wire(bits)
    })
}

/// Encodes a run. Its chain must have the hashes from the anchor above the run on, as the chains of a
/// worker do.
pub fn run_to_wire(tier: TierId, run: &BlockRun) -> v1::Run {
    let base = anchor_above(run.start);
    let hashes = hashes_to_wire(&run.chain, base, run.end);
    v1::Run { tier: u32::from(tier.0), start: run.start, base, hashes }
}

/// Decodes a run of a source with this block size.
pub fn run_from_wire(block_size: u32, run: &v1::Run) -> Result<(TierId, BlockRun), DecodeError> {
    let &v1::Run { tier, start, base, ref hashes } = run;
    if tier as usize >= MAX_TIERS {
        return Err(DecodeError::Tier { tier });
    }
    if hashes.is_empty() || !hashes.len().is_multiple_of(HASH_BYTES) {
        return Err(DecodeError::Hashes { bytes: hashes.len() });
    }
    if base != anchor_above(start) {
        return Err(DecodeError::Base { start, base, expected: anchor_above(start) });
    }
    let end = u64::from(base) + (hashes.len() / HASH_BYTES) as u64;
    if end <= u64::from(start) {
        return Err(DecodeError::Start { start, end });
    }
    let chain = chain_from_wire(block_size, base, hashes)?;
    Ok((TierId(tier as u8), BlockRun { chain, start, end: end as u32 }))
}

/// Encodes a run with all hashes of its text up to its end. Its chain must have all of them.
pub fn stretch_to_wire(run: &BlockRun) -> v1::Stretch {
    v1::Stretch { start: run.start, hashes: hashes_to_wire(&run.chain, 0, run.end) }
}

/// Decodes a run with all hashes of its text.
pub fn stretch_from_wire(block_size: u32, stretch: &v1::Stretch) -> Result<BlockRun, DecodeError> {
    let run = prompt_from_wire(block_size, &stretch.hashes)?;
    if run.end <= stretch.start {
        return Err(DecodeError::Start { start: stretch.start, end: run.end.into() });
    }
    Ok(BlockRun { start: stretch.start, ..run })
}

/// Encodes the hashes of a prompt's first `blocks` blocks.
pub fn prompt_to_wire(chain: &Chain, blocks: u32) -> Vec<u8> {
    hashes_to_wire(chain, 0, blocks)
}

/// Decodes the hashes of a prompt. The run is empty for a prompt without a full block.
pub fn prompt_from_wire(block_size: u32, hashes: &[u8]) -> Result<BlockRun, DecodeError> {
    let chain = chain_from_wire(block_size, 0, hashes)?;
    let end = chain.blocks();
    Ok(BlockRun { chain, start: 0, end })
}
