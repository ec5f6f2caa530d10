//! Requests that the policy holds: each is sent, rejected or given up, and none is forgotten.

use crate::common::*;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use warmpath_core::routing::policy::{PolicyConfig, WaitForRoom};
use warmpath_core::routing::record::replay;
use warmpath_proto::transport;
use warmpath_proto::v1::SetPolicyRequest;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::{AbortRequest, GenerateRequest, GenerateResponse};
use warmpath_router::RouterConfig;
use warmpath_router::config::QueueConfig;

/// One request at a time on each worker.
fn one_each() -> PolicyConfig {
    WaitForRoom { max_active: 1, recheck_s: 1.0 }.into()
}

/// An answer that takes about 30 s of the wall clock.
fn endless() -> GenerateRequest {
    request(prompt(5, 40), 60_000)
}

/// Workers that all have one endless request, so the next one is held.
struct Full {
    router: TestRouter,
    workers: Vec<TestWorker>,
    streams: Vec<Streaming<GenerateResponse>>,
}

impl Full {
    async fn start(workers: usize, change: impl FnOnce(&mut RouterConfig)) -> Self {
        let workers: Vec<_> = (0..workers).map(|_| TestWorker::start(worker_config())).collect();
        let mut config = router_config(&workers, one_each());
        change(&mut config);
        let router = TestRouter::start(config).await;
        router.wait(|status| status.joined.len() == workers.len()).await;
        let mut streams = Vec::new();
        for _ in &workers {
            let answer = within(router.client().generate_stream(endless())).await.unwrap();
            streams.push(answer.into_inner());
        }
        Self { router, workers, streams }
    }

    /// Sends a request that the router holds.
    async fn hold(&self, request: GenerateRequest) -> JoinHandle<Result<String, Status>> {
        let before = self.router.server.counts().held;
        let client = self.router.client();
        let asked = tokio::spawn(async move { Ok(ask(client, request).await?.1) });
        self.router.wait_counts(|counts| counts.held == before + 1).await;
        asked
    }

    async fn admin(&self) -> RouterAdminClient<Channel> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = self.router.server.clone();
        tokio::spawn(async move { server.serve_admin(listener, std::future::pending()).await });
        RouterAdminClient::new(transport::channel(&url).unwrap())
    }

    /// Ends the endless requests. Nothing may be left of any request.
    async fn ends_clean(mut self) {
        self.streams.clear();
        let gone = |counts: &warmpath_router::Counts| counts.in_flight == 0 && counts.held == 0;
        assert_eq!(self.router.wait_counts(gone).await.booked, 0);
    }
}

