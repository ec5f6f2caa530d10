//! A router that says to its siblings what a test tells it to.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use warmpath_core::routing::siblings::HEARTBEAT_MS;
use warmpath_proto::convert::follow_response;
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::v1::follow_response::Message;
use warmpath_proto::v1::siblings_server::{Siblings, SiblingsServer};
use warmpath_proto::v1::{
    FollowRequest, FollowResponse, News, NewsBatch, NewsHeartbeat, RequestSent, RequestStep,
    SiblingHello, UnderWay, WorkerRef, news,
};

type Sender = mpsc::UnboundedSender<Result<FollowResponse, Status>>;

#[derive(Clone, Default)]
pub struct FakeSibling(Arc<Mutex<Vec<Sender>>>);

impl FakeSibling {
    /// Serves until the process ends; gives back its URL.
    pub async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Routes::default().add_service(SiblingsServer::new(self.clone()));
        let never = std::future::pending();
        tokio::spawn(listening::serve(listener, Listening::fleet(routes, None), never));
        url
    }

    /// The follower that comes next.
    pub async fn followed(&self) -> FakeFeed {
        loop {
            if let Some(sender) = self.0.lock().unwrap().pop() {
                return FakeFeed(sender);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What one follower is told.
#[derive(Clone)]
pub struct FakeFeed(Sender);

impl FakeFeed {
    pub fn say(&self, message: Message) {
        let _ = self.0.send(Ok(follow_response(message)));
    }

    /// A hello, and what is under way after the news with this number.
    pub fn begin(&self, hello: SiblingHello, number: u64, news: Vec<News>) {
        self.say(Message::Hello(hello));
        self.say(Message::UnderWay(UnderWay { number, news, last: true }));
    }

    pub fn news(&self, first: u64, news: Vec<News>) {
        self.say(Message::News(NewsBatch { first, news }));
    }

    /// Heartbeats with this number, until the task is aborted.
    pub fn beats(&self, number: u64) -> tokio::task::JoinHandle<()> {
        let feed = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS)).await;
                feed.say(Message::Heartbeat(NewsHeartbeat { number }));
            }
        })
    }
}

#[tonic::async_trait]
impl Siblings for FakeSibling {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(
        &self,
        _: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (sender, items) = mpsc::unbounded_channel();
        self.0.lock().unwrap().push(sender);
        let stream = UnboundedReceiverStream::new(items);
        Ok(Response::new(Box::pin(stream)))
    }
}

pub fn hello(epoch: u64, speedup: f64) -> SiblingHello {
    let naming = String::new();
    SiblingHello { epoch, model: "m".to_owned(), block_size: 16, speedup, naming }
}

/// A request of 160 tokens went to a worker that tells no instance.
pub fn sent(request: u64, url: &str) -> News {
    let worker = Some(WorkerRef { instance: String::new(), url: url.to_owned() });
    let sent = RequestSent { worker, prompt_tokens: 160, ..Default::default() };
    News { request, what: Some(news::What::Sent(sent)) }
}

pub fn cancelled(request: u64) -> News {
    News { request, what: Some(news::What::Cancelled(RequestStep {})) }
}
