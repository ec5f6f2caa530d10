//! A stand-in for an engine's two sockets: it sends recorded batches as a test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_kv_events::frames::{self, Replayed};
use warmpath_kv_events::zmtp::{Incoming, Kind, Link};

/// Batches by number.
pub type Recorded = BTreeMap<u64, Vec<u8>>;

/// Reads all that an engine still replays.
pub async fn read_all(replay: &str) -> Recorded {
    let address = replay.strip_prefix("tcp://").unwrap();
    let mut replay = Replay::open(TcpStream::connect(address).await.unwrap()).await.unwrap();
    replay.ask(0).await.unwrap();
    let mut all = Recorded::new();
    while let Replayed::Batch(batch) = replay.next().await.unwrap() {
        all.insert(batch.seq, batch.payload);
    }
    all
}

/// Checks that an endpoint publishes.
pub async fn publishes(events: &str) -> bool {
    let address = events.strip_prefix("tcp://").unwrap();
    Subscription::open(TcpStream::connect(address).await.unwrap(), "").await.is_ok()
}

#[derive(Clone)]
pub struct StandIn {
    pub events: String,
    pub replay: String,
    kept: Arc<Mutex<Recorded>>,
    live: broadcast::Sender<(u64, Vec<u8>)>,
    _tasks: Arc<JoinSet<()>>,
}

impl StandIn {
    /// `topic`: that of replayed batches. None: as versions before 0.26.
    pub async fn start(topic: Option<&'static str>) -> Self {
        let kept: Arc<Mutex<Recorded>> = Arc::default();
        let live = broadcast::channel(100_000).0;
        let (events, replays) = (listener().await, listener().await);
        let endpoint = |listener: &TcpListener| format!("tcp://{}", listener.local_addr().unwrap());
        let (events_at, replay_at) = (endpoint(&events), endpoint(&replays));
        let mut tasks = JoinSet::new();
        let sender = live.clone();
        tasks.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (stream, _) = events.accept().await.unwrap();
                links.spawn(publish(stream, sender.clone()));
            }
        });
        let buffer = Arc::clone(&kept);
        tasks.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (stream, _) = replays.accept().await.unwrap();
                links.spawn(answer(stream, Arc::clone(&buffer), topic));
            }
        });
        let tasks = Arc::new(tasks);
        Self { events: events_at, replay: replay_at, kept, live, _tasks: tasks }
    }

    /// Keeps a batch for replay.
    pub fn keep(&self, seq: u64, payload: &[u8]) {
        self.kept.lock().unwrap().insert(seq, payload.into());
    }

    /// Sends a batch to the subscribers.
    pub fn send(&self, seq: u64, payload: &[u8]) {
        let _ = self.live.send((seq, payload.into()));
    }

    /// Replays no batch before this one.
    pub fn forget_before(&self, seq: u64) {
        self.kept.lock().unwrap().retain(|&kept, _| kept >= seq);
    }

    /// Waits for a subscriber.
    pub async fn subscribed(&self) {
        while self.live.receiver_count() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn publish(stream: TcpStream, live: broadcast::Sender<(u64, Vec<u8>)>) {
    let mut link = Link::open(stream, Kind::Pub, 1_000).await.unwrap();
    assert!(matches!(link.recv().await, Ok(Incoming::Message(_))), "its subscription");
    let mut batches = live.subscribe();
    loop {
        tokio::select! {
            biased;
            gone = link.recv() => if gone.is_err() { return },
            batch = batches.recv() => {
                let (seq, payload) = batch.unwrap();
                if link.send(&frames::published("", seq, &payload)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, kept: Arc<Mutex<Recorded>>, topic: Option<&str>) {
    let mut link = Link::open(stream, Kind::Router, 1_000).await.unwrap();
    while let Ok(asked) = link.message().await {
        let start = frames::read_replay_request(&asked).unwrap();
        let wanted = kept.lock().unwrap().clone().split_off(&start);
        for (seq, payload) in &wanted {
            let _ = link.send(&frames::replayed(topic, Some((*seq, payload)))).await;
        }
        let _ = link.send(&frames::replayed(topic, None)).await;
    }
}
