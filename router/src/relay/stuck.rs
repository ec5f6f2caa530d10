//! Notices that the worker of an answer is stuck: its feed is lost, and the answer is silent too.

use crate::fleet::worker::{Standing, WorkerLink};
use crate::source::event::SILENCE;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Watches one answer. A worker whose feed broke alone goes on answering.
pub struct Stuck {
    link: Arc<WorkerLink>,
    /// Ends when the worker has been lost for a while.
    lost: Pin<Box<dyn Future<Output = Option<String>> + Send>>,
    /// When the last message of the answer came.
    heard: Instant,
}

impl Stuck {
    pub fn new(link: Arc<WorkerLink>) -> Self {
        Self { lost: lost(&link), heard: Instant::now(), link }
    }

    /// A message of the answer came.
    pub fn hear(&mut self) {
        self.heard = Instant::now();
    }

    /// Ready with the reason when no more of the answer is to be expected.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            let why = ready!(self.lost.as_mut().poll(cx));
            self.lost = lost(&self.link);
            if let Some(why) = why.filter(|_| self.heard.elapsed() >= SILENCE) {
                return Poll::Ready(why);
            }
        }
    }
}

/// Why a worker is lost, once that is no moment's matter. None: it is back.
fn lost(link: &Arc<WorkerLink>) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> {
    let link = Arc::clone(link);
    Box::pin(async move {
        let why = link.lost().await;
        tokio::time::sleep(SILENCE).await;
        (link.standing() != Standing::Joined).then_some(why)
    })
}

impl fmt::Debug for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stuck").field("worker", &self.link.name).finish_non_exhaustive()
    }
}
