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
        let mut depth = 0;
        let mut next = if limit > 0 { self.tree.root(chain) } else { None };
        while let Some(id) = next {
            let (agreed, further) = self.tree.step(id, chain, depth + 1, limit);
            let mut claims = self.tree.get(id).claims.all();
            if depth == 0 {
                self.begin(claims, agreed, out);
            } else {
                // Both lists are in the order of slots.
                let Overlap { entries, going } = &mut *out;
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
            (next, depth) = (further.filter(|_| !out.going.is_empty()), agreed);
        }
        let Overlap { entries, going } = out;
        going.clear();
        // Slots are mostly in the order of sources.
        if !entries.is_sorted_by_key(|entry| entry.source) {
            entries.sort_unstable_by_key(|entry| entry.source);
        }
    }

    /// Makes an entry for each source that holds the first block, from the claims on the node that has
    /// it. The prompt agrees with the node until block `agreed`.
    fn begin(&self, mut claims: &[Claim], agreed: u32, out: &mut Overlap) {
        let Overlap { entries, going } = out;
        let source = |slot: u16| self.slots[usize::from(slot)].expect("a holder is a source");
        // Then each source has one claim.
        if claims.iter().all(|claim| claim.from == 0) {
            entries.extend(claims.iter().map(|claim| {
                let (tier, held) = (claim.tiers.trailing_zeros(), claim.to.min(agreed));
                let by_tier = core::array::from_fn(|i| if i as u32 == tier { held } else { 0 });
                SourceOverlap { source: source(claim.slot), by_tier, pending: 0 }
            }));
            let whole = claims.iter().zip(0..).filter(|(claim, _)| claim.to >= agreed);
            going.extend(whole.map(|(claim, place)| (claim.slot, place)));
            return;
        }
        while let Some(&Claim { slot, from, .. }) = claims.first() {
            if from > 0 {
                claims = past(claims, slot);
                continue;
            }
            let place = entries.len();
            let nothing = [0; MAX_TIERS];
            entries.push(SourceOverlap { source: source(slot), by_tier: nothing, pending: 0 });
            let by_tier = &mut entries[place].by_tier;
            if held(&mut claims, slot, (0, agreed), by_tier) == agreed {
                going.push((slot, place as u16));
            }
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
