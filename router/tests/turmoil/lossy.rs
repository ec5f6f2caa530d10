//! Something in front of a worker, on its host: messages of its feed are lost, doubled, swapped or robbed of
//! their events, and its calls fail as they are told to.

use crate::common::faulty::{Feed, Messages, Passing};
use crate::network::{BEHIND, Network};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tonic::Status;
use warmpath_core::rng::Rng;
use warmpath_proto::transport::{self, Dialling};
use warmpath_proto::v1::WatchResponse;
use warmpath_proto::v1::watch_response::Message;

/// How a worker's feed is spoilt, over all of its lives.
#[derive(Clone)]
pub struct Spoiling {
    /// One of so many batches.
    pub one_in: u64,
    pub rng: Arc<Mutex<Rng>>,
    /// False: nothing is spoilt any more.
    pub active: Arc<AtomicBool>,
    /// Batches that were spoilt.
    pub spoilt: Arc<AtomicU64>,
}

/// In front of the worker of this host.
pub fn in_front(network: &Network, spoiling: Option<Spoiling>) -> Passing {
    let how = Dialling { tls: None, dialler: network.dialler() };
    let channel = transport::channel_with(&format!("http://127.0.0.1:{BEHIND}"), &how);
    let feed: Feed = match spoiling {
        None => Arc::new(|feed| feed),
        Some(spoiling) => Arc::new(move |from| {
            let (spoiling, ready) = (spoiling.clone(), VecDeque::new());
            Box::pin(Spoilt { from, spoiling, ready, kept: None })
        }),
    };
    Passing::new(channel.expect("a URL"), feed)
}

struct Spoilt {
    from: Messages<WatchResponse>,
    spoiling: Spoiling,
    ready: VecDeque<WatchResponse>,
    /// It comes after the next message.
    kept: Option<WatchResponse>,
}

impl Spoilt {
    fn take(&mut self, mut message: WatchResponse) {
        let Some(Message::Batch(batch)) = &mut message.message else {
            self.ready.push_back(message);
            return;
        };
        let spoiling = &self.spoiling;
        let mut rng = spoiling.rng.lock().unwrap();
        if !spoiling.active.load(Ordering::Relaxed) || rng.below(spoiling.one_in) > 0 {
            self.ready.push_back(message);
            self.ready.extend(self.kept.take());
            return;
        }
        spoiling.spoilt.fetch_add(1, Ordering::Relaxed);
        match rng.below(4) {
            0 => {}
            1 => self.ready.extend([message.clone(), message]),
            2 => self.kept = Some(message),
            _ => {
                batch.events.clear();
                self.ready.push_back(message);
            }
        }
    }
}

impl Stream for Spoilt {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            match std::task::ready!(this.from.as_mut().poll_next(cx)) {
                Some(Ok(message)) => this.take(message),
                end => return Poll::Ready(end),
            }
        }
    }
}
