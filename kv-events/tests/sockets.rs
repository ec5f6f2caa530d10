//! A publisher and a follower over sockets of 127.0.0.1.

use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use warmpath_kv_events::follow::{Replay, Subscription};
use warmpath_kv_events::frames::{Numbered, Replayed};
use warmpath_kv_events::publish::{Publisher, STEPS};

async fn listener() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn batch(seq: u64) -> Numbered {
    Numbered { seq, payload: seq.to_le_bytes().to_vec() }
}

fn publish(publisher: &Publisher, count: u64) {
    for _ in 0..count {
        publisher.publish(publisher.next().to_le_bytes().to_vec());
    }
}

async fn replayed(replay: &mut Replay<TcpStream>, start: u64) -> Vec<u64> {
    replay.ask(start).await.unwrap();
    let mut seqs = Vec::new();
    while let Replayed::Batch(got) = replay.next().await.unwrap() {
        assert_eq!(got, batch(got.seq));
        seqs.push(got.seq);
    }
    seqs
}

/// Publishes until the subscription has arrived, and returns the first batch that came.
async fn first(publisher: &Publisher, subscription: &mut Subscription<TcpStream>) -> u64 {
    loop {
        publish(publisher, 1);
        let waited = timeout(Duration::from_millis(20), subscription.next()).await;
        if let Ok(got) = waited {
            return got.unwrap().seq;
        }
    }
}

#[tokio::test]
async fn batches_are_followed_and_missed_ones_replayed() {
    for replays_topic in [true, false] {
        let publisher = Publisher::new("kv@w");
        let publisher = if replays_topic { publisher } else { publisher.without_replayed_topic() };
        let (events, events_at) = listener().await;
        let (replays, replays_at) = listener().await;
        let serving = tokio::spawn(publisher.clone().serve_events(events));
        let replaying = tokio::spawn(publisher.clone().serve_replay(replays));
        publish(&publisher, 3);
        let stream = TcpStream::connect(events_at).await.unwrap();
        let mut subscription = Subscription::open(stream, "kv@").await.unwrap();
        let at = first(&publisher, &mut subscription).await;
        assert!(at >= 3, "a subscriber is sent nothing that was before");
        publish(&publisher, 100);
        for seq in at + 1..=at + 100 {
            assert_eq!(subscription.next().await.unwrap(), batch(seq));
        }
        let stream = TcpStream::connect(replays_at).await.unwrap();
        let mut replay = Replay::open(stream).await.unwrap();
        assert_eq!(replayed(&mut replay, 0).await, Vec::from_iter(0..publisher.next()));
        assert_eq!(replayed(&mut replay, at).await, Vec::from_iter(at..publisher.next()));
        assert_eq!(replayed(&mut replay, publisher.next()).await, [0; 0]);
        publish(&publisher, STEPS as u64);
        let kept = replayed(&mut replay, 0).await;
        assert_eq!((kept.len(), kept[0]), (STEPS, publisher.next() - STEPS as u64));
        serving.abort();
        replaying.abort();
    }
}

#[tokio::test]
async fn another_topic_is_not_sent() {
    let publisher = Publisher::new("a");
    let (events, at) = listener().await;
    let serving = tokio::spawn(publisher.clone().serve_events(events));
    let open = async |topic| {
        Subscription::open(TcpStream::connect(at).await.unwrap(), topic).await.unwrap()
    };
    let mut other = open("b").await;
    let mut same = open("a").await;
    first(&publisher, &mut same).await;
    first(&publisher, &mut same).await;
    let waited = timeout(Duration::from_millis(50), other.next()).await;
    assert!(waited.is_err(), "nothing comes under its topic");
    serving.abort();
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_a_bounded_queue() {
    let publisher = Publisher::new("");
    let (events, at) = listener().await;
    let serving = tokio::spawn(publisher.clone().serve_events(events));
    let stream = TcpStream::connect(at).await.unwrap();
    let mut subscription = Subscription::open(stream, "").await.unwrap();
    let begun = first(&publisher, &mut subscription).await;
    // Without a pause the other task gets no turn: more than its queue holds is missed.
    publish(&publisher, 10_000);
    assert!(publisher.missed() > 0);
    let last = loop {
        match timeout(Duration::from_millis(200), subscription.next()).await {
            Ok(got) => assert!(got.unwrap().seq >= begun),
            Err(_) => break publisher.next(),
        }
    };
    publish(&publisher, 1);
    assert_eq!(subscription.next().await.unwrap().seq, last, "it goes on after the gap");
    serving.abort();
}
