//! A router that follows a pool, and what it tells workers of it and of each other.

use crate::common::certificates::Authority;
use crate::common::fake::Fake;
use crate::common::*;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warmpath_core::engine::profile::{Fill, Loads, PeerLink, PoolLink};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_core::id::PoolId;
use warmpath_core::pool::PoolSpec;
use warmpath_core::routing::input::{Action, Input, Pull};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::Entry;
use warmpath_proto::hints::{Holder, PullHint};
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{ExplainRequest, Pull as ShownPull};
use warmpath_proto::vllm::GenerateRequest;
use warmpath_proto::{admin, hints, raw, tiers};
use warmpath_router::RouterConfig;
use warmpath_worker_sim::WorkerConfig;
use warmpath_worker_sim::pool::PoolConfig;

fn sharing(pool: &str) -> WorkerConfig {
    let mut config = worker_config();
    config.pool = Some(pool.to_owned());
    config.profile.pool = Some(PoolLink {
        gb_s: 10.0,
        latency_us: 100.0,
        fill: Fill::WriteThrough,
        loads: Loads::WhenCheaper,
        timeout_ms: 1_000.0,
    });
    config
}

fn pool_config() -> PoolConfig {
    let spec = PoolSpec {
        tokens: 1_000_000,
        gb_s: 20.0,
        store_gb_s: 20.0,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    };
    PoolConfig { speedup: SPEEDUP, ..PoolConfig::new(sharing("http://nowhere").profile, spec) }
}

struct TestPool {
    url: String,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl TestPool {
    async fn start(config: PoolConfig) -> Self {
        Self::start_at("127.0.0.1:0", config).await
    }

    async fn start_at(address: &str, config: PoolConfig) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut stopped) = watch::channel(false);
        let served = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|&stop| stop).await;
            };
            warmpath_worker_sim::pool::serve(listener, config, stopped).await.unwrap();
        });
        Self { url, stop, served }
    }

    async fn stopped(self) {
        self.stop.send_replace(true);
        within(self.served).await.unwrap();
    }
}

/// Two prefill and two decode workers, and a pool. The tokens of the pool that the same prompt finds the
/// first and the second time. With an authority, each has a certificate and asks the others for theirs.
async fn found_in_a_pool(authority: Option<&Authority>) -> [u64; 2] {
    let tls = |name: &str| authority.map(|of| of.listener(name, Some(of)));
    let mut pool = TestPool::start(PoolConfig { tls: tls("pool"), ..pool_config() }).await;
    if authority.is_some() {
        pool.url = pool.url.replace("http:", "https:");
    }
    let link = KvTransferLink { gb_s: 100.0, latency_us: 50.0, timeout_ms: 20_000.0, hold_ms: 1e9 };
    let start_as = |(role, name)| {
        let config = if role == Role::Prefill { sharing(&pool.url) } else { worker_config() };
        let tls = tls(name);
        TestWorker::start(WorkerConfig { role, kv_transfer: Some(link), tls, ..config })
    };
    let roles = [Role::Prefill, Role::Prefill, Role::Decode, Role::Decode];
    let names = ["p0", "p1", "d0", "d1"];
    let workers: Vec<_> = roles.into_iter().zip(names).map(start_as).collect();
    let mut config = RouterConfig { policy: PolicyConfig::RoundRobin, ..config(&workers, &pool) };
    if let Some(authority) = authority {
        config.workers = workers.iter().map(TestWorker::tls_url).collect();
        config.upstream_tls = Some(authority.reach(Some((authority, "router"))));
    }
    let router = start(config).await;
    let mut found = [0; 2];
    for found in &mut found {
        let (all, _) = ask(router.client(), request(prompt(1, 1_601), 2)).await.unwrap();
        let params = all.finish.kv_transfer_params.expect("what was found");
        *found = tiers::from_wire(&params).unwrap().by_origin[4].into();
        // Until the pool has it all.
        router.wait_counts(|counts| counts.runs >= 1 && counts.in_flight == 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    found
}

/// One prefill worker finds in the pool what another has computed; the decode worker gets all of
/// it. It is the same with TLS between all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_only_computes_prompts_fetches_too() {
    assert_eq!(found_in_a_pool(None).await, [0, 1_600], "of 100 blocks and a token");
    let folder = tempfile::tempdir().unwrap();
    let fleet = Authority::new(folder.path(), "fleet");
    assert_eq!(found_in_a_pool(Some(&fleet)).await, [0, 1_600], "with TLS");
}

fn config(workers: &[TestWorker], pool: &TestPool) -> RouterConfig {
    let pools = vec![pool.url.clone()];
    RouterConfig { pools, ..router_config(workers, PolicyConfig::KvAware) }
}

async fn start(config: RouterConfig) -> TestRouter {
    let workers = config.workers.len();
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == workers && status.pools.len() == 1).await;
    router
}

