//! Engines that the router knows by vLLM's KV events only.

use crate::common::{
    BLOCK, SPEEDUP, TestRouter, TestWorker, answer, ask, prompt, request, wait_idle, wait_load,
    within, worker_config,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Request;
use warmpath_core::engine::profile::{Fill, Loads, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::event::Digest;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;
use warmpath_proto::v1::ListWorkersRequest;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_router::RouterConfig;
use warmpath_router::engines::EngineConfig;
use warmpath_worker_sim::{EventForm, KvEventsConfig, WorkerConfig};

/// A worker that publishes, at free ports.
fn publishing() -> WorkerConfig {
    let mut config = worker_config();
    let mut events = KvEventsConfig::new("tcp://127.0.0.1:0");
    events.replay = Some("tcp://127.0.0.1:0".to_owned());
    config.kv_events = Some(events);
    config
}

fn engine(worker: &TestWorker) -> EngineConfig {
    EngineConfig::new(&worker.url(), worker_config().profile)
}

fn over(urls: Vec<String>, engines: Vec<EngineConfig>) -> RouterConfig {
    let config = RouterConfig::new(urls, PolicyConfig::KvAware);
    RouterConfig { speedup: SPEEDUP, worker: engines, ..config }
}

/// The digest that a worker gives of itself once it is idle.
async fn truth(worker: &TestWorker) -> Digest {
    let digest = std::sync::Mutex::new(Digest::default());
    wait_load(worker, |report| {
        let idle = report.running == 0 && report.waiting == 0;
        if let Some(told) = report.digest.as_ref().filter(|_| idle) {
            *digest.lock().unwrap() = Digest { blocks: told.blocks, xor: told.xor };
        }
        idle && report.digest.is_some()
    })
    .await;
    digest.into_inner().unwrap()
}

/// Waits until the router's index has what the worker holds.
async fn agrees(router: &TestRouter, number: u32, worker: &TestWorker) {
    let expected = truth(worker).await;
    assert!(expected.blocks > 0, "the worker holds something");
    within(async {
        while router.server.indexed(WorkerId(number)).1 != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_index_gets_what_an_engine_publishes() {
    for format in [EventForm::Map, EventForm::Array] {
        let mut config = publishing();
        config.kv_events.as_mut().unwrap().format = format;
        let worker = TestWorker::start(config);
        let router = TestRouter::start(over(Vec::new(), vec![engine(&worker)])).await;
        router.wait(|status| status.joined.len() == 1).await;
        for seed in 0..5 {
            ask(router.client(), request(prompt(seed, 200), 40)).await.unwrap();
        }
        // What a request finds is what its predecessor left, answer and all.
        let mut longer = prompt(3, 200);
        longer.extend(answer(&longer.clone(), 40));
        longer.extend(prompt(9, 100));
        let (all, _) = ask(router.client(), request(longer, 10)).await.unwrap();
        assert_eq!(all.finish.num_cached_tokens, Some(239 / BLOCK * BLOCK));
        agrees(&router, 0, &worker).await;
        assert_eq!(router.server.counts().resyncs, 0);
    }
}

#[tokio::test]
async fn a_router_that_comes_later_has_the_past_replayed() {
    let worker = TestWorker::start(publishing());
    let first = TestRouter::start(over(Vec::new(), vec![engine(&worker)])).await;
    first.wait(|status| status.joined.len() == 1).await;
    for seed in 0..10 {
        ask(first.client(), request(prompt(seed, 300), 20)).await.unwrap();
    }
    let second = TestRouter::start(over(Vec::new(), vec![engine(&worker)])).await;
    second.wait(|status| status.joined.len() == 1).await;
    agrees(&second, 0, &worker).await;
    agrees(&first, 0, &worker).await;
}

#[tokio::test]
async fn blocks_that_are_evicted_and_spilled_are_followed() {
    let mut config = publishing();
    config.profile.hbm_tokens = Some(1_024);
    config.profile.tiers = vec![TierSpec {
        name: "host".to_owned(),
        tokens: 2_048,
        pieces: None,
        load_gb_s: 100.0,
        store_gb_s: 100.0,
        latency_us: 20.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads: Loads::WhenCheaper,
    }];
    let worker = TestWorker::start(config);
    let router = TestRouter::start(over(Vec::new(), vec![engine(&worker)])).await;
    router.wait(|status| status.joined.len() == 1).await;
    for seed in 0..20 {
        ask(router.client(), request(prompt(seed, 400), 20)).await.unwrap();
    }
    wait_idle(&worker).await;
    agrees(&router, 0, &worker).await;
}

#[tokio::test]
async fn a_mixed_fleet_is_routed_by_prefix() {
    let workers = [TestWorker::start(worker_config()), TestWorker::start(publishing())];
    let config = over(vec![workers[0].url()], vec![engine(&workers[1])]);
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    let mut homes = Vec::new();
    for seed in 0..8 {
        let (_, home) = ask(router.client(), request(prompt(seed, 640), 4)).await.unwrap();
        homes.push(home);
    }
    assert!(homes.iter().any(|home| *home != homes[0]), "both workers serve: {homes:?}");
    for (number, worker) in workers.iter().enumerate() {
        agrees(&router, number as u32, worker).await;
    }
    for (seed, home) in homes.iter().enumerate() {
        let again = request(prompt(seed as u64, 640), 4);
        let (all, worker) = ask(router.client(), again).await.unwrap();
        assert_eq!((&worker, all.finish.num_cached_tokens), (home, Some(639 / BLOCK * BLOCK)));
    }
}

#[tokio::test]
async fn an_engine_that_restarts_begins_with_nothing() {
    let ports: Vec<_> =
        (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let [events, replay] = [0, 1].map(|i| format!("tcp://{}", ports[i].local_addr().unwrap()));
    drop(ports);
    let mut config = publishing();
    config.kv_events =
        Some(KvEventsConfig { replay: Some(replay), ..KvEventsConfig::new(&events) });
    let mut worker = TestWorker::start(config.clone());
    let router = TestRouter::start(over(Vec::new(), vec![engine(&worker)])).await;
    router.wait(|status| status.joined.len() == 1).await;
    ask(router.client(), request(prompt(1, 300), 20)).await.unwrap();
    agrees(&router, 0, &worker).await;
    let (before, _) = router.server.indexed(WorkerId(0));
    let address = worker.address;
    worker.kill();
    router.wait(|status| status.joined.is_empty()).await;
    assert_eq!(router.server.indexed(WorkerId(0)), (None, Digest::default()));
    let worker = TestWorker::start_at(address, config);
    router.wait(|status| status.joined.len() == 1).await;
    ask(router.client(), request(prompt(2, 200), 20)).await.unwrap();
    agrees(&router, 0, &worker).await;
    let (after, _) = router.server.indexed(WorkerId(0));
    assert!(after.unwrap().0 > before.unwrap().0, "another epoch");
}

#[tokio::test]
async fn tenants_are_told_apart_by_the_salt_of_the_events() {
    let worker = TestWorker::start(publishing());
    let mut config = over(Vec::new(), vec![engine(&worker)]);
    config.sharing = SharingScope::Session;
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    for session in ["a", "b"] {
        let mut one = request(prompt(1, 300), 20);
        one.session_id = Some(session.to_owned());
        let (all, _) = ask(router.client(), one).await.unwrap();
        assert_eq!(all.finish.num_cached_tokens, Some(0), "another session's blocks");
    }
    agrees(&router, 0, &worker).await;
}

#[tokio::test]
async fn an_engine_without_events_must_have_a_number_of_blocks() {
    let worker = TestWorker::start(worker_config());
    let router = over(Vec::new(), vec![EngineConfig { blocks: None, ..silent(&worker) }]);
    let router = TestRouter::start(router).await;
    let status = router.wait(|status| !status.refused.is_empty()).await;
    let why = "it does not say how many blocks it has, expected blocks in its [[worker]]";
    assert_eq!(status.refused[0].1, why);
}

#[tokio::test]
async fn an_engine_with_another_number_of_ranks_is_refused() {
    let worker = TestWorker::start(worker_config());
    let engine = EngineConfig { data_parallel_ranks: 2, ..silent(&worker) };
    let router = TestRouter::start(over(Vec::new(), vec![engine])).await;
    let status = router.wait(|status| status.refused.len() == 2).await;
    let why = "its data-parallel size is 1, expected data_parallel_ranks = 1 in its [[worker]]";
    for (rank, refused) in status.refused.iter().enumerate() {
        assert_eq!(*refused, (format!("{}#{rank}", worker.url()), why.to_owned()));
    }
}

/// An engine without events, on a worker that publishes none.
fn silent(worker: &TestWorker) -> EngineConfig {
    EngineConfig { kv_events: "none".to_owned(), blocks: Some(1_000), ..engine(worker) }
}

#[tokio::test]
async fn an_engine_without_events_is_believed_to_hold_what_it_was_sent() {
    let workers = [(); 3].map(|()| TestWorker::start(worker_config()));
    let engines = workers.iter().map(silent).collect();
    let router = TestRouter::start(over(Vec::new(), engines)).await;
    router.wait(|status| status.joined.len() == 3).await;
    // Each text goes back to where it was computed first.
    let mut places = Vec::new();
    for turn in 0..3 {
        for seed in 0..6 {
            let (all, place) = ask(router.client(), request(prompt(seed, 200), 5)).await.unwrap();
            if turn == 0 {
                places.push(place);
            } else {
                assert_eq!(place, places[seed as usize]);
                assert_eq!(all.finish.num_cached_tokens, Some(199 / BLOCK * BLOCK));
            }
        }
    }
    let held = |number| router.server.indexed(WorkerId(number)).1.blocks;
    let all: u64 = (0..3).map(held).sum();
    assert_eq!(all, 6 * u64::from(200 / BLOCK));
}

#[tokio::test]
async fn of_an_engine_that_restarts_nothing_is_believed() {
    let mut worker = TestWorker::start(worker_config());
    let router = TestRouter::start(over(Vec::new(), vec![silent(&worker)])).await;
    router.wait(|status| status.joined.len() == 1).await;
    ask(router.client(), request(prompt(1, 200), 5)).await.unwrap();
    assert!(router.server.indexed(WorkerId(0)).1.blocks > 0);
    worker.kill();
    router.wait(|status| status.joined.is_empty()).await;
    worker = TestWorker::start_at(worker.address, worker_config());
    router.wait(|status| status.joined.len() == 1).await;
    assert_eq!(router.server.indexed(WorkerId(0)).1.blocks, 0);
    ask(router.client(), request(prompt(1, 200), 5)).await.unwrap();
    within(async {
        while router.server.indexed(WorkerId(0)).1.blocks == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(worker);
}

/// A page that says the same for ever.
async fn page(text: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 1_024];
            let _ = stream.read(&mut read).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", text.len());
            let _ = stream.write_all(format!("{head}\r\n\r\n{text}").as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn the_load_is_what_the_engine_says_where_it_says_it() {
    let worker = TestWorker::start(worker_config());
    let told = "vllm:num_requests_waiting{engine=\"0\"} 7.0\n\
                vllm:num_requests_running{engine=\"0\"} 3.0\n\
                vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n";
    let metrics = Some(page(told).await);
    let engines = vec![EngineConfig { metrics, ..silent(&worker) }];
    let router = TestRouter::start(over(Vec::new(), engines)).await;
    router.wait(|status| status.joined.len() == 1).await;
    let admin = router.server.admin();
    let load = within(async {
        loop {
            let answer = admin.list_workers(Request::new(ListWorkersRequest {})).await.unwrap();
            let load = answer.get_ref().workers[0].load.clone();
            // What is booked on it stands for its load until the page is read.
            if let Some(load) = load.filter(|load| load.waiting > 0) {
                return load;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!((load.waiting, load.running, load.blocks_in_use), (7, 3, 500));
}
