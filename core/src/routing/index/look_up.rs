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
        let root = if limit > 0 { self.tree.root(chain) } else { None };
        let Some(root) = root else { return };
        let (mut depth, mut next) = self.tree.step(root, chain, 1, limit);
        let first = self.tree.get(root).claims.all();
        let one_each = self.begin(first, depth, out);
        let Overlap { entries, going, before } = out;
        if one_each && let Some(id) = next {
            // Then the claims themselves say who goes on.
            let whole =
                |at: usize| first.get(at).map(|claim| (claim.slot, claim.to >= depth, at as u16));
            let (agreed, further) = self.tree.step(id, chain, depth + 1, limit);
            let claims = self.tree.get(id).claims.all();
            go_on(claims, whole, (depth, agreed), entries, going);
            (depth, next) = (agreed, further);
        }
        while let Some(id) = next.filter(|_| !going.is_empty()) {
            core::mem::swap(going, before);
            going.clear();
            let all = |at: usize| before.get(at).map(|&(slot, entry)| (slot, true, entry));
            let (agreed, further) = self.tree.step(id, chain, depth + 1, limit);
            let claims = self.tree.get(id).claims.all();
            go_on(claims, all, (depth, agreed), entries, going);
            (depth, next) = (agreed, further);
        }
        going.clear();
        before.clear();
        if !self.in_order {
            entries.sort_unstable_by_key(|entry| entry.source);
        }
    }

    /// Makes an entry for each source that holds the first block, from the claims on the node that has
    /// it. The prompt agrees with the node until block `agreed`. Returns whether there is an entry for each
    /// claim. If not, the sources that hold all of it are listed.
    fn begin(&self, mut claims: &[Claim], agreed: u32, out: &mut Overlap) -> bool {
        let Overlap { entries, going, .. } = out;
        let slots = self.slots.as_slice();
        let entry = move |slot: u16, by_tier| {
            let source = slots[usize::from(slot)].expect("a holder is a source");
            SourceOverlap { source, by_tier, pending: 0 }
        };
        // Mostly each source has one claim, from the first block on.
        if claims.iter().all(|claim| claim.from == 0) {
            entries.extend(claims.iter().map(move |claim| {
                let (tier, held) = (claim.tiers.trailing_zeros(), claim.to.min(agreed));
                entry(claim.slot, core::array::from_fn(|i| if i as u32 == tier { held } else { 0 }))
            }));
            return true;
        }
        while let Some(&Claim { slot, .. }) = claims.first() {
            let mut by_tier = [0; MAX_TIERS];
            let reached = held(&mut claims, slot, (0, agreed), &mut by_tier);
            if reached == agreed {
                going.push((slot, entries.len() as u16));
            }
            if reached > 0 {
                entries.push(entry(slot, by_tier));
            }
        }
        false
    }
}

/// Adds to entries what their sources hold of blocks `from..to`, and lists the sources that hold all of it.
/// `before` gives the sources in the order of their slots: the slot, whether it held all blocks so far,
/// and the place of its entry. Claims are in the order of slots too.
#[inline(always)]
fn go_on(
    mut claims: &[Claim],
    before: impl Fn(usize) -> Option<(u16, bool, u16)>,
    (from, to): (u32, u32),
    entries: &mut [SourceOverlap],
    going: &mut Vec<(u16, u16)>,
) {
    let mut at = 0;
    while let (Some(claim), Some((slot, whole, entry))) = (claims.first(), before(at)) {
        if slot > claim.slot {
            claims = skip(claims, slot);
            continue;
        }
        at += 1;
        if slot < claim.slot {
            continue;
        }
        let mut more = [0; MAX_TIERS];
        let reached = held(&mut claims, slot, (from, to), &mut more);
        if !whole {
            continue;
        }
        let by_tier = &mut entries[usize::from(entry)].by_tier;
        by_tier.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        if reached == to {
            going.push((slot, entry));
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
