//! The events of a task, and how a broken link to an engine ends them.

use crate::source::event::{Event, Events, FeedEnd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use warmpath_kv_events::LinkError;

/// Events that wait for the router.
const QUEUE: usize = 64;

/// The events, and the task that makes them. Dropping it ends the task.
pub struct Feed {
    events: mpsc::Receiver<Result<Event, FeedEnd>>,
    _task: JoinSet<()>,
}

impl Feed {
    /// The events of a task, which ends with them.
    pub fn of<F: Future<Output = ()> + Send + 'static>(
        task: impl FnOnce(mpsc::Sender<Result<Event, FeedEnd>>) -> F,
    ) -> Events {
        let (out, events) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(task(out));
        Box::pin(Self { events, _task: tasks })
    }
}

impl tokio_stream::Stream for Feed {
    type Item = Result<Event, FeedEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

/// What a broken link to an engine's events means.
pub fn link_lost(error: &LinkError) -> FeedEnd {
    match error {
        LinkError::Io(_) | LinkError::Closed => FeedEnd::Lost(format!("its KV events: {error}")),
        _ => FeedEnd::Refused(format!("its KV events: {error}")),
    }
}
