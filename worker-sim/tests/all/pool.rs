//! A pool and the workers that share it, over real sockets: what one computed another gets, and
//! nothing that a pool or a peer does can fail a request.

use crate::common::*;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use warmpath_core::block::{BlockRun, hash_blocks};
use warmpath_core::engine::profile::{Fill, Loads, PeerLink, PoolLink};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_core::tokens::{Segment, materialize};
use warmpath_proto::generate::scope;
use warmpath_proto::hints::{self, Holder, PullHint};
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::tiers::{self, Found};
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::pool_server::{Pool, PoolServer};
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::{
    Digest, GetRequest, GetResponse, Hello, LookupRequest, LookupResponse, PutRequest, PutResponse,
    WatchRequest, WatchResponse,
};
use warmpath_proto::vllm::GenerateResponse;
use warmpath_proto::{convert, transport};
use warmpath_worker_sim::pool::PoolConfig;
use warmpath_worker_sim::{ServeError, WorkerConfig};

const SPEEDUP: f64 = 5.0;
/// Of model time.
const TIMEOUT_MS: f64 = 1_000.0;

fn sharing(pool: Option<&str>) -> WorkerConfig {
    let mut config = config(SPEEDUP);
    config.pool = pool.map(str::to_owned);
    config.profile.pool = pool.map(|_| PoolLink {
        gb_s: 10.0,
        latency_us: 100.0,
        fill: Fill::WriteThrough,
        loads: Loads::WhenCheaper,
        timeout_ms: TIMEOUT_MS,
    });
    config.profile.peers = Some(PeerLink {
        gb_s: 10.0,
        latency_us: 100.0,
        loads: Loads::WhenCheaper,
        timeout_ms: TIMEOUT_MS,
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
    let profile = sharing(Some("http://nowhere")).profile;
    PoolConfig { speedup: SPEEDUP, ..PoolConfig::new(profile, spec) }
}

struct TestPool {
    url: String,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl TestPool {
    async fn start(config: PoolConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut stopped) = watch::channel(false);
        let served = tokio::spawn(warmpath_worker_sim::pool::serve(listener, config, async move {
            let _ = stopped.wait_for(|&stop| stop).await;
        }));
        Self { url, stop, served }
    }

    fn client(&self) -> PoolClient<tonic::transport::Channel> {
        PoolClient::new(transport::channel(&self.url).unwrap())
    }

    async fn hello(&self) -> Hello {
        let mut feed = self.client().watch(WatchRequest {}).await.unwrap().into_inner();
        match within(feed.message()).await.unwrap().unwrap().message {
            Some(Message::Hello(hello)) => hello,
            other => panic!("{other:?} before a hello"),
        }
    }

    /// Waits until it holds this many blocks.
    async fn holds(&self, blocks: u64) {
        within(async {
            let mut feed = self.client().watch(WatchRequest {}).await.unwrap().into_inner();
            while let Some(response) = feed.message().await.unwrap() {
                if let Some(Message::Load(report)) = response.message
                    && report.blocks_by_tier[0] >= blocks
                {
                    return;
                }
            }
            panic!("its feed ended");
        })
        .await;
    }
}

fn found(responses: &[GenerateResponse]) -> Found {
    let finish = responses.last().unwrap().outputs.as_ref().unwrap().finish_info.as_ref().unwrap();
    let found = tiers::from_wire(finish.kv_transfer_params.as_ref().unwrap()).unwrap();
    assert_eq!(found.by_origin.iter().sum::<u32>(), finish.num_cached_tokens.unwrap());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_worker_computed_another_gets_from_the_pool() {
    let pool = TestPool::start(pool_config()).await;
    let (first, second) = (
        Worker::start(sharing(Some(&pool.url))).await,
        Worker::start(sharing(Some(&pool.url))).await,
    );
    let all = responses(first.inference(), request(1, 1_600, 4)).await.unwrap();
    assert_eq!(found(&all).by_origin, [0; 6]);
    pool.holds(100).await;
    let all = responses(second.inference(), request(1, 1_600, 4)).await.unwrap();
    // One block is computed, since there must be something to sample from.
    assert_eq!(found(&all).by_origin, [0, 0, 0, 0, 99 * BLOCK, 0]);
    let again = responses(second.inference(), request(1, 1_600, 4)).await.unwrap();
    assert_eq!(found(&again).by_origin, [99 * BLOCK, 0, 0, 0, 0, 0], "a fetch leaves a copy");
    // A block that is there is not written twice.
    pool.holds(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_lends_what_a_router_named() {
    let (first, second) = (Worker::start(sharing(None)).await, Worker::start(sharing(None)).await);
    let _ = responses(first.inference(), request(2, 1_600, 4)).await.unwrap();
    let mut hinted = request(2, 1_600, 4);
    let hint = PullHint { holder: Holder::Peer, from: first.url.clone(), blocks: 60 };
    hinted.kv_hints = Some(hints::to_wire("r", vec![hint.to_action()]));
    let all = responses(second.inference(), hinted).await.unwrap();
    assert_eq!(found(&all).by_origin, [0, 0, 0, 0, 0, 60 * BLOCK]);
    // Blocks that the peer does not hold are a miss.
    let mut hinted = request(3, 1_600, 4);
    hinted.kv_hints = Some(hints::to_wire("r", vec![hint.to_action()]));
    let all = responses(second.inference(), hinted).await.unwrap();
    assert_eq!(found(&all).by_origin[5], 0);
    let mut client = PoolClient::new(first.channel.clone());
    let refused = client.lookup(LookupRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

/// What it sends takes 0.3 s to send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_ends_its_loans_and_begins_none() {
    let mut config = sharing(None);
    config.profile.peers.as_mut().unwrap().gb_s = 0.1;
    let agreement = Some(config.agreement().to_wire());
    let tokens = materialize(&[Segment::Text { seed: 7, tokens: 1_600 }], 1_600);
    let chain = hash_blocks(&scope("", &config.model, BLOCK), &tokens);
    let blocks = convert::stretch_to_wire(&BlockRun { chain, start: 0, end: 100 });
    let worker = Worker::start(config).await;
    let _ = responses(worker.inference(), request(7, 1_600, 4)).await.unwrap();
    let get = || {
        let mut client = PoolClient::new(worker.channel.clone());
        let asked = GetRequest { agreement: agreement.clone(), blocks: Some(blocks.clone()) };
        tokio::spawn(async move { within(client.get(asked)).await })
    };
    let fetch = get();
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = get().await.unwrap().unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "worker 'worker' is draining")
    );
    let sent = fetch.await.unwrap().expect("what was begun is sent").into_inner();
    assert_eq!(sent.checksum.unwrap().blocks, 100);
    within(worker.served).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_something_else_is_not_used() {
    let mut other = pool_config();
    other.profile.set_block_size(32);
    let pool = TestPool::start(other).await;
    let worker = Worker::start(sharing(Some(&pool.url))).await;
    let all = responses(worker.inference(), request(4, 1_600, 4)).await.unwrap();
    assert_eq!(found(&all).by_origin, [0; 6]);
    assert_eq!(pool.hello().await.block_size, 32);
    let lookup = LookupRequest {
        agreement: Some(sharing(None).agreement().to_wire()),
        ..Default::default()
    };
    let refused = pool.client().lookup(lookup).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "block size: '16', expected '32'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_stops_when_told_and_begins_a_new_epoch() {
    let pool = TestPool::start(pool_config()).await;
    let before = pool.hello().await;
    assert_eq!((before.block_size, before.speedup, before.prefill), (BLOCK, SPEEDUP, None));
    pool.stop.send_replace(true);
    within(pool.served).await.unwrap().unwrap();
    let pool = TestPool::start(pool_config()).await;
    assert!(pool.hello().await.epoch > before.epoch);
}

/// A pool that says it has everything, and sends what it is told to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bad {
    /// Answers nothing at all.
    Silent,
    /// Looks up, and then never sends.
    Slow,
    Corrupt,
}

#[tonic::async_trait]
impl Pool for Bad {
    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        if *self == Self::Silent {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(PutResponse {}))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        match self {
            Self::Silent | Self::Slow => std::future::pending().await,
            Self::Corrupt => {
                let checksum = Some(Digest { blocks: 1, xor: 1 });
                Ok(Response::new(GetResponse { sent_after_ns: 1, checksum }))
            }
        }
    }

    async fn lookup(&self, _: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        if *self == Self::Silent {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(LookupResponse { blocks: u32::MAX, ns_per_block: 1.0 }))
    }

    type WatchStream = tokio_stream::Pending<Result<WatchResponse, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unavailable("it is bad"))
    }
}

async fn serve(bad: Bad) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Routes::new(PoolServer::new(bad));
    let never = std::future::pending();
    tokio::spawn(listening::serve(listener, Listening::fleet(routes, None), never));
    url
}

