//! Few entries in order. An engine has few requests in each of its queues, and a fleet has many engines: what a
//! step reads of a queue should be a cache line, where the nodes of a tree are several.

use std::collections::VecDeque;

/// A map in the order of its keys. It adds at the end and takes from the start in constant time. In between it moves
/// the shorter side.
#[derive(Clone, Debug)]
pub(super) struct Ordered<K, V = ()> {
    entries: VecDeque<(K, V)>,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
    }
}

impl<K: Copy + Ord, V: Copy> Ordered<K, V> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn first(&self) -> Option<(K, V)> {
        self.entries.front().copied()
    }

    pub fn last(&self) -> Option<(K, V)> {
        self.entries.back().copied()
    }

    /// The first entry with a larger key.
    pub fn after(&self, key: K) -> Option<(K, V)> {
        let next = self.entries.partition_point(|&(known, _)| known <= key);
        self.entries.get(next).copied()
    }

    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.entries.pop_front()
    }

    /// Adds an entry. Panics if the key has one.
    pub fn insert(&mut self, key: K, value: V) {
        if self.last().is_none_or(|(last, _)| last < key) {
            return self.entries.push_back((key, value));
        }
        match self.place(key) {
            Ok(_) => panic!("a key is used twice"),
            Err(at) => self.entries.insert(at, (key, value)),
        }
    }

    /// Removes the entry of a key, if there is one.
    pub fn remove(&mut self, key: K) {
        if let Ok(at) = self.place(key) {
            self.entries.remove(at);
        }
    }

    pub fn values(&self) -> impl Iterator<Item = V> + Clone {
        self.entries.iter().map(|&(_, value)| value)
    }

    fn place(&self, key: K) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&key, |&(known, _)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::Ordered;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_tree() {
        let mut rng = Rng::named(1, &[]);
        let (mut ordered, mut tree) = (Ordered::default(), BTreeMap::new());
        for round in 0..20_000_u64 {
            let key = rng.below(60);
            match rng.below(4) {
                0 => assert_eq!(ordered.pop_first(), tree.pop_first()),
                1 => {
                    ordered.remove(key);
                    tree.remove(&key);
                }
                _ if !tree.contains_key(&key) => {
                    ordered.insert(key, round);
                    tree.insert(key, round);
                }
                _ => {}
            }
            let pair = |(&key, &value): (&u64, &u64)| (key, value);
            assert_eq!(ordered.first(), tree.first_key_value().map(pair), "round {round}");
            assert_eq!(ordered.last(), tree.last_key_value().map(pair), "round {round}");
            assert_eq!(ordered.after(key), tree.range(key + 1..).next().map(pair), "round {round}");
            assert!(ordered.values().eq(tree.values().copied()), "round {round}");
            assert_eq!((ordered.len(), ordered.is_empty()), (tree.len(), tree.is_empty()));
        }
    }
}
