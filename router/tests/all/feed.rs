//! What a router does with a worker's feed: with a hole in it, with a wrong sum, in silence. The
//! workers here are scripts.

use crate::common::*;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use warmpath_core::block::{BlockRun, hash_blocks};
use warmpath_core::event::{
    Digest, KvBatch, KvEvent, LoadReport, PrefillCost, Role, Snapshot, WorkerInfo,
};
use warmpath_core::id::{MAX_TIERS, TierId, WorkerId};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::convert;
use warmpath_proto::generate::scope;
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_server::{WorkerState, WorkerStateServer};
use warmpath_proto::v1::{Heartbeat, WatchRequest, WatchResponse};
use warmpath_router::RouterConfig;

const W: WorkerId = WorkerId(0);
const EPOCH: u64 = 7;

/// Each watch is given one script; then it stays open and beats, or falls silent.
#[derive(Clone)]
struct Script {
    watches: Arc<Mutex<Vec<Vec<Message>>>>,
    beat: Option<watch::Receiver<Heartbeat>>,
}

#[tonic::async_trait]
impl WorkerState for Script {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let script = {
            let mut watches = self.watches.lock().unwrap();
            if watches.is_empty() {
                return Err(Status::unavailable("the script is over"));
            }
            watches.remove(0)
        };
        let (sender, receiver) = mpsc::channel(64);
        let beat = self.beat.clone();
        tokio::spawn(async move {
            for message in script {
                if sender.send(Ok(convert::response(message))).await.is_err() {
                    return;
                }
            }
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let Some(beat) = beat.as_ref().map(|beat| *beat.borrow()) else { continue };
                if sender.send(Ok(convert::response(Message::Heartbeat(beat)))).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn play(watches: Vec<Vec<Message>>, beat: Option<Heartbeat>) -> String {
    play_beating(watches, beat.map(|beat| watch::channel(beat).1)).await
}

/// With heartbeats that change.
async fn play_beating(
    watches: Vec<Vec<Message>>,
    beat: Option<watch::Receiver<Heartbeat>>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = Script { watches: Arc::new(Mutex::new(watches)), beat };
    let routes = Routes::new(WorkerStateServer::new(script));
    let never = std::future::pending();
    tokio::spawn(listening::serve(listener, Listening::fleet(routes, None), never));
    url
}

fn info(epoch: u64) -> WorkerInfo {
    WorkerInfo {
        worker: W,
        epoch,
        block_size: BLOCK,
        total_blocks: None,
        constant_blocks: 0,
        max_num_seqs: 8,
        prefill: PrefillCost {
            step_ns: 1.0,
            floor_ns: 0.0,
            chunk_tokens: 64,
            ns_per_token: 1.0,
            ns_per_pair: 0.0,
        },
        tiers: Vec::new(),
        pool: None,
        peers: None,
        role: Role::Both,
        decode: None,
    }
}

fn hello() -> Message {
    Message::Hello(convert::hello_to_wire(&info(EPOCH), "m", SPEEDUP))
}

fn run(seed: u64) -> BlockRun {
    let chain = hash_blocks(&scope("", "m", BLOCK), &prompt(seed, 100));
    BlockRun { end: chain.blocks(), chain, start: 0 }
}

fn snapshot(seq: u64, seeds: &[u64]) -> Message {
    let runs = seeds.iter().map(|&seed| (TierId::HBM, run(seed))).collect();
    let snapshot = Snapshot { source: W.into(), epoch: EPOCH, seq, runs };
    let mut chunks = convert::snapshot_to_wire(&snapshot);
    Message::Snapshot(chunks.remove(0))
}

fn batch(seq: u64, seed: u64) -> Message {
    let events = vec![KvEvent::Stored { tier: TierId::HBM, run: run(seed) }];
    let batch = KvBatch { source: W.into(), epoch: EPOCH, seq, events };
    Message::Batch(convert::batch_to_wire(&batch))
}

fn report(seq: u64, digest: Digest) -> Message {
    let report = LoadReport {
        worker: W,
        epoch: EPOCH,
        seq,
        waiting: 0,
        running: 0,
        queued_prefill_tokens: 0,
        blocks_by_tier: [0; MAX_TIERS],
        blocks_in_use: 0,
        digest: Some(digest),
    };
    Message::Load(convert::load_to_wire(&report))
}

fn beat(seq: u64) -> Heartbeat {
    Heartbeat { epoch: EPOCH, seq }
}

async fn follow(url: String) -> TestRouter {
    let config =
        RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(vec![url], PolicyConfig::KvAware) };
    TestRouter::start(config).await
}

/// A feed that needs `resyncs` snapshots more than one ends with three runs and a fleet of one.
async fn ends_well(watches: Vec<Vec<Message>>, resyncs: u64) {
    let url = play(watches, Some(beat(3))).await;
    let router = follow(url.clone()).await;
    router.wait(|status| status.joined == [url.clone()]).await;
    let counts = router.wait_counts(|counts| counts.resyncs >= resyncs && counts.runs == 3).await;
    assert_eq!(counts.resyncs, resyncs);
    // Heartbeats go on to agree.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(router.server.counts(), counts);
    assert_eq!(router.server.status().borrow().joined, [url]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_feed_needs_one_snapshot() {
    let mut digest = Digest::default();
    (1..=3).for_each(|seed| digest.add(TierId::HBM, &run(seed)));
    let watch =
        vec![hello(), snapshot(0, &[]), batch(1, 1), batch(2, 2), batch(3, 3), report(3, digest)];
    ends_well(vec![watch], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_healed_by_a_snapshot() {
    let gap = vec![hello(), snapshot(0, &[]), batch(1, 1), batch(3, 3)];
    ends_well(vec![gap, vec![hello(), snapshot(3, &[1, 2, 3])]], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_lost_at_the_end_is_seen_by_the_heartbeat() {
    let short = vec![hello(), snapshot(0, &[]), batch(1, 1), batch(2, 2)];
    ends_well(vec![short, vec![hello(), snapshot(3, &[1, 2, 3])]], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_differs_is_healed_by_a_snapshot() {
    let mut digest = Digest::default();
    (1..=3).for_each(|seed| digest.add(TierId::HBM, &run(seed)));
    // The second batch stored what its sender does not hold.
    let wrong =
        vec![hello(), snapshot(0, &[]), batch(1, 1), batch(2, 9), batch(3, 3), report(3, digest)];
    ends_well(vec![wrong, vec![hello(), snapshot(3, &[1, 2, 3]), report(3, digest)]], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_message_is_no_panic() {
    let mut torn = batch(2, 2);
    if let Message::Batch(batch) = &mut torn {
        let Some(warmpath_proto::v1::kv_event::Event::Stored(run)) = &mut batch.events[0].event
        else {
            panic!("a stored event")
        };
        run.hashes.pop();
    }
    let watch = vec![hello(), snapshot(0, &[]), batch(1, 1), torn];
    ends_well(vec![watch, vec![hello(), snapshot(3, &[1, 2, 3])]], 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_a_loss() {
    let url = play(vec![vec![hello(), snapshot(0, &[4])]], None).await;
    let router = follow(url.clone()).await;
    router.wait(|status| status.joined == [url.clone()]).await;
    router.wait_counts(|counts| counts.runs == 1).await;
    router.wait(|status| status.joined.is_empty()).await;
    assert_eq!(router.server.counts().runs, 0);
}

/// A worker's process is replaced behind a connection that stays, as behind a proxy. Its epoch alone says so. The
/// control is a process that goes on with the epoch of the one before: then the index keeps what is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_ends_what_the_old_one_held() {
    for (epoch, left) in [(EPOCH + 1, 0), (EPOCH, 2)] {
        let first = vec![hello(), snapshot(0, &[]), batch(1, 1), batch(2, 2)];
        let info = Message::Hello(convert::hello_to_wire(&info(epoch), "m", SPEEDUP));
        let empty = Snapshot { source: W.into(), epoch, seq: 0, runs: Vec::new() };
        let empty = Message::Snapshot(convert::snapshot_to_wire(&empty).remove(0));
        let (sender, receiver) = watch::channel(beat(2));
        let url = play_beating(vec![first, vec![info, empty]], Some(receiver)).await;
        let router = follow(url.clone()).await;
        router.wait_counts(|counts| counts.runs == 2).await;
        // The new process has stored nothing. One that counts on as the old one did looks like it.
        let seq = if epoch == EPOCH { 2 } else { 0 };
        sender.send_replace(Heartbeat { epoch, seq });
        let begun = Instant::now();
        if left == 0 {
            router.wait_counts(|counts| counts.runs == 0).await;
            let took = begun.elapsed();
            // The next heartbeat comes within 100 ms.
            assert!(took < Duration::from_millis(300), "gone after {took:?}");
            router.wait(|status| status.joined == [url.clone()]).await;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(router.server.counts().runs, left, "epoch {epoch}");
    }
}
