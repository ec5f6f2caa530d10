//! What one follower is told, as messages.

use crate::fleet::status::FleetTerms;
use crate::metrics;
use crate::state::RouterState;
use crate::telling::{Item, QUEUE, Queue, blocks_of};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio_stream::Stream;
use tonic::Status;
use warmpath_core::routing::siblings::News;
use warmpath_proto::convert::{follow_response, news_to_wire};
use warmpath_proto::v1::follow_response::Message;
use warmpath_proto::v1::{self, FollowResponse, NewsBatch, NewsHeartbeat, SiblingHello, UnderWay};

/// Names of blocks in one message: 512 KiB.
const MESSAGE_BLOCKS: u64 = 32_768;
/// News in one message.
const MESSAGE_NEWS: usize = 256;

/// The stream to one follower. It takes what waits in its queue at once, so news that come fast share a
/// message.
#[derive(Debug)]
pub struct Telling {
    state: Arc<RouterState>,
    terms: Arc<FleetTerms>,
    /// Whether the follower names blocks as this router does.
    same_names: bool,
    queue: Queue,
    taken: Vec<Item>,
    ready: VecDeque<FollowResponse>,
    /// Why it ends, once it is known. Told once.
    end: Option<Status>,
    ended: bool,
}

impl Telling {
    /// It begins with the hello.
    pub fn new(
        state: Arc<RouterState>,
        terms: Arc<FleetTerms>,
        hello: SiblingHello,
        same_names: bool,
        queue: Queue,
    ) -> Self {
        let ready = VecDeque::from([follow_response(Message::Hello(hello))]);
        let (taken, end, ended) = (Vec::new(), None, false);
        Self { state, terms, same_names, queue, taken, ready, end, ended }
    }

    /// Turns what was taken into messages.
    fn convert(&mut self) -> Result<(), Status> {
        let mut batch: Option<(NewsBatch, u64)> = None;
        for item in std::mem::take(&mut self.taken) {
            let full = |(batch, blocks): &(NewsBatch, u64)| {
                batch.news.len() >= MESSAGE_NEWS || *blocks >= MESSAGE_BLOCKS
            };
            let is_news = matches!(item, Item::News(..));
            if let Some((batch, _)) = batch.take_if(|batch| !is_news || full(batch)) {
                self.ready.push_back(follow_response(Message::News(batch)));
            }
            match item {
                Item::News(number, news) => {
                    metrics::sibling_news("sent", 1);
                    let first = || (NewsBatch { first: number, news: Vec::new() }, 0);
                    let (batch, blocks) = batch.get_or_insert_with(first);
                    batch.news.push(self.wire(&news)?);
                    *blocks += blocks_of(&news);
                }
                Item::Heartbeat(number) => {
                    let beat = Message::Heartbeat(NewsHeartbeat { number });
                    self.ready.push_back(follow_response(beat));
                }
                Item::UnderWay(number, all) => self.under_way(number, &all)?,
            }
        }
        if let Some((batch, _)) = batch {
            self.ready.push_back(follow_response(Message::News(batch)));
        }
        Ok(())
    }

    fn under_way(&mut self, number: u64, all: &[Arc<News>]) -> Result<(), Status> {
        let (mut part, mut blocks) = (Vec::new(), 0);
        for news in all {
            if part.len() >= MESSAGE_NEWS || blocks >= MESSAGE_BLOCKS {
                let news = std::mem::take(&mut part);
                let part = Message::UnderWay(UnderWay { number, news, last: false });
                self.ready.push_back(follow_response(part));
                blocks = 0;
            }
            part.push(self.wire(news)?);
            blocks += blocks_of(news);
        }
        let last = Message::UnderWay(UnderWay { number, news: part, last: true });
        self.ready.push_back(follow_response(last));
        Ok(())
    }

    fn wire(&self, news: &News) -> Result<v1::News, Status> {
        if let News::Sent { request, .. } = news
            && request.prompt.block_size() != self.terms.block_size
        {
            return Err(Status::aborted("the fleet's block size changed; follow again"));
        }
        Ok(news_to_wire(news, &*self.state, self.same_names))
    }
}

impl Stream for Telling {
    type Item = Result<FollowResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            if let Some(end) = this.end.take() {
                this.ended = true;
                return Poll::Ready(Some(Err(end)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let taken = this.queue.items.poll_recv_many(cx, &mut this.taken, MESSAGE_NEWS);
            if ready!(taken) == 0 {
                let why = format!("fell more than {QUEUE} news behind; follow again");
                this.end = Some(Status::aborted(why));
                continue;
            }
            this.queue.taken(&this.taken);
            this.end = this.convert().err();
        }
    }
}
