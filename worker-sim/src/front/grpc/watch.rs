//! `warmpath.v1.WorkerState`: the feed for routers. A pool's feed is the same stream.

use super::status::of_refusal;
use crate::command::Command;
use crate::feed::{FeedItem, QUEUE};
use crate::worker::WorkerState as Worker;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use warmpath_proto::convert;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{
    Draining, Heartbeat, Hello, WatchRequest, WatchResponse, worker_state_server::WorkerState,
};

/// The feed of one worker.
#[derive(Clone, Debug)]
pub struct WatchService(pub Arc<Worker>);

#[tonic::async_trait]
impl WorkerState for WatchService {
    type WatchStream = WatchFeed;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<WatchFeed>, Status> {
        self.0.refuse_if_draining().map_err(of_refusal)?;
        let (sender, items) = mpsc::channel(QUEUE);
        self.0.send(Command::Watch(sender)).map_err(of_refusal)?;
        let config = &self.0.config;
        let feed = WatchFeed::new(items, config.model.clone(), config.speedup);
        let address = &self.0.address;
        let instance = format!("{}-{}", address.engine_id, address.port);
        let name = config.given_name().to_owned();
        Ok(Response::new(WatchFeed { name, instance, ..feed }))
    }
}

/// One watcher's stream. Items come from the engine's or the pool's thread; here they become
/// messages.
#[derive(Debug)]
pub struct WatchFeed {
    model: String,
    speedup: f64,
    name: String,
    instance: String,
    items: mpsc::Receiver<FeedItem>,
    /// Messages that wait to be sent: one snapshot is many.
    ready: VecDeque<WatchResponse>,
    draining: bool,
    ended: bool,
}

impl WatchFeed {
    /// `model` and `speedup` are a part of the hello.
    pub fn new(items: mpsc::Receiver<FeedItem>, model: String, speedup: f64) -> Self {
        let (name, instance, ready) = (String::new(), String::new(), VecDeque::new());
        Self { model, speedup, name, instance, items, ready, draining: false, ended: false }
    }

    fn convert(&mut self, item: FeedItem) {
        let message = match item {
            FeedItem::Snapshot(snapshot) => {
                let chunks = convert::snapshot_to_wire(&snapshot);
                let messages = chunks.into_iter().map(Message::Snapshot).map(convert::response);
                self.ready.extend(messages);
                return;
            }
            FeedItem::Hello(info) => {
                let hello = convert::hello_to_wire(&info, &self.model, self.speedup);
                let (name, instance) = (self.name.clone(), self.instance.clone());
                Message::Hello(Hello { name, instance, ..hello })
            }
            FeedItem::PoolHello(info) => {
                Message::Hello(convert::pool_hello_to_wire(&info, &self.model, self.speedup))
            }
            FeedItem::Batch(batch) => Message::Batch(convert::batch_to_wire(&batch)),
            FeedItem::Load(report) => Message::Load(convert::load_to_wire(&report)),
            FeedItem::Heartbeat { epoch, seq } => Message::Heartbeat(Heartbeat { epoch, seq }),
            FeedItem::Draining => {
                self.draining = true;
                Message::Draining(Draining {})
            }
        };
        self.ready.push_back(convert::response(message));
    }
}

impl Stream for WatchFeed {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(this.items.poll_recv(cx)) {
                Some(item) => this.convert(item),
                None => {
                    this.ended = true;
                    if !this.draining {
                        let why = format!("fell more than {QUEUE} messages behind; watch again");
                        return Poll::Ready(Some(Err(Status::aborted(why))));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;

    async fn last_error(items: Vec<FeedItem>) -> Option<Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        for item in items {
            sender.send(item).await.unwrap();
        }
        drop(sender);
        let mut feed = WatchFeed::new(receiver, "m".to_owned(), 1.0);
        while let Some(response) = feed.next().await {
            if let Err(status) = response {
                assert!(feed.next().await.is_none(), "the error is the end");
                return Some(status);
            }
        }
        None
    }

    #[tokio::test]
    async fn a_watcher_is_told_why_its_feed_ends() {
        let beat = FeedItem::Heartbeat { epoch: 1, seq: 2 };
        let cut_off = last_error(vec![beat.clone()]).await.expect("an error");
        assert_eq!(cut_off.code(), tonic::Code::Aborted);
        assert!(last_error(vec![beat, FeedItem::Draining]).await.is_none());
    }
}
