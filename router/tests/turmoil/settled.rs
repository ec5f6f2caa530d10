//! What must hold when all faults have ended and all questions too: nothing is left of the questions, and the
//! router's index is what each worker holds.

use crate::fleet::{Shared, name};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use warmpath_core::event::Digest;
use warmpath_core::id::WorkerId;
use warmpath_proto::convert::digest_from_wire;
use warmpath_proto::transport::MAX_FEED_BYTES;
use warmpath_proto::v1::WatchRequest;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;

/// A connection that lost bytes ends at most 20 s after that, and a router looks for a lost worker each 2 s.
const LIMIT: Duration = Duration::from_secs(40);

/// What a worker says of itself.
struct Own {
    position: (u64, u64),
    digest: Digest,
    requests: u32,
}

/// Waits until all is as it should be.
pub async fn check(shared: &Rc<Shared>) {
    let begun = Instant::now();
    loop {
        let wrong = wrong(shared).await;
        if wrong.is_empty() {
            break;
        }
        if begun.elapsed() > LIMIT {
            for what in wrong {
                shared.violation(&format!("{what}, {LIMIT:?} after all has ended"));
            }
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let router = shared.router.borrow().clone().expect("a router");
    shared.counts.borrow_mut().resyncs = router.counts().resyncs;
    shared.network.line(&format!("settled: {:?}", router.counts()));
}

/// What is not yet as it should be.
async fn wrong(shared: &Shared) -> Vec<String> {
    let Some(router) = shared.router.borrow().clone() else {
        return vec!["no router".to_owned()];
    };
    let mut wrong = Vec::new();
    let counts = router.counts();
    if (counts.in_flight, counts.booked, counts.held) != (0, 0, 0) {
        wrong.push(format!("something is left of the questions: {counts:?}"));
    }
    let joined = router.status().borrow().joined.len();
    if joined != shared.plan.room.len() {
        wrong.push(format!("only {joined} workers have joined"));
    }
    for worker in 0..shared.plan.room.len() {
        let Some(own) = own(shared, worker).await else {
            wrong.push(format!("{} says nothing", name(worker)));
            continue;
        };
        if own.requests > 0 {
            wrong.push(format!("{} works on {} requests", name(worker), own.requests));
        }
        let indexed = router.indexed(WorkerId(worker as u32));
        if indexed != (Some(own.position), own.digest) {
            let own = (own.position, own.digest);
            wrong.push(format!("{} holds {own:?}, the index has {indexed:?}", name(worker)));
        }
    }
    wrong
}

async fn own(shared: &Shared, worker: usize) -> Option<Own> {
    timeout(Duration::from_secs(2), watch(shared, worker)).await.ok()?
}

/// Each feed begins with a snapshot and a load report with the digest.
async fn watch(shared: &Shared, worker: usize) -> Option<Own> {
    let client = WorkerStateClient::new(shared.channel(&name(worker)));
    let mut client = client.max_decoding_message_size(MAX_FEED_BYTES);
    let mut feed = client.watch(WatchRequest {}).await.ok()?.into_inner();
    while let Some(message) = feed.message().await.ok()? {
        if let Some(Message::Load(load)) = message.message
            && let Some(digest) = &load.digest
        {
            return Some(Own {
                position: (load.epoch, load.seq),
                digest: digest_from_wire(digest),
                requests: load.waiting + load.running,
            });
        }
    }
    None
}
