//! Who is in the fleet: one worker under two addresses, the majority, names, a worker that drains.

use crate::common::fake::Fake;
use crate::common::faulty::{Feed, Messages, Passing};
use crate::common::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::Code;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::listening;
use warmpath_proto::raw;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{
    DrainWorkerRequest, ListEventsRequest, ListWorkersRequest, WatchResponse, Worker,
};
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::{GenerateResponse, GetServerInfoRequest, SequenceOutput};
use warmpath_proto::{admin::standing_name, transport};
use warmpath_router::RouterConfig;
use warmpath_worker_sim::WorkerConfig;

fn named(name: &str) -> WorkerConfig {
    WorkerConfig { name: name.to_owned(), ..worker_config() }
}

async fn listed(router: &TestRouter) -> Vec<Worker> {
    let admin = router.server.admin();
    let answer = admin.list_workers(tonic::Request::new(ListWorkersRequest {})).await;
    answer.unwrap().into_inner().workers
}

/// Waits until the states of all workers are these.
async fn wait_states(router: &TestRouter, states: &[&str]) -> Vec<Worker> {
    within(async {
        loop {
            let all = listed(router).await;
            if all.iter().map(|worker| standing_name(worker.standing())).eq(states.iter().copied())
            {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn events(router: &TestRouter) -> Vec<String> {
    let request = tonic::Request::new(ListEventsRequest { after: 0 });
    let events = router.server.admin().list_events(request).await.unwrap().into_inner().events;
    events.iter().map(|event| format!("{} {}", event.what, event.worker)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_under_two_addresses_counts_once() {
    let [mut one, other] = ["gpu-a", "gpu-b"].map(|name| TestWorker::start(named(name)));
    let again = format!("http://localhost:{}", one.address.port());
    let urls = vec![one.url(), again, other.url()];
    let config = RouterConfig::new(urls, PolicyConfig::RoundRobin);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    let all = wait_states(&router, &["joined", "same", "joined"]).await;
    assert_eq!(all[1].why, format!("the same worker as w0 at {}", one.url()));
    assert_eq!([&*all[0].name, &*all[1].name, &*all[2].name], ["gpu-a", "gpu-a", "gpu-b"]);
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let info = within(control.get_server_info(GetServerInfoRequest::default())).await.unwrap();
    assert_eq!(info.get_ref().max_running_requests, 2 * 256);
    let mut served = Vec::new();
    for i in 0..4 {
        served.push(ask(router.client(), request(prompt(i, 20), 3)).await.unwrap().1);
    }
    assert_eq!(served, ["w0", "w2", "w0", "w2"], "it gets the requests of one worker");
    let admin = router.server.admin();
    let drain = admin.drain_worker(tonic::Request::new(DrainWorkerRequest { number: 1 })).await;
    let status = drain.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("w1 is the same worker as w0"), "{status}");
    assert!(events(&router).await.contains(&"same w1".to_owned()));
    // Without the first address the second one serves.
    one.kill();
    wait_states(&router, &["lost", "lost", "joined"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_workers_decide_what_is_served_and_the_others_come_when_that_changes() {
    let with = |block_size| {
        let mut config = worker_config();
        config.profile.block_size = block_size;
        TestWorker::start(config)
    };
    let stray = with(32);
    let config = router_config(std::slice::from_ref(&stray), PolicyConfig::RoundRobin);
    let router = TestRouter::start(config).await;
    wait_states(&router, &["joined"]).await;
    let admin = router.server.admin();
    let mut rest = Vec::new();
    for _ in 0..2 {
        let worker = with(16);
        let url = worker.url();
        let request = tonic::Request::new(warmpath_proto::v1::AddWorkerRequest { url });
        admin.add_worker(request).await.unwrap();
        rest.push(worker);
    }
    let all = wait_states(&router, &["refused", "joined", "joined"]).await;
    let why = "block size is 32 tokens, this router's is 16 as 2 of 3 workers have it";
    assert_eq!(all[0].why, why);
    assert_eq!(ask(router.client(), request(prompt(1, 20), 3)).await.unwrap().1, "w1");
    // One against one keeps what is served; alone, the other decides.
    rest[0].kill();
    wait_states(&router, &["refused", "lost", "joined"]).await;
    rest[1].kill();
    wait_states(&router, &["joined", "lost", "lost"]).await;
    assert_eq!(ask(router.client(), request(prompt(1, 20), 3)).await.unwrap().1, "w0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_reads_as_draining_until_it_leaves() {
    let mut workers = vec![TestWorker::start(named("gpu-a"))];
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    let mut client = router.client();
    let asked = client.generate_stream(request(prompt(1, 40), 2_000));
    let response = within(asked).await.unwrap();
    assert_eq!(response.metadata().get("x-warmpath-worker-name").unwrap(), "gpu-a");
    workers[0].stop();
    let all = wait_states(&router, &["draining"]).await;
    assert_eq!(all[0].why, "by itself");
    within(collect(response.into_inner())).await.unwrap();
    workers[0].stopped().await;
    let left = |all: &[Worker]| all[0].why.starts_with("it drained and left");
    within(async { while !left(&wait_states(&router, &["lost"]).await) {} }).await;
    // Trying to reach it again does not hide why it left.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(left(&listed(&router).await), "{:?}", listed(&router).await[0].why);
    assert_eq!(events(&router).await, ["joined w0", "draining w0", "lost w0"]);
}

/// No ping ends the stream: its connection lives, and only the feed shows that the engine is stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_stuck_worker_ends() {
    let first = GenerateResponse {
        outputs: Some(SequenceOutput { num_tokens: 1, ..Default::default() }),
        ..Default::default()
    };
    let messages = Arc::new(vec![raw::bytes(&first); 2]);
    let stuck = Fake { messages, pace: Duration::from_secs(600), ..Fake::default() };
    let url = stuck.serve(SPEEDUP).await;
    let config = RouterConfig::new(vec![url], PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == 1).await;
    let mut client = router.client();
    let asked = client.generate_stream(request(prompt(1, 40), 2_000));
    let mut stream = within(asked).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    stuck.silent.store(true, Ordering::Relaxed);
    let status = within(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("lost after 1 tokens: no message for 1.75 s"), "{status}");
    within(stuck.is_told_to_abort()).await;
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
}

/// Blocks of a long prompt.
const LONG: u32 = 1_000;

/// A router remembers nothing. `WARMPATH_SOAK=1` gives it a million blocks to learn, and prints how long it
/// takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_comes_back_is_warm() {
    let prompts = if std::env::var_os("WARMPATH_SOAK").is_some() { 1_000 } else { 30 };
    let fast = |config: RouterConfig| RouterConfig { speedup: 5_000.0, ..config };
    let workers = [TestWorker::start(WorkerConfig { speedup: 5_000.0, ..worker_config() })];
    let start = async || {
        let router = TestRouter::start(fast(router_config(&workers, PolicyConfig::KvAware))).await;
        router.wait(|status| status.joined.len() == 1).await;
        router
    };
    let mut first = start().await;
    let long = |seed| request(prompt(seed, LONG * BLOCK + 1), 1);
    for seed in 0..prompts {
        ask(first.client(), long(seed)).await.unwrap();
    }
    let index = |router: &TestRouter| router.server.indexed(WorkerId(0)).1;
    let held = within(async {
        while index(&first).blocks < prompts * u64::from(LONG) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        index(&first)
    })
    .await;
    first.stop();
    first.stopped().await;
    let begun = Instant::now();
    let second = start().await;
    let joined = begun.elapsed();
    within(async {
        while index(&second) != held {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    println!("{} blocks: serves after {joined:?}, warm after {:?}", held.blocks, begun.elapsed());
    let (answer, _) = ask(second.client(), long(prompts - 1)).await.unwrap();
    let cached = answer.finish.num_cached_tokens;
    assert_eq!(cached, Some(LONG * BLOCK), "all of it is cached");
}

/// A router over workers whose feeds pass through `feed`.
async fn through(workers: &[TestWorker], feed: Feed) -> TestRouter {
    let mut urls = Vec::new();
    for worker in workers {
        let channel = transport::channel(&worker.url()).unwrap();
        let passing = Passing::new(channel, Arc::clone(&feed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(listening::serve(listener, passing.listening(), std::future::pending()));
    }
    let config = RouterConfig::new(urls, PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == workers.len()).await;
    router
}

/// The same snapshots, with nothing in them, and no digest that would show it.
fn empty_snapshots(feed: Messages<WatchResponse>) -> Messages<WatchResponse> {
    Box::pin(feed.map(|response| {
        let mut response = response?;
        match &mut response.message {
            Some(Message::Snapshot(snapshot)) => snapshot.runs.clear(),
            Some(Message::Load(report)) => report.digest = None,
            _ => {}
        }
        Ok(response)
    }))
}

/// The last of four workers has all prompts. A router that was given its snapshot sends each prompt there. The
/// control is a router whose snapshots are empty: it sends prompts to where they are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_a_router_warm_is_the_snapshot() {
    const PROMPTS: u64 = 20;
    let text = |seed| request(prompt(seed, 10 * BLOCK + 1), 1);
    for (feed, hits) in [((|feed| feed) as fn(_) -> _, true), (empty_snapshots, false)] {
        let workers = [(); 4].map(|()| TestWorker::start(worker_config()));
        // A router that knows the last one only.
        let before = TestRouter::over(&workers[3..], PolicyConfig::KvAware).await;
        for seed in 0..PROMPTS {
            ask(before.client(), text(seed)).await.unwrap();
        }
        let router = through(&workers, Arc::new(feed)).await;
        let mut found = 0;
        for seed in 0..PROMPTS {
            let (answer, _) = ask(router.client(), text(seed)).await.unwrap();
            found += u64::from(answer.finish.num_cached_tokens == Some(10 * BLOCK));
        }
        println!("{found} of {PROMPTS} found, with snapshots: {hits}");
        assert!(if hits { found == PROMPTS } else { found <= PROMPTS / 2 }, "{found}");
    }
}
