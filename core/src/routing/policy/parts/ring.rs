//! Consistent hashing: workers stand at several places of a ring, and a key belongs to the first worker
//! after its own place. A worker that joins or leaves moves only the keys next to it.

use crate::id::WorkerId;
use crate::rng::hash_words;

/// A ring of hashes.
#[derive(Default, Debug)]
pub struct Ring {
    /// Ascending by place.
    places: Vec<(u64, WorkerId)>,
}

impl Ring {
    /// Puts a worker at `replicas` places. `name` tells rings apart.
    pub fn add(&mut self, worker: WorkerId, replicas: u32, name: u64) {
        self.remove(worker);
        let place = |i| (hash_words(&[name, u64::from(worker.0), u64::from(i)]), worker);
        self.places.extend((0..replicas).map(place));
        self.places.sort_unstable();
    }

    /// Takes a worker out.
    pub fn remove(&mut self, worker: WorkerId) {
        self.places.retain(|&(_, other)| other != worker);
    }

    /// The workers after a key's place, once around; a worker comes as often as it has places.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = WorkerId> {
        let start = self.places.partition_point(|&(place, _)| place < key);
        let (before, after) = self.places.split_at(start);
        after.iter().chain(before).map(|&(_, worker)| worker)
    }
}
