//! A table from blocks to nodes.

use crate::block::BlockHash;
use crate::runs::NodeId;

/// Nodes by the hash and the depth of a block. A hash implies a depth, but a worker may send a run at
/// a wrong depth. Such a run neither matches nor replaces the blocks of other workers.
///
/// An entry has 32 bits of the key; the caller compares the rest with the node. Entries stand side by
/// side at or after the place that the key names, so that a look-up reads one line of memory.
#[derive(Clone, Default, Debug)]
pub(super) struct Table {
    /// A power of two of them, or none.
    entries: Vec<Entry>,
    len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: u32,
    id: NodeId,
}

/// An entry of no block. Nodes are not numbered so far.
const EMPTY: Entry = Entry { tag: 0, id: NodeId(u32::MAX) };

/// The least size of a table that has an entry.
const SMALL: usize = 16;

fn tag(hash: BlockHash, depth: u32) -> u32 {
    let bits = hash.to_wire();
    // The multiplier is odd, so different depths give different products.
    let spread = u64::from(depth).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (((bits >> 64) as u64 ^ bits as u64 ^ spread) >> 32) as u32
}

impl Table {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The node of a block. `is_it` compares a node with the whole hash and the depth.
    #[inline]
    pub(super) fn find(
        &self,
        hash: BlockHash,
        depth: u32,
        is_it: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        if self.entries.is_empty() {
            return None;
        }
        let tag = tag(hash, depth);
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at];
            if entry == EMPTY {
                return None;
            }
            if entry.tag == tag && is_it(entry.id) {
                return Some(entry.id);
            }
            at = self.after(at);
        }
    }

    /// Adds a block of a node, beside what other nodes have at the same key.
    pub(super) fn insert(&mut self, hash: BlockHash, depth: u32, id: NodeId) {
        self.len += 1;
        // At most three quarters are taken: searches are short.
        if self.len * 4 > self.entries.len() * 3 {
            self.resize((self.entries.len() * 2).max(SMALL));
        }
        self.put(Entry { tag: tag(hash, depth), id });
    }

    /// Removes a block of a node. Panics if it was not added.
    pub(super) fn remove(&mut self, hash: BlockHash, depth: u32, id: NodeId) {
        let entry = Entry { tag: tag(hash, depth), id };
        let mut hole = self.home(entry.tag);
        while self.entries[hole] != entry {
            assert_ne!(self.entries[hole], EMPTY, "a block that was added");
            hole = self.after(hole);
        }
        // Each entry after it that a search from its home would no longer reach moves into the hole.
        let mut at = self.after(hole);
        while self.entries[at] != EMPTY {
            let home = self.home(self.entries[at].tag);
            let mask = self.entries.len() - 1;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.entries[hole] = EMPTY;
        self.len -= 1;
        if self.len * 8 < self.entries.len() {
            self.resize(if self.len == 0 { 0 } else { (self.entries.len() / 4).max(SMALL) });
        }
    }

    fn put(&mut self, entry: Entry) {
        let mut at = self.home(entry.tag);
        while self.entries[at] != EMPTY {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    fn resize(&mut self, size: usize) {
        if size == self.entries.len() {
            return;
        }
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; size]);
        old.into_iter().filter(|&entry| entry != EMPTY).for_each(|entry| self.put(entry));
    }

    /// Where a search begins: the high bits of the product, as they depend on all bits of the tag.
    fn home(&self, tag: u32) -> usize {
        let spread = u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (spread >> 32) as usize & (self.entries.len() - 1)
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Many entries share a key, and tables grow and shrink all the time.
    #[test]
    fn a_table_agrees_with_a_list() {
        for seed in 0..50 {
            let mut rng = Rng::named(seed, &[]);
            let (mut table, mut list) = (Table::default(), Vec::new());
            let mut growing = true;
            for id in 0..2_000 {
                growing ^= rng.below(200) == 0;
                let key =
                    (BlockHash::from_wire(u128::from(rng.below(40)) << 100), rng.below(3) as u32);
                if rng.below(10) < if growing { 8 } else { 2 } {
                    table.insert(key.0, key.1, NodeId(id));
                    list.push((key, NodeId(id)));
                } else if !list.is_empty() {
                    let ((hash, depth), id) =
                        list.swap_remove(rng.below(list.len() as u64) as usize);
                    table.remove(hash, depth, id);
                }
                assert_eq!(table.len(), list.len(), "seed {seed}");
                for &((hash, depth), id) in &list {
                    let found = table.find(hash, depth, |other| other == id);
                    assert_eq!(found, Some(id), "seed {seed}");
                }
                let (hash, depth) = key;
                let has = list.iter().any(|(known, _)| *known == key);
                assert_eq!(table.find(hash, depth, |_| true).is_some(), has, "seed {seed}");
            }
        }
    }

    #[test]
    fn an_empty_table_keeps_no_memory() {
        let (mut table, hash) =
            (Table::default(), |i: u32| BlockHash::from_wire(u128::from(i) << 96));
        (0..1_000).for_each(|i| table.insert(hash(i), i, NodeId(i)));
        (0..1_000).for_each(|i| table.remove(hash(i), i, NodeId(i)));
        assert_eq!((table.len(), table.entries.capacity()), (0, 0));
    }
}
