//! Which worker process is behind which number. A process that is reached under two addresses is one
//! worker: its capacity counts once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use warmpath_core::id::WorkerId;
use warmpath_proto::watched::{Watched, Watcher};

/// The numbers of the worker processes that are followed.
#[derive(Debug)]
pub struct Instances {
    numbers: Mutex<BTreeMap<String, WorkerId>>,
    /// A number lost its process to a lower one.
    taken: Watched<()>,
}

impl Default for Instances {
    fn default() -> Self {
        Self { numbers: Mutex::default(), taken: Watched::new(()) }
    }
}

impl Instances {
    /// A number is this process from now on. The error is a lower number that is already; a higher one
    /// loses it. An empty instance is no name, so it is never the same.
    pub fn claim(&self, instance: &str, worker: WorkerId) -> Result<(), WorkerId> {
        let mut all = self.numbers();
        let holder = all.get(instance).copied();
        if let Some(holder) = holder.filter(|&holder| holder < worker) {
            return Err(holder);
        }
        all.retain(|_, holder| *holder != worker);
        if !instance.is_empty() {
            all.insert(instance.to_owned(), worker);
        }
        drop(all);
        if holder.is_some_and(|holder| holder > worker) {
            self.taken.replace(());
        }
        Ok(())
    }

    /// The number of this process.
    pub fn holder(&self, instance: &str) -> Option<WorkerId> {
        self.numbers().get(instance).copied()
    }

    /// The process behind a number. None: it is not followed, or does not tell.
    pub fn of(&self, worker: WorkerId) -> Option<String> {
        let all = self.numbers();
        all.iter().find(|(_, holder)| **holder == worker).map(|(instance, _)| instance.clone())
    }

    /// Losses of numbers can be waited for.
    pub fn watch(&self) -> Watcher<()> {
        self.taken.watch()
    }

    /// A number is no process any more.
    pub fn release(&self, worker: WorkerId) {
        self.numbers().retain(|_, holder| *holder != worker);
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeMap<String, WorkerId>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_number_until_that_is_released() {
        let [a, b] = [0, 1].map(WorkerId);
        let instances = Instances::default();
        assert_eq!(instances.claim("p", a), Ok(()));
        assert_eq!(instances.claim("p", a), Ok(()), "again");
        assert_eq!(instances.claim("p", b), Err(a));
        assert_eq!(instances.claim("q", a), Ok(()), "restarted");
        assert_eq!(instances.claim("p", b), Ok(()));
        instances.release(a);
        assert_eq!(instances.claim("q", b), Ok(()));
        assert_eq!(instances.claim("q", a), Ok(()), "the lower number takes it");
        assert_eq!(instances.holder("q"), Some(a));
        assert_eq!(instances.of(a).as_deref(), Some("q"));
        assert_eq!(instances.of(b), None);
        assert!(!instances.watch().has_changed());
        assert_eq!((instances.claim("", a), instances.claim("", b)), (Ok(()), Ok(())));
    }
}