async fn refusal(asked: JoinHandle<Result<String, Status>>) -> (Code, String) {
    let status = within(asked).await.unwrap().expect_err("it gets no worker");
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_request_is_sent_when_a_worker_has_room() {
    let mut full = Full::start(2, |_| ()).await;
    let asked = full.hold(request(prompt(1, 100), 5)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!asked.is_finished(), "both workers are full");
    assert_eq!(full.router.server.counts().booked, 2);
    drop(full.streams.pop());
    assert_eq!(within(asked).await.unwrap().unwrap(), "w1");
    full.ends_clean().await;
}

/// The time in the queue is the fleet's, not the router's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_routers_own_time_is_without_the_wait() {
    let mut full = Full::start(1, |_| ()).await;
    let mut client = full.router.client();
    let begun = Instant::now();
    let asked =
        tokio::spawn(async move { client.generate_stream(request(prompt(1, 60), 2)).await });
    full.router.wait_counts(|counts| counts.held == 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    full.streams.clear();
    let answer = within(asked).await.unwrap().unwrap();
    let took = begun.elapsed().as_nanos();
    let own = answer.metadata().get("x-warmpath-router-ns").unwrap().to_str().unwrap();
    assert!(own.parse::<u128>().unwrap() < took - 1_400_000_000, "{own} of {took} ns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_while_held_leaves_nothing() {
    let full = Full::start(1, |_| ()).await;
    let mut asked = Vec::new();
    for i in 0..10 {
        asked.push(full.hold(request(prompt(i, 50), 5)).await);
    }
    asked.iter().for_each(JoinHandle::abort);
    let counts = full.router.wait_counts(|counts| counts.held == 0).await;
    assert_eq!(counts.booked, 1, "the endless one");
    full.router.wait_counts(|counts| counts.in_flight == 1).await;
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_can_abort_a_held_request() {
    let full = Full::start(1, |_| ()).await;
    let named = GenerateRequest { request_id: "mine".to_owned(), ..request(prompt(1, 50), 5) };
    let asked = full.hold(named).await;
    let other = full.hold(request(prompt(2, 50), 5)).await;
    let mut control = ControlClient::new(transport::channel(&full.router.url).unwrap());
    let request_ids = vec!["mine".to_owned()];
    within(control.abort(AbortRequest { request_ids })).await.unwrap();
    let expected = "aborted while the request was held for a worker";
    assert_eq!(refusal(asked).await, (Code::Cancelled, expected.to_owned()));
    assert_eq!(full.router.server.counts().held, 1, "the other one still waits");
    other.abort();
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_holds_in_the_queue_too() {
    let full = Full::start(1, |_| ()).await;
    let mut request = Request::new(request(prompt(1, 50), 5));
    request.set_timeout(Duration::from_millis(400));
    let mut client = full.router.client();
    let begun = Instant::now();
    let status = within(client.generate_stream(request)).await.expect_err("no room comes in time");
    // The client's own timer may be the first, and tonic calls that CANCELLED.
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status}");
    assert!(begun.elapsed() >= Duration::from_millis(390), "{:?}", begun.elapsed());
    full.router.wait_counts(|counts| counts.held == 0 && counts.in_flight == 1).await;
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_last_worker_is_lost_held_requests_are_rejected() {
    let mut full = Full::start(1, |_| ()).await;
    let asked =
        [full.hold(request(prompt(1, 50), 5)).await, full.hold(request(prompt(2, 50), 5)).await];
    full.workers[0].kill();
    for asked in asked {
        let (code, why) = refusal(asked).await;
        assert_eq!(code, Code::Unavailable, "{why}");
        assert_eq!(why, "no worker takes requests: 0 joined, 0 of them draining");
    }
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_worker_is_lost_the_request_still_waits_for_the_other() {
    let mut full = Full::start(2, |_| ()).await;
    let asked = full.hold(request(prompt(1, 50), 5)).await;
    full.workers[0].kill();
    full.router.wait(|status| status.joined.len() == 1).await;
    // The stream that lost its worker waits for the other one too.
    full.router.wait_counts(|counts| counts.held == 2).await;
    full.streams.clear();
    assert_eq!(within(asked).await.unwrap().unwrap(), "w1");
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_does_not_hold_releases_what_is_held() {
    let full = Full::start(1, |_| ()).await;
    let mut admin = full.admin().await;
    let asked =
        [full.hold(request(prompt(1, 50), 5)).await, full.hold(request(prompt(2, 50), 5)).await];
    let set = |policy: &str| SetPolicyRequest { policy: policy.to_owned() };
    // One more may run, so the first one goes.
    let before = within(admin.set_policy(set("wait-for-room(max_active=2,recheck_s=1)"))).await;
    assert_eq!(before.unwrap().into_inner().before, "wait-for-room(max_active=1)");
    let [first, second] = asked;
    assert_eq!(within(first).await.unwrap().unwrap(), "w0");
    assert_eq!(within(second).await.unwrap().unwrap(), "w0", "after the first has ended");
    let third = full.hold_behind(&mut admin).await;
    let before = within(admin.set_policy(set("round-robin"))).await.unwrap().into_inner().before;
    assert_eq!(before, "wait-for-room(max_active=1,recheck_s=2)");
    assert_eq!(within(third).await.unwrap().unwrap(), "w0");
    let bad = within(admin.set_policy(set("wait-for-room(max_active=none)"))).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let expected = "policy wait-for-room: max_active is 'none', expected a whole number";
    assert!(bad.message().starts_with(expected), "{bad}");
    full.ends_clean().await;
}

impl Full {
    /// Sets a policy that holds again, and sends a request that it holds.
    async fn hold_behind(
        &self,
        admin: &mut RouterAdminClient<Channel>,
    ) -> JoinHandle<Result<String, Status>> {
        let policy = "wait-for-room( max_active=1, recheck_s=2 )".to_owned();
        within(admin.set_policy(SetPolicyRequest { policy })).await.unwrap();
        self.hold(request(prompt(3, 50), 5)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_rejects() {
    let limits = QueueConfig { requests: 2, prompt_tokens: 150, longest_wait_s: 600.0 };
    let full = Full::start(1, |config| config.queue = limits).await;
    let first = full.hold(request(prompt(1, 100), 5)).await;
    let long = tokio::spawn(send(full.router.client(), request(prompt(2, 60), 5)));
    let (code, why) = refusal(long).await;
    assert_eq!(code, Code::ResourceExhausted, "{why}");
    assert!(why.contains("1 of 2 requests and 100 of 150 prompt tokens"), "{why}");
    let second = full.hold(request(prompt(3, 20), 5)).await;
    let (code, why) =
        refusal(tokio::spawn(send(full.router.client(), request(prompt(4, 20), 5)))).await;
    assert_eq!(code, Code::ResourceExhausted, "{why}");
    assert!(why.contains("2 of 2 requests and 120 of 150 prompt tokens"), "{why}");
    first.abort();
    second.abort();
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_not_held_for_ever() {
    let limits = QueueConfig { longest_wait_s: 4.0, ..QueueConfig::default() };
    let full = Full::start(1, |config| config.queue = limits).await;
    let (code, why) = refusal(full.hold(request(prompt(1, 50), 5)).await).await;
    assert_eq!(code, Code::ResourceExhausted, "{why}");
    assert!(why.ends_with("in the queue, the longest wait is 4 s"), "{why}");
    full.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_shuts_down_rejects_what_it_holds() {
    let mut full = Full::start(1, |config| config.drain_timeout_ms = 300).await;
    let mut asked = Vec::new();
    for i in 0..5 {
        asked.push(full.hold(request(prompt(i, 50), 5)).await);
    }
    full.router.stop();
    for asked in asked {
        assert_eq!(refusal(asked).await, (Code::Unavailable, "the router is draining".to_owned()));
    }
    full.router.stopped().await;
    assert_eq!(full.router.server.counts().held, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_run_with_holds_replays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let mut config = router_config(&workers, one_each());
    config.queue = QueueConfig { requests: 30, ..QueueConfig::default() };
    config.record = Some(path.clone());
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    let mut asked = JoinSet::new();
    for i in 0..60u32 {
        asked.spawn(send(router.client(), request(prompt(u64::from(i % 5), 100 + i), 1 + i % 20)));
    }
    let (mut answered, mut rejected) = (0, 0);
    while let Some(done) = within(asked.join_next()).await {
        match done.unwrap() {
            Ok(_) => answered += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                rejected += 1;
            }
        }
    }
    assert!(answered >= 30, "{answered} answered, {rejected} rejected");
    router.wait_counts(|counts| counts.in_flight == 0).await;
    router.stop();
    router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"hold\":{\"id\":"), "some were held");
    let replayed = replay(text.lines()).unwrap();
    assert!(replayed.complete, "{replayed:?}");
    let changed = text.replacen("\"requests\":30", "\"requests\":1", 1);
    assert!(replay(changed.lines()).is_err(), "other limits decide otherwise");
}

/// Sends one request; gives the worker's name.
async fn send(client: Client, request: GenerateRequest) -> Result<String, Status> {
    Ok(ask(client, request).await?.1)
}
