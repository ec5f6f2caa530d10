//! Which blocks of a node each source holds, in which tiers.

use smallvec::SmallVec;

/// Blocks that a source holds in the same tiers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// The first block.
    pub(super) from: u32,
    /// The block after the last one.
    pub(super) to: u32,
    /// The source's place in the table of sources.
    pub(super) slot: u16,
    /// A bit for each tier.
    pub(super) tiers: u8,
}

impl Claim {
    pub(super) const fn len(&self) -> u32 {
        self.to - self.from
    }
}

/// The claims on one node, by slot and then by block. Claims of a source never overlap, and those
/// that touch have different tiers.
#[derive(Clone, Default, Debug)]
pub(super) struct Claims(SmallVec<[Claim; 1]>);

/// A change of a part of a node: the blocks, and the tiers before and after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Edit {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) before: u8,
    pub(super) after: u8,
}

impl Claims {
    pub(super) fn all(&self) -> &[Claim] {
        &self.0
    }

    /// The block after the last one that is held, at most `most`, which no claim passes. 0 if none is
    /// held.
    pub(super) fn end(&self, most: u32) -> u32 {
        let mut end = 0;
        for claim in &self.0 {
            end = end.max(claim.to);
            if end == most {
                break;
            }
        }
        end
    }

    /// The claims of one source.
    pub(super) fn of(&self, slot: u16) -> &[Claim] {
        let (from, to) = self.places(slot);
        &self.0[from..to]
    }

    fn places(&self, slot: u16) -> (usize, usize) {
        let from = self.0.partition_point(|claim| claim.slot < slot);
        let more = self.0[from..].iter().take_while(|claim| claim.slot == slot).count();
        (from, from + more)
    }

    /// Whether a source holds all of the blocks `from..to` in one of the tiers `bits`.
    pub(super) fn cover(&self, slot: u16, (from, to): (u32, u32), bits: u8) -> bool {
        let mut covered = from;
        for claim in self.of(slot) {
            if claim.from <= covered && claim.to > covered && claim.tiers & bits != 0 {
                covered = claim.to;
            }
        }
        covered >= to
    }

    /// Changes the tiers in which a source holds the blocks `from..to`, and tells `changed` what is
    /// different now.
    pub(super) fn edit(
        &mut self,
        slot: u16,
        (from, to): (u32, u32),
        change: impl Fn(u8) -> u8,
        mut changed: impl FnMut(Edit),
    ) {
        let (first, last) = self.places(slot);
        // Mostly a source holds nothing of the node before, or just this part of it.
        let before = match &self.0[first..last] {
            [] => Some(0),
            [only] if (only.from, only.to) == (from, to) => Some(only.tiers),
            _ => None,
        };
        if let Some(before) = before {
            let after = change(before);
            if after == before {
                return;
            }
            changed(Edit { from, to, before, after });
            match (before, after) {
                (0, tiers) => self.0.insert(first, Claim { from, to, slot, tiers }),
                (_, 0) => {
                    self.0.remove(first);
                    self.give_back();
                }
                (_, tiers) => self.0[first].tiers = tiers,
            }
            return;
        }
        let mut parts = Parts { slot, list: SmallVec::new() };
        let mut at = from;
        let mut edit = |parts: &mut Parts, from: u32, to: u32, before: u8| {
            let after = change(before);
            parts.add(from, to, after);
            if from < to && before != after {
                changed(Edit { from, to, before, after });
            }
        };
        for claim in &self.0[first..last] {
            parts.add(claim.from, claim.to.min(from), claim.tiers);
            let (left, right) = (claim.from.clamp(at, to), claim.to.clamp(at, to));
            edit(&mut parts, at, left, 0);
            edit(&mut parts, left, right, claim.tiers);
            at = right;
            if claim.to > to {
                // What lies between here and `to` is not held, so it comes before this claim.
                edit(&mut parts, at, to, 0);
                at = to;
                parts.add(claim.from.max(to), claim.to, claim.tiers);
            }
        }
        edit(&mut parts, at, to, 0);
        let common = (last - first).min(parts.list.len());
        self.0[first..first + common].copy_from_slice(&parts.list[..common]);
        if first + common < last {
            self.0.drain(first + common..last);
        } else {
            self.0.insert_many(last, parts.list[common..].iter().copied());
        }
        self.give_back();
    }

    /// Removes all claims of a source.
    pub(super) fn clear(&mut self, slot: u16) {
        let (from, to) = self.places(slot);
        self.0.drain(from..to);
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.0.spilled() && self.0.len() * 4 <= self.0.capacity() {
            self.0.shrink_to_fit();
        }
    }
}

/// The new claims of one source, in order.
struct Parts {
    slot: u16,
    list: SmallVec<[Claim; 4]>,
}

impl Parts {
    /// Adds blocks, unless there are none or no tier has them.
    fn add(&mut self, from: u32, to: u32, tiers: u8) {
        if from >= to || tiers == 0 {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.to == from && last.tiers == tiers => last.to = to,
            _ => self.list.push(Claim { from, to, slot: self.slot, tiers }),
        }
    }
}
