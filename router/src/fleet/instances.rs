//! Which worker process is behind which number. A process that is reached under two addresses is one
//! worker: its capacity counts once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use warmpath_core::id::WorkerId;

/// The numbers of the worker processes that are followed.
#[derive(Debug, Default)]
pub struct Instances(Mutex<BTreeMap<String, WorkerId>>);

impl Instances {
    /// A number is this process from now on. The error is the number that is already. An empty
    /// instance is no name, so it is never the same.
    pub fn claim(&self, instance: &str, worker: WorkerId) -> Result<(), WorkerId> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&holder) = all.get(instance).filter(|&&holder| holder != worker) {
            return Err(holder);
        }
        all.retain(|_, holder| *holder != worker);
        if !instance.is_empty() {
            all.insert(instance.to_owned(), worker);
        }
        Ok(())
    }

    /// A number is no process any more.
    pub fn release(&self, worker: WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, holder| *holder != worker);
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
        assert_eq!((instances.claim("", a), instances.claim("", b)), (Ok(()), Ok(())));
    }
}
