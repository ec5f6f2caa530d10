//! vLLM's KV events: what this worker's store holds, published for routers that were written for vLLM.
//!
//! - `followers`: who follows them inside this process, to pass them on by other protocols.
//! - `texts`: which tokens the blocks of the store have, and batches of the store in vLLM's terms.

mod followers;
mod texts;

pub use followers::{Numbered, Part};

use followers::Followers;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use texts::Texts;
pub use texts::{Hashes, Text};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::mpsc::{channel, unbounded_channel};
use tokio::task::JoinSet;
use warmpath_core::event::KvBatch;
use warmpath_core::id::RequestId;
use warmpath_kv_events::codec::{self, Form};
use warmpath_kv_events::event::Batch;
use warmpath_kv_events::publish::{Publisher, STEPS};
use warmpath_proto::clock;
use warmpath_proto::vllm::KvEventSource;

/// Where and how a worker publishes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvEventsConfig {
    /// `tcp://address:port` of the PUB socket. Port 0 takes a free one.
    pub endpoint: String,
    /// The same of the ROUTER socket that replays missed batches. None: no replay.
    #[serde(default)]
    pub replay: Option<String>,
    #[serde(default)]
    pub format: EventForm,
    #[serde(default)]
    pub topic: String,
    #[serde(default)]
    pub hashes: Hashes,
    /// The data-parallel rank that the events say they come from.
    #[serde(default)]
    pub data_parallel_rank: u32,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventForm {
    /// As current versions do.
    #[default]
    Map,
    /// As versions before them did.
    Array,
}

impl KvEventsConfig {
    pub fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            replay: None,
            format: EventForm::default(),
            topic: String::new(),
            hashes: Hashes::default(),
            data_parallel_rank: 0,
        }
    }

    /// The fields with an address, and the addresses. An error is the field and what is wrong.
    pub fn addresses(&self) -> Result<Vec<(&'static str, SocketAddr)>, (&'static str, String)> {
        let mut all = vec![("kv_events.endpoint", &self.endpoint)];
        all.extend(self.replay.iter().map(|replay| ("kv_events.replay", replay)));
        let read = |(field, endpoint): (&'static str, &String)| match address(endpoint) {
            Some(address) => Ok((field, address)),
            None => Err((field, format!("'{endpoint}', expected tcp://address:port"))),
        };
        all.into_iter().map(read).collect()
    }
}

/// `*` stands for all addresses, as in vLLM's flags.
fn address(endpoint: &str) -> Option<SocketAddr> {
    let address = endpoint.strip_prefix("tcp://")?;
    match address.strip_prefix("*:") {
        Some(port) => Some(([0, 0, 0, 0], port.parse().ok()?).into()),
        None => address.parse().ok(),
    }
}

/// What the publisher is told.
#[derive(Debug)]
enum Told {
    Text(Box<Text>),
    Ended(RequestId),
    Batch(KvBatch),
    Follow(Sender<Arc<Numbered>>),
}

/// The way to the publisher. Dropping all clones ends it.
#[derive(Clone, Debug)]
pub struct KvEvents {
    told: UnboundedSender<Told>,
    source: Arc<KvEventSource>,
    _tasks: Arc<JoinSet<()>>,
}

impl KvEvents {
    /// Listens, and publishes from now on.
    pub async fn start(config: &KvEventsConfig, block_size: u32) -> std::io::Result<Self> {
        let publisher = Publisher::new(&config.topic);
        let addresses = config.addresses().map_err(|(_, why)| std::io::Error::other(why))?;
        let mut listeners = Vec::new();
        for (_, address) in addresses {
            listeners.push(TcpListener::bind(address).await?);
        }
        let mut endpoints = Vec::new();
        for listener in &listeners {
            endpoints.push(format!("tcp://{}", listener.local_addr()?));
        }
        let mut tasks = JoinSet::new();
        let mut listeners = listeners.into_iter();
        if let Some(listener) = listeners.next() {
            let publisher = publisher.clone();
            tasks.spawn(async move { drop(publisher.serve_events(listener).await) });
        }
        if let Some(listener) = listeners.next() {
            let publisher = publisher.clone();
            tasks.spawn(async move { drop(publisher.serve_replay(listener).await) });
        }
        let (told, news) = unbounded_channel();
        let texts = Texts::new(block_size, config.hashes);
        let form = match config.format {
            EventForm::Map => Form::Map,
            EventForm::Array => Form::Array,
        };
        tasks.spawn(publish(news, texts, (form, config.data_parallel_rank), publisher));
        let mut endpoints = endpoints.into_iter();
        let source = KvEventSource {
            transport: "zmq".to_owned(),
            endpoint: endpoints.next().unwrap_or_default(),
            topic: config.topic.clone(),
            replay_endpoint: endpoints.next().unwrap_or_default(),
            data_parallel_rank: Some(config.data_parallel_rank),
            encoding: "msgpack".to_owned(),
            buffer_steps: STEPS as u32,
            ..Default::default()
        };
        Ok(Self { told, source: Arc::new(source), _tasks: Arc::new(tasks) })
    }

    /// Where it publishes.
    pub fn source(&self) -> KvEventSource {
        (*self.source).clone()
    }

    /// A request with this text may put blocks into the store. Call it before the engine has the request.
    pub fn text(&self, text: Text) {
        self.tell(Told::Text(Box::new(text)));
    }

    /// A request has ended.
    pub fn ended(&self, id: RequestId) {
        self.tell(Told::Ended(id));
    }

    /// The store has changed.
    pub fn batch(&self, batch: &KvBatch) {
        self.tell(Told::Batch(batch.clone()));
    }

    /// What is held, in parts, and then each change. A follower that reads too slowly is dropped.
    pub fn follow(&self) -> Receiver<Arc<Numbered>> {
        let (sender, receiver) = channel(followers::QUEUE);
        self.tell(Told::Follow(sender));
        receiver
    }

    /// Fails only when the publisher has ended, and then the worker ends too.
    fn tell(&self, told: Told) {
        let _ = self.told.send(told);
    }
}

async fn publish(
    mut news: UnboundedReceiver<Told>,
    mut texts: Texts,
    (form, rank): (Form, u32),
    publisher: Publisher,
) {
    let mut followers = Followers::default();
    while let Some(told) = news.recv().await {
        match told {
            Told::Text(text) => texts.add(*text),
            Told::Follow(follower) => {
                followers.add(follower, clock::life() as f64 / 1e9, texts.held());
            }
            Told::Ended(id) => texts.ended(id),
            Told::Batch(batch) => {
                let events = texts.events(&batch);
                if !events.is_empty() {
                    let ts = clock::life() as f64 / 1e9;
                    let batch = Batch { ts, events, data_parallel_rank: Some(rank) };
                    publisher.publish(codec::encode(&batch, form));
                    followers.tell(ts, batch.events);
                }
            }
        }
    }
}
