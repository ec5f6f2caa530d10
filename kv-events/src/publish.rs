//! An engine's side: it publishes numbered batches, and keeps the last ones for replay.

use crate::frames;
use crate::zmtp::{Incoming, Kind, Link, LinkError};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Batches that are kept for replay, as vLLM does by default.
pub const STEPS: usize = 10_000;
/// Their bytes at most.
const MOST_BYTES: usize = 256 << 20;
/// Batches that may wait for one subscriber. It misses what comes while so many wait.
const QUEUE: usize = 4_096;
/// Connections to each of the two sockets.
const MOST_LINKS: usize = 64;
/// The most bytes of a message from a subscriber.
const MOST_INCOMING: usize = 4_096;
/// How long a connection may take to say what it is.
const GREETING: Duration = Duration::from_secs(5);

type Numbered = Arc<(u64, Vec<u8>)>;

/// Publishes batches. Clones publish for the same engine.
#[derive(Clone, Debug)]
pub struct Publisher {
    topic: Arc<str>,
    /// Whether replayed batches have the topic in front, as since version 0.26.
    replays_topic: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    next: u64,
    /// The last batches.
    kept: VecDeque<Numbered>,
    kept_bytes: usize,
    subscribers: Vec<mpsc::Sender<Numbered>>,
    missed: u64,
}

impl Publisher {
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.into(), replays_topic: true, shared: Arc::default() }
    }

    /// Replays without a topic, as versions before 0.26 did.
    #[must_use]
    pub fn without_replayed_topic(mut self) -> Self {
        self.replays_topic = false;
        self
    }

    /// Sends the next batch to all subscribers, and keeps it. A subscriber that reads too slowly misses it,
    /// as with a real PUB socket.
    pub fn publish(&self, payload: Vec<u8>) {
        let mut shared = self.shared();
        let batch = Arc::new((shared.next, payload));
        shared.next += 1;
        shared.kept_bytes += batch.1.len();
        shared.kept.push_back(Arc::clone(&batch));
        while shared.kept.len() > STEPS || shared.kept_bytes > MOST_BYTES {
            let Some(oldest) = shared.kept.pop_front() else { break };
            shared.kept_bytes -= oldest.1.len();
        }
        let mut missed = 0;
        shared.subscribers.retain(|subscriber| match subscriber.try_send(Arc::clone(&batch)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                missed += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        shared.missed += missed;
    }

    /// The number of the next batch.
    pub fn next(&self) -> u64 {
        self.shared().next
    }

    /// How often a subscriber missed a batch.
    pub fn missed(&self) -> u64 {
        self.shared().missed
    }

    /// Serves subscribers for ever.
    pub async fn serve_events(self, listener: TcpListener) -> io::Result<()> {
        serve(listener, |stream| self.clone().subscriber(stream)).await
    }

    /// Serves replays for ever.
    pub async fn serve_replay(self, listener: TcpListener) -> io::Result<()> {
        serve(listener, |stream| self.clone().replay(stream)).await
    }

    /// Serves one subscriber until it is gone.
    pub async fn subscriber(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), LinkError> {
        let mut link = greet(stream, Kind::Pub).await?;
        let (sender, mut batches) = mpsc::channel(QUEUE);
        self.shared().subscribers.push(sender);
        let mut topics: Vec<Vec<u8>> = Vec::new();
        loop {
            tokio::select! {
                biased;
                incoming = link.recv() => subscribe(&mut topics, &incoming?)?,
                Some(batch) = batches.recv() => {
                    if topics.iter().any(|topic| self.topic.as_bytes().starts_with(topic)) {
                        link.send(&frames::published(&self.topic, batch.0, &batch.1)).await?;
                    }
                }
            }
        }
    }

    /// Answers the requests of one connection until it is gone.
    pub async fn replay(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), LinkError> {
        let mut link = greet(stream, Kind::Router).await?;
        let topic = self.replays_topic.then_some(&*self.topic);
        loop {
            // vLLM logs a request that it cannot read, and goes on.
            let Ok(start) = frames::read_replay_request(&link.message().await?) else { continue };
            let wanted: Vec<Numbered> = {
                let shared = self.shared();
                shared.kept.iter().filter(|batch| batch.0 >= start).cloned().collect()
            };
            for batch in wanted {
                link.send(&frames::replayed(topic, Some((batch.0, &batch.1)))).await?;
            }
            link.send(&frames::replayed(topic, None)).await?;
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    kind: Kind,
) -> Result<Link<S>, LinkError> {
    let opened = timeout(GREETING, Link::open(stream, kind, MOST_INCOMING)).await;
    opened.map_err(|_| LinkError::Protocol("it said nothing"))?
}

/// A subscription is a message with 1 or 0 and a topic, or a command in later versions of the protocol.
fn subscribe(topics: &mut Vec<Vec<u8>>, incoming: &Incoming) -> Result<(), LinkError> {
    let (adds, topic) = match incoming {
        Incoming::Message(frames) => match frames.as_slice() {
            [frame] => match frame.split_first() {
                Some((1, topic)) => (true, topic),
                Some((0, topic)) => (false, topic),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        },
        Incoming::Command { name, body } if name == b"SUBSCRIBE" => (true, body.as_slice()),
        Incoming::Command { name, body } if name == b"CANCEL" => (false, body.as_slice()),
        Incoming::Command { .. } => return Ok(()),
    };
    if !adds {
        let place = topics.iter().position(|known| known == topic);
        place.map(|place| topics.swap_remove(place));
    } else if topics.len() < MOST_LINKS {
        topics.push(topic.to_vec());
    } else {
        return Err(LinkError::Protocol("too many subscriptions"));
    }
    Ok(())
}

async fn serve<F: Future<Output = Result<(), LinkError>> + Send + 'static>(
    listener: TcpListener,
    one: impl Fn(tokio::net::TcpStream) -> F,
) -> io::Result<()> {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = links.join_next(), if !links.is_empty() => {}
            accepted = listener.accept(), if links.len() < MOST_LINKS => match accepted {
                Ok((stream, _)) => {
                    // Nagle's delay makes small messages wait for 40 ms.
                    let _ = stream.set_nodelay(true);
                    links.spawn(one(stream));
                }
                // As when all file handles are in use.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}
