//! Look-ups: how much of a prompt each source holds.

use super::claim::Claim;
use super::overlap::{Overlap, SourceOverlap};
use super::state::PrefixIndex;
use crate::block::TokenBlocks;
use crate::id::MAX_TIERS;

impl PrefixIndex {
    /// Writes to `out` how many reusable blocks of `prompt` each source holds without a gap.
    pub fn overlap(&self, prompt: &TokenBlocks, out: &mut Overlap) {
        out.clear();
        let (chain, limit) = (prompt.chain(), prompt.reusable_blocks());
        let Overlap { entries, going } = out;
        let mut depth = 0;
        let mut next = if limit > 0 { self.tree.root(chain) } else { None };
        while let Some(id) = next {
            let (agreed, further) = self.tree.step(id, chain, depth + 1, limit);
            let mut claims = self.tree.get(id).claims.all();
            if depth == 0 {
                while let Some(claim) = claims.first() {
                    let slot = claim.slot;
                    if claim.from > 0 {
                        claims = past(claims, slot);
                        continue;
                    }
                    let source = self.slots[usize::from(slot)].expect("a holder is a source");
                    let place = entries.len();
                    entries.push(SourceOverlap { source, by_tier: [0; MAX_TIERS], pending: 0 });
                    let by_tier = &mut entries[place].by_tier;
                    if held(&mut claims, slot, (0, agreed), by_tier) == agreed {
                        going.push((slot, place as u16));
                    }
                }
            } else {
                // Both lists are in the order of slots.
                let (mut kept, mut at) = (0, 0);
                while let Some(claim) = claims.first() {
                    while going.get(at).is_some_and(|&(slot, _)| slot < claim.slot) {
                        at += 1;
                    }
                    let Some(&(slot, entry)) = going.get(at) else { break };
                    if slot > claim.slot {
                        claims = skip(claims, slot);
                        continue;
                    }
                    let by_tier = &mut entries[usize::from(entry)].by_tier;
                    if held(&mut claims, slot, (depth, agreed), by_tier) == agreed {
                        going[kept] = (slot, entry);
                        kept += 1;
                    }
                    at += 1;
                }
                going.truncate(kept);
            }
            (next, depth) = (further.filter(|_| !going.is_empty()), agreed);
        }
        going.clear();
        // Slots are mostly in the order of sources.
        if !entries.is_sorted_by_key(|entry| entry.source) {
            entries.sort_unstable_by_key(|entry| entry.source);
        }
    }
}

/// Takes the claims of a source, which come first, and adds up what it holds from block `from` on
/// without a gap. Returns the block after the last one of that.
fn held(
    claims: &mut &[Claim],
    slot: u16,
    (from, to): (u32, u32),
    by_tier: &mut [u32; MAX_TIERS],
) -> u32 {
    let mut reached = from;
    while let [claim, rest @ ..] = *claims
        && claim.slot == slot
    {
        *claims = rest;
        if claim.from <= reached && reached < claim.to.min(to) {
            let until = claim.to.min(to);
            by_tier[claim.tiers.trailing_zeros() as usize] += until - reached;
            reached = until;
        }
    }
    reached
}

/// Leaves out the claims of one source, which come first.
fn past(claims: &[Claim], slot: u16) -> &[Claim] {
    let own = claims.iter().take_while(|claim| claim.slot == slot).count();
    &claims[own..]
}

/// Leaves out the claims of sources before `slot`.
fn skip(claims: &[Claim], slot: u16) -> &[Claim] {
    // A few are passed one by one; of many, most are jumped over.
    const FEW: usize = 8;
    let near = claims.iter().take(FEW).take_while(|claim| claim.slot < slot).count();
    if near < FEW {
        return &claims[near..];
    }
    &claims[claims.partition_point(|claim| claim.slot < slot)..]
}
