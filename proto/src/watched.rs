//! A value whose changes can be waited for. Those who wait are woken in the order in which they began to.
//!
//! tokio's `watch` wakes them in a random order, which nothing but the runtime can seed. Where several tasks
//! wait for one value, as all requests of a worker wait for its loss, a test could not be repeated.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// A value that others watch.
pub struct Watched<T>(Arc<Shared<T>>);

struct Shared<T> {
    value: RwLock<T>,
    /// Changes so far. It is changed while the value is locked.
    changes: AtomicU64,
    changed: Notify,
}

/// Sees the changes of a value, from the one after its making on.
pub struct Watcher<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Self {
        let (value, changes, changed) = (RwLock::new(value), AtomicU64::new(0), Notify::new());
        Self(Arc::new(Shared { value, changes, changed }))
    }

    /// The value now. It cannot change while it is borrowed.
    pub fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.0.read()
    }

    pub fn modify(&self, change: impl FnOnce(&mut T)) {
        self.modify_if(|value| {
            change(value);
            true
        });
    }

    /// It is told of if `change` says so, which this returns.
    pub fn modify_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let shared = &*self.0;
        let mut value = shared.value.write().unwrap_or_else(PoisonError::into_inner);
        let told = change(&mut value);
        if told {
            shared.changes.fetch_add(1, Ordering::Release);
            drop(value);
            shared.changed.notify_waiters();
        }
        told
    }

    pub fn replace(&self, value: T) {
        self.modify(|old| *old = value);
    }

    pub fn watch(&self) -> Watcher<T> {
        let seen = self.0.changes.load(Ordering::Acquire);
        Watcher { shared: Arc::clone(&self.0), seen }
    }
}

impl<T> Watcher<T> {
    /// Returns when the value has changed since this was last asked.
    pub async fn changed(&mut self) {
        while !self.has_changed() {
            let mut notified = pin!(self.shared.changed.notified());
            // A change from here on is heard of.
            notified.as_mut().enable();
            if !self.has_changed() {
                notified.await;
            }
        }
        self.mark_unchanged();
    }

    pub fn has_changed(&self) -> bool {
        self.shared.changes.load(Ordering::Acquire) != self.seen
    }

    /// Only later changes count.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.changes.load(Ordering::Acquire);
    }

    /// The value, as soon as it is like this.
    pub async fn wait_for(&mut self, is: impl Fn(&T) -> bool) -> RwLockReadGuard<'_, T> {
        loop {
            let mut notified = pin!(self.shared.changed.notified());
            notified.as_mut().enable();
            if is(&self.shared.read()) {
                break;
            }
            notified.await;
        }
        self.shared.read()
    }
}

impl<T> Clone for Watcher<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.0.value).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&self.shared.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn all_are_woken_in_the_order_in_which_they_began_to_wait() {
        let watched = Watched::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for i in 0..50 {
            let (mut watcher, woken) = (watched.watch(), Arc::clone(&woken));
            tasks.push(tokio::spawn(async move {
                let value = *watcher.wait_for(|&value| value >= 2).await;
                woken.lock().unwrap().push((i, value));
            }));
            tokio::task::yield_now().await;
        }
        watched.replace(1);
        tokio::task::yield_now().await;
        assert!(woken.lock().unwrap().is_empty());
        watched.replace(2);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), Vec::from_iter((0..50).map(|i| (i, 2))));
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_missed() {
        let watched = Watched::new(0);
        let mut watcher = watched.watch();
        assert!(!watcher.has_changed());
        watched.modify_if(|value| {
            *value = 1;
            false
        });
        assert!(!watcher.has_changed(), "it was not told of");
        watched.replace(2);
        watcher.changed().await;
        assert!(!watcher.has_changed());
        assert_eq!(*watched.borrow(), 2);
    }
}