/// How long each of `requests` requests, one after the other, takes with a bad pool: 1,600 tokens
/// cost 80 ms of model time to compute (and 3 steps of 10 ms), 22 ms on the wall.
async fn takes(url: &str, requests: u64) -> Vec<Duration> {
    let worker = Worker::start(sharing(Some(url))).await;
    let mut took = Vec::new();
    for seed in 0..requests {
        let begun = Instant::now();
        let all = responses(worker.inference(), request(100 + seed, 1_600, 4)).await.unwrap();
        assert_eq!(found(&all).by_origin, [0; 6], "what did not come was computed");
        took.push(begun.elapsed());
    }
    took
}

/// Wall time that a machine under load may add.
const SLACK: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_pool_costs_at_most_its_timeout() {
    let compute = Duration::from_millis(22);
    let timeout = Duration::from_secs_f64(TIMEOUT_MS / 1e3 / SPEEDUP);
    for bad in [Bad::Silent, Bad::Slow, Bad::Corrupt] {
        let took = takes(&serve(bad).await, 5).await;
        assert!(took.iter().all(|&took| took < timeout + compute + SLACK), "{took:?}");
        if bad == Bad::Silent {
            // The first one waits; those after it know better.
            let rest: Duration = took[1..].iter().sum();
            assert!(rest < 4 * compute + SLACK, "{took:?}");
        }
    }
    // No process listens there.
    let took = takes("http://127.0.0.1:9", 3).await;
    assert!(took.iter().all(|&took| took < compute + SLACK), "{took:?}");
    // Accepts, and speaks no word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let took = takes(&url, 3).await;
    assert!(took.iter().all(|&took| took < timeout + compute + SLACK), "{took:?}");
}