/// What a pool holds is pulled by a worker that does not, the record has what the router believed
/// and what the engine found, and an explanation says from where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_followed_and_pulled_from() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("run.jsonl");
    let pool = TestPool::start(pool_config()).await;
    let workers = [TestWorker::start(sharing(&pool.url)), TestWorker::start(sharing(&pool.url))];
    let config = RouterConfig { record: Some(record.clone()), ..config(&workers, &pool) };
    let mut router = start(config).await;
    let operator = router.server.admin();
    let (_, first) = ask(router.client(), request(prompt(1, 1_601), 2)).await.unwrap();
    // In the index are the prompt of one worker and of the pool; then only the other one may be
    // asked.
    router.wait_counts(|counts| counts.runs >= 1 && counts.in_flight == 0).await;
    let first: u32 = first.trim_start_matches('w').parse().unwrap();
    let drain = warmpath_proto::v1::DrainWorkerRequest { number: first };
    operator.drain_worker(tonic::Request::new(drain)).await.unwrap();
    let named =
        || GenerateRequest { request_id: "second".to_owned(), ..request(prompt(1, 1_601), 2) };
    // The pool announces what it has a moment after the worker does.
    let explain = || async {
        let about = Some(About::GenerateRequest(admin::request_to_wire(&named())));
        let answer = operator
            .explain(tonic::Request::new(ExplainRequest { about, ..Default::default() }))
            .await
            .unwrap();
        answer.into_inner().candidates[0].pull.clone()
    };
    let expected = ShownPull { from: "pool0".to_owned(), blocks: 100 };
    within(async {
        while explain().await.as_ref() != Some(&expected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (all, second) = ask(router.client(), named()).await.unwrap();
    assert_eq!(second, format!("w{}", 1 - first));
    let found = tiers::from_wire(all.finish.kv_transfer_params.as_ref().unwrap()).unwrap();
    assert_eq!(found.by_origin, [0, 0, 0, 0, 1_600, 0]);
    router.stop();
    router.stopped().await;
    let text = std::fs::read_to_string(record).unwrap();
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    let (mut pulls, mut ends) = (Vec::new(), Vec::new());
    for entry in entries {
        for action in entry.actions {
            let Action::Dispatch { decision, .. } = action else { continue };
            pulls.push(decision.pull);
        }
        if let Input::Finished { by_origin, .. } = entry.input {
            ends.push(by_origin.unwrap()[4]);
        }
    }
    assert_eq!(pulls, [None, Some(Pull { from: PoolId(0).into(), blocks: 100 })]);
    assert_eq!(ends, [0, 1_600]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_gone_is_forgotten_and_comes_back_empty() {
    let pool = TestPool::start(pool_config()).await;
    let workers = [TestWorker::start(sharing(&pool.url))];
    let router = start(config(&workers, &pool)).await;
    let (_, _) = ask(router.client(), request(prompt(2, 800), 2)).await.unwrap();
    let address = pool.url.trim_start_matches("http://").to_owned();
    pool.stopped().await;
    router.wait(|status| status.pools.is_empty()).await;
    let (_, _) = ask(router.client(), request(prompt(3, 800), 2)).await.unwrap();
    let pool = TestPool::start_at(&address, pool_config()).await;
    router.wait(|status| status.pools == [pool.url.clone()]).await;
    let (_, _) = ask(router.client(), request(prompt(4, 800), 2)).await.unwrap();
    assert_eq!(router.server.counts().resyncs, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_does_not_match_is_refused_with_both_values() {
    type Change = fn(&mut PoolConfig);
    let changes: [(Change, &str); 3] = [
        (
            |pool| pool.profile.set_block_size(32),
            "block size is 32 tokens, this router's is 16 as 1 of 1 workers have it",
        ),
        (|pool| pool.speedup = 3.0, "speedup is 3, this router's is 20"),
        (
            |pool| pool.model = "other".to_owned(),
            "model is 'other', this router's is 'simulated' as 1 of 1 workers have it",
        ),
    ];
    for (change, why) in changes {
        let mut other = pool_config();
        change(&mut other);
        let pool = TestPool::start(other).await;
        let workers = [TestWorker::start(sharing(&pool.url))];
        let router = TestRouter::start(config(&workers, &pool)).await;
        let status = router.wait(|status| !status.refused.is_empty()).await;
        assert_eq!(status.refused, [(pool.url.clone(), why.to_owned())]);
        assert_eq!(status.pools, [""; 0]);
        // Its worker does not use it either, and serves.
        let (_, _) = ask(router.client(), request(prompt(5, 800), 2)).await.unwrap();
    }
    let workers = [TestWorker::start(worker_config())];
    let worker = RouterConfig {
        pools: vec![workers[0].url()],
        ..router_config(&workers, PolicyConfig::KvAware)
    };
    let router = TestRouter::start(worker).await;
    router.wait(|status| status.joined.len() == 1 && status.pools.is_empty()).await;
}

/// What a worker gets is the router's own hint, and never its client's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_hints_are_dropped() {
    let mut peer = worker_config();
    peer.profile.peers = Some(PeerLink {
        gb_s: 100.0,
        latency_us: 10.0,
        loads: Loads::WhenCheaper,
        timeout_ms: 1_000.0,
    });
    let workers = [TestWorker::start(peer.clone()), TestWorker::start(peer)];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let (_, first) = ask(router.client(), request(prompt(6, 1_601), 2)).await.unwrap();
    router.wait_counts(|counts| counts.runs >= 1).await;
    let first: u32 = first.trim_start_matches('w').parse().unwrap();
    let drain = warmpath_proto::v1::DrainWorkerRequest { number: first };
    router.server.admin().drain_worker(tonic::Request::new(drain)).await.unwrap();
    // A client's hint names an address that no process may connect to.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let from = format!("http://{}", trap.local_addr().unwrap());
    let hint = PullHint { holder: Holder::Peer, from, blocks: 100 };
    let mut hinted = request(prompt(6, 1_601), 2);
    hinted.kv_hints = Some(hints::to_wire("mine", vec![hint.to_action()]));
    let (all, _) = ask(router.client(), hinted.clone()).await.unwrap();
    let found = tiers::from_wire(all.finish.kv_transfer_params.as_ref().unwrap()).unwrap();
    assert_eq!(found.by_origin, [0, 0, 0, 0, 0, 1_600], "from the worker that had it");
    let connected = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(connected.is_err(), "a process connected to the client's address");

    // Byte for byte, as a worker sees it.
    let fake = Fake::default();
    let url = fake.serve(SPEEDUP).await;
    let config = RouterConfig {
        speedup: SPEEDUP,
        model: Some("m".to_owned()),
        ..RouterConfig::new(vec![url], PolicyConfig::KvAware)
    };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let _ = router.client().generate_stream(hinted).await;
    let seen = fake.requests.lock().unwrap().pop().unwrap();
    assert_eq!(raw::request(&seen).unwrap().kv_hints, None);
}
