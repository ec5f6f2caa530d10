//! A value for each worker, in two dense lists. A decision reads every worker's values in ascending
//! order, and workers are numbered from 0, so nearly every look-up is one comparison: the value of
//! worker `n` stands at place `n` while no smaller number is missing.

use crate::id::WorkerId;

/// A value for each of some workers, in ascending order.
#[derive(Clone, Debug)]
pub struct PerWorker<T> {
    ids: Vec<WorkerId>,
    values: Vec<T>,
}

/// The place of a worker in an ascending list; an error says where it would be.
#[inline]
pub(super) fn place(ids: &[WorkerId], id: WorkerId) -> Result<usize, usize> {
    match ids.get(id.0 as usize) {
        Some(&there) if there == id => Ok(id.0 as usize),
        _ => ids.binary_search(&id),
    }
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self { ids: Vec::new(), values: Vec::new() }
    }
}

impl<T> PerWorker<T> {
    fn place(&self, id: WorkerId) -> Result<usize, usize> {
        place(&self.ids, id)
    }

    /// The value of a worker, if it has one.
    pub fn get(&self, id: WorkerId) -> Option<&T> {
        self.place(id).ok().map(|at| &self.values[at])
    }

    /// The value of a worker, if it has one.
    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut T> {
        self.place(id).ok().map(|at| &mut self.values[at])
    }

    /// Sets the value of a worker. Returns the one before.
    pub fn insert(&mut self, id: WorkerId, value: T) -> Option<T> {
        match self.place(id) {
            Ok(at) => Some(core::mem::replace(&mut self.values[at], value)),
            Err(at) => {
                self.ids.insert(at, id);
                self.values.insert(at, value);
                None
            }
        }
    }

    /// Takes the value of a worker away.
    pub fn remove(&mut self, id: WorkerId) -> Option<T> {
        let at = self.place(id).ok()?;
        self.ids.remove(at);
        Some(self.values.remove(at))
    }

    /// Workers and their values, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (WorkerId, &T)> {
        self.ids.iter().copied().zip(&self.values)
    }

    /// The values, in ascending order of their workers.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.values.iter()
    }
}

impl<T: Default> PerWorker<T> {
    /// The value of a worker. One that has none gets the default.
    pub fn of_mut(&mut self, id: WorkerId) -> &mut T {
        let at = match self.place(id) {
            Ok(at) => at,
            Err(at) => {
                self.ids.insert(at, id);
                self.values.insert(at, T::default());
                at
            }
        };
        &mut self.values[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_does_what_a_map_does() {
        let (mut rng, mut ours, mut map) =
            (Rng::named(1, &[]), PerWorker::default(), BTreeMap::new());
        for step in 0..5_000u64 {
            let number = rng.next_u64() as u32 % 12;
            // Some numbers are far from their place.
            let id = WorkerId(if number > 8 { number << 20 } else { number });
            match rng.next_u64() % 4 {
                0 => assert_eq!(ours.insert(id, step), map.insert(id, step)),
                1 => assert_eq!(ours.remove(id), map.remove(&id)),
                2 => assert_eq!(ours.of_mut(id), map.entry(id).or_default()),
                _ => assert_eq!(ours.get_mut(id), map.get_mut(&id)),
            }
            assert_eq!(ours.get(id), map.get(&id));
            assert!(ours.iter().eq(map.iter().map(|(&id, value)| (id, value))));
            assert!(ours.values().eq(map.values()));
        }
    }
}
