//! Failures of every kind: the client gets a clear error, and nothing is left behind.

use crate::common::fake::Fake;
use crate::common::*;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::Code;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::transport;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{AbortRequest, GenerateRequest};
use warmpath_router::RouterConfig;
use warmpath_router::config::Part;
use warmpath_worker_sim::WorkerConfig;

/// An answer that takes some 30 s of the wall clock: 60,000 steps of 10 ms at 20 times the speed.
fn endless() -> GenerateRequest {
    request(prompt(5, 40), 60_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_mid_stream_is_named() {
    let mut workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let mut config = router_config(&workers, PolicyConfig::RoundRobin);
    config.reliability.retry = Part::On(false);
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    let response = within(router.client().generate_stream(endless())).await.unwrap();
    assert_eq!(response.metadata().get("x-warmpath-worker").unwrap(), "w0");
    let mut stream = response.into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    workers[0].kill();
    let status = within(async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    })
    .await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().starts_with(&format!("worker w0 ({})", workers[0].url())), "{status}");
    router.wait(|status| status.joined.len() == 1).await;
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    for i in 0..4 {
        let (_, worker) = ask(router.client(), request(prompt(i, 20), 3)).await.unwrap();
        assert_eq!(worker, "w1", "only the living get work");
    }
}

/// It takes calls and answers none; that it is stuck shows in its feed alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_lost_before_it_accepts_is_waited_for_no_longer() {
    let stuck = Fake::default();
    let _gate = stuck.gate.write().await;
    let url = stuck.serve(SPEEDUP).await;
    let config = RouterConfig::new(vec![url.clone()], PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == 1).await;
    let asked = tokio::spawn(ask(router.client(), request(prompt(1, 100), 3)));
    within(stuck.is_asked()).await;
    stuck.silent.store(true, Ordering::Relaxed);
    let status = within(asked).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = format!(
        "worker w0 ({url}): lost before it took the request: no message for 1.75 s; given up after 1 try: no other worker can serve it"
    );
    assert_eq!(status.message(), expected);
    within(stuck.is_told_to_abort()).await;
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let mut streams = Vec::new();
    for i in 0..20 {
        let mut request = endless();
        request.prompt = self::request(prompt(i, 30), 1).prompt;
        let mut stream =
            within(router.client().generate_stream(request)).await.unwrap().into_inner();
        if i % 2 == 0 {
            assert!(within(stream.message()).await.unwrap().is_some());
        }
        streams.push(stream);
    }
    let counts = router.server.counts();
    assert_eq!((counts.in_flight, counts.booked), (20, 20));
    drop(streams);
    let counts = router.wait_counts(|counts| counts.in_flight == 0).await;
    assert_eq!(counts.booked, 0);
    wait_idle(&workers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_holds_over_the_whole_stream() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let begun = Instant::now();
    let mut call = tonic::Request::new(endless());
    call.set_timeout(Duration::from_millis(300));
    let mut stream = within(router.client().generate_stream(call)).await.unwrap().into_inner();
    // The same request without a deadline: what ended the first one was nothing else.
    let mut other = within(router.client().generate_stream(endless())).await.unwrap().into_inner();
    let mut messages = 0;
    let status = loop {
        match within(stream.message()).await {
            Ok(message) => {
                assert!(message.is_some(), "a stream past its deadline ends well");
                messages += 1;
            }
            Err(status) => break status,
        }
    };
    let took = begun.elapsed();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(messages > 5, "{messages} messages before the deadline");
    assert!((300..1_000).contains(&(took.as_millis() as u64)), "ended after {took:?}");
    router.wait_counts(|counts| counts.in_flight == 1).await;
    while begun.elapsed() < Duration::from_millis(1_500) {
        assert!(within(other.message()).await.unwrap().is_some(), "it has no deadline");
    }
    wait_load(&workers[0], |report| report.running == 1).await;
    drop(other);
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    wait_idle(&workers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_ends_the_stream_by_the_clients_name() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let named = GenerateRequest { request_id: "mine".into(), ..endless() };
    let mut stream =
        within(router.client().generate_stream(named.clone())).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    let twice = within(router.client().generate_stream(named)).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let request_ids = vec!["mine".to_owned(), "unknown".to_owned()];
    within(control.abort(AbortRequest { request_ids })).await.unwrap();
    let mut last = None;
    while let Some(response) = within(stream.message()).await.unwrap() {
        last = response.outputs.and_then(|outputs| outputs.finish_info);
    }
    assert_eq!(last.unwrap().finish_reason(), FinishReason::Aborted);
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    wait_idle(&workers[0]).await;
}

/// Hashing 300,000 tokens takes longer than an abort does to arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_while_the_router_still_hashes_is_kept() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    for i in 0..5 {
        let name = format!("r{i}");
        let named =
            GenerateRequest { request_id: name.clone(), ..request(prompt(i, 300_000), 60_000) };
        let mut client = router.client();
        let call = tokio::spawn(async move { client.generate_stream(named).await });
        let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
        // The connection is there before it is needed.
        within(control.abort(AbortRequest::default())).await.unwrap();
        within(async {
            while router.server.counts().in_flight == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(control.abort(AbortRequest { request_ids: vec![name] })).await.unwrap();
        let mut stream = within(call).await.unwrap().unwrap().into_inner();
        let mut last = None;
        while let Some(response) = within(stream.message()).await.unwrap() {
            last = response.outputs.and_then(|outputs| outputs.finish_info);
        }
        assert_eq!(last.unwrap().finish_reason(), FinishReason::Aborted);
        router.wait_counts(|counts| counts.in_flight == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_do_not_match_are_refused_and_the_rest_serve() {
    let with = |change: fn(&mut WorkerConfig)| {
        let mut config = worker_config();
        change(&mut config);
        TestWorker::start(config)
    };
    let good = TestWorker::start(worker_config());
    let workers = [
        good,
        with(|config| config.profile.block_size = 32),
        with(|config| config.speedup = 1.0),
        with(|config| config.model = "other".into()),
    ];
    let mut config = router_config(&workers, PolicyConfig::RoundRobin);
    config.block_size = Some(BLOCK);
    config.model = Some("simulated".into());
    let router = TestRouter::start(config).await;
    let status = router.wait(|status| status.joined.len() == 1 && status.refused.len() == 3).await;
    assert_eq!(status.joined, [workers[0].url()]);
    let why = |i: usize| {
        let url: &TestWorker = &workers[i];
        let found = status.refused.iter().find(|(refused, _)| *refused == url.url());
        found.map(|(_, why)| why.as_str())
    };
    assert_eq!(why(1), Some("block size is 32 tokens, this router's is 16 by its configuration"));
    assert_eq!(why(2), Some("speedup is 1, this router's is 20"));
    assert_eq!(why(3), Some("model is 'other', this router's is 'simulated' by its configuration"));
    for i in 0..4 {
        let (_, worker) = ask(router.client(), request(prompt(i, 20), 3)).await.unwrap();
        assert_eq!(worker, "w0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_restarts_joins_again_with_nothing() {
    let mut worker = TestWorker::start(worker_config());
    let router = TestRouter::over(std::slice::from_ref(&worker), PolicyConfig::KvAware).await;
    let again = || ask(router.client(), request(prompt(3, 160), 5));
    assert_eq!(again().await.unwrap().0.finish.num_cached_tokens, Some(0));
    assert_eq!(again().await.unwrap().0.finish.num_cached_tokens, Some(144));
    router.wait_counts(|counts| counts.runs > 0).await;
    worker.kill();
    router.wait(|status| status.joined.is_empty()).await;
    assert_eq!(router.server.counts().runs, 0, "what the dead held is forgotten");
    let none = again().await.unwrap_err();
    assert_eq!(none.message(), "no worker takes requests: 0 joined, 0 of them draining");
    let _second = TestWorker::start_at(worker.address, worker_config());
    router.wait(|status| status.joined.len() == 1).await;
    assert_eq!(again().await.unwrap().0.finish.num_cached_tokens, Some(0));
    assert_eq!(again().await.unwrap().0.finish.num_cached_tokens, Some(144));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_worker_finishes_what_it_has_and_gets_nothing_new() {
    let mut workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    let text = prompt(1, 40);
    // Some 0.5 s of the wall clock.
    let stream =
        within(router.client().generate_stream(request(text.clone(), 1_000))).await.unwrap();
    assert_eq!(stream.metadata().get("x-warmpath-worker").unwrap(), "w0");
    workers[0].stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for i in 0..4 {
        let (_, worker) = ask(router.client(), request(prompt(i, 20), 3)).await.unwrap();
        assert_eq!(worker, "w1");
    }
    let all = within(collect(stream.into_inner())).await.unwrap();
    assert_eq!(all.tokens, answer(&text, 1_000));
    workers[0].stopped().await;
    router.wait(|status| status.joined == [workers[1].url()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_router_finishes_its_streams_and_refuses_new_ones() {
    let workers = [TestWorker::start(worker_config())];
    let mut router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let text = prompt(1, 40);
    let mut client = router.client();
    let stream = within(client.generate_stream(request(text.clone(), 1_000))).await.unwrap();
    router.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = ask(client, request(prompt(2, 20), 3)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "the router is draining"));
    let all = within(collect(stream.into_inner())).await.unwrap();
    assert_eq!(all.tokens, answer(&text, 1_000));
    router.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_bounded() {
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.drain_timeout_ms = 100;
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let mut stream = within(router.client().generate_stream(endless())).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    let begun = Instant::now();
    router.stop();
    router.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "stopped after {:?}", begun.elapsed());
    wait_idle(&workers[0]).await;
}

/// The router has checked the request, so only the worker's size can be the reason: a client that tries
/// again reaches the larger one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_small_worker_refuses_is_worth_another_try() {
    let small = Fake { total_blocks: Some(100), refuses: true, ..Fake::default() };
    let large = TestWorker::start(worker_config());
    let urls = vec![small.serve(SPEEDUP).await, large.url()];
    let config = RouterConfig::new(urls, PolicyConfig::RoundRobin);
    let config = RouterConfig { speedup: SPEEDUP, model: Some("m".to_owned()), ..config };
    let router = TestRouter::start(config).await;
    // The models differ, so the large one is not there.
    router.wait(|status| status.joined.len() == 1 && status.refused.len() == 1).await;
    let asked = || ask(router.client(), request(prompt(1, 100), 3));
    let status = asked().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "no other worker is larger: {status}");
    let larger = TestWorker::start(WorkerConfig { model: "m".to_owned(), ..worker_config() });
    let url = larger.url();
    let add = tonic::Request::new(warmpath_proto::v1::AddWorkerRequest { url });
    router.server.admin().add_worker(add).await.unwrap();
    router.wait(|status| status.joined.len() == 2).await;
    let mut codes = Vec::new();
    for _ in 0..2 {
        codes.push(asked().await.map(|(_, worker)| worker).map_err(|status| status.code()));
    }
    codes.sort_by_key(Result::is_err);
    assert_eq!(codes, [Ok("w2".to_owned()), Err(Code::ResourceExhausted)]);
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
}
