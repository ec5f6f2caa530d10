//! The requests of one engine by their names.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The requests that are under way.
#[derive(Clone, Default, Debug)]
pub struct Running(Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>);

impl Running {
    /// Enters a request. It is in the table as long as what returns.
    pub fn begin(&self, id: &str) -> Place {
        let (sender, aborted) = oneshot::channel();
        self.lock().insert(id.to_owned(), sender);
        Place { running: self.clone(), id: id.to_owned(), aborted }
    }

    /// Ends requests. Unknown names are no error.
    pub fn abort(&self, ids: &[String]) {
        for id in ids {
            let sender = self.lock().remove(id);
            // An answer that has ended meanwhile does not hear it.
            let _ = sender.map(|sender| sender.send(()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in the table. Dropping it takes it out.
#[derive(Debug)]
pub struct Place {
    running: Running,
    id: String,
    aborted: oneshot::Receiver<()>,
}

impl Place {
    /// Ready once the request is aborted. Poll it no more then.
    pub fn poll_aborted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.aborted).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}
