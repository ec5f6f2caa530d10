//! A pool disappears in the middle of a live run. No request fails. No first token is later than
//! without a pool by more than the transfer timeout plus the time to compute the prompt.

use crate::args::TraceArgs;
use crate::play::Address;
use crate::play::drive::{self, Driven, Options};
use crate::play::identities::Identities;
use crate::setup::Source;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use warmpath_core::block::ScopePlan;
use warmpath_core::engine::profile::{Fill, LinearStep, Loads, PoolLink, Profile, StepTime};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::{MAX_TIERS, RequestId};
use warmpath_core::pool::PoolSpec;
use warmpath_core::report::Answered;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::Scopes;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::Pace;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::WorkerConfig;
use warmpath_worker_sim::pool::PoolConfig;

const SPEEDUP: f64 = 5.0;
const BLOCK: u32 = 512;
const WORKERS: u32 = 2;
const REQUESTS: u64 = 100;
/// Model seconds from one request to the next.
const APART_S: f64 = 0.15;
/// When the pool disappears: after a third of the run, when all prompts have been computed once.
const GONE_AFTER: Duration = Duration::from_millis(1_200);
/// The profile's transfer timeout, in model seconds.
const TIMEOUT_S: f64 = 1.0;
/// Time to compute a prompt of 5 blocks, in model seconds: 50 µs per token, and the base of a step.
const RECOMPUTE_S: f64 = 0.14;
/// What a busy machine may add to a request, in model seconds: 120 ms of wall time.
const NOISE_S: f64 = 0.6;

/// Little room in HBM, and room for everything in the pool.
fn profile(pool: bool) -> Profile {
    Profile {
        name: "test".into(),
        validated: false,
        block_size: BLOCK,
        hbm_tokens: Some(40 * u64::from(BLOCK)),
        kv_bytes_per_token: 100_000,
        max_num_seqs: 16,
        max_num_batched_tokens: 4_096,
        step: StepTime::Linear(LinearStep {
            base_ns: 4e6,
            weights_ns: 6e6,
            ns_per_token: 5e4,
            ns_per_pair: 0.0,
            ns_per_context_token: 0.0,
            ns_per_seq: 0.0,
        }),
        eviction: EvictionRule::Lru,
        tiers: Vec::new(),
        pool: pool.then_some(PoolLink {
            gb_s: 0.8,
            latency_us: 500.0,
            fill: Fill::WriteThrough,
            loads: Loads::Always,
            timeout_ms: TIMEOUT_S * 1e3,
        }),
        peers: None,
    }
}

/// Thirteen prompts in turn, each of four common blocks and one of its own: more than HBM keeps until
/// a prompt comes again.
fn workload() -> Workload {
    let folder = tempfile::tempdir().expect("a folder for files");
    let file = folder.path().join("trace.jsonl");
    let mut text = String::new();
    for i in 0..REQUESTS {
        let common = (0..4).map(|block| 100 * (1 + i % 13) + block);
        let hashes: Vec<u64> = common.chain([10_000 + i]).collect();
        let at_ms = (i as f64 * APART_S * 1e3) as u64;
        let _ = writeln!(
            text,
            "{{\"timestamp\": {at_ms}, \"input_length\": {}, \"output_length\": 3, \
             \"hash_ids\": {hashes:?}}}",
            5 * BLOCK
        );
    }
    std::fs::write(&file, text).expect("a file in a folder of one's own");
    let args = TraceArgs { files: vec![file], ..TraceArgs::default() };
    let source = Source::trace(&args).expect("a trace");
    let scopes = Scopes::from(&ScopePlan::new("", "sim", "", BLOCK));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    source.prepare(&scopes).workload(pace)
}

/// A proxy between the workers and the pool. It forwards bytes until it is shut.
struct Door {
    url: String,
    shut: watch::Sender<bool>,
    _passing: JoinSet<()>,
}

impl Door {
    async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (shut, is_shut) = watch::channel(false);
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(behind).await else { continue };
                for socket in [&here, &there] {
                    socket.set_nodelay(true).expect("a socket");
                }
                let ((read, write), (far_read, far_write)) =
                    (here.into_split(), there.into_split());
                pumps.spawn(pump(read, far_write, is_shut.clone()));
                pumps.spawn(pump(far_read, write, is_shut.clone()));
            }
        });
        Self { url, shut, _passing: passing }
    }
}

async fn pump(from: OwnedReadHalf, to: OwnedWriteHalf, mut shut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = async {
            loop {
                from.readable().await?;
                match from.try_read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        };
        let count = tokio::select! {
            biased;
            () = async { drop(shut.wait_for(|&shut| shut).await) } => None,
            count = read => Some(count.unwrap_or(0)),
        };
        match count {
            Some(0) => return,
            Some(_) => {}
            // Both sockets stay open and carry nothing more.
            None => std::future::pending().await,
        }
        let count = count.unwrap_or(0);
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// How the pool disappears.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outage {
    /// Its process dies and its sockets close.
    Killed,
    /// It keeps its connections, accepts new ones, and answers nothing.
    Silent,
}

/// A pool with its own tokio runtime, so that it can be killed like a process.
struct Process(Option<Runtime>);

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen() -> (TcpListener, String, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"), address)
}

fn start_pool() -> (Process, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let spec = PoolSpec {
        tokens: 10_000_000,
        gb_s: 3.2,
        store_gb_s: 100.0,
        eviction: EvictionRule::Lru,
        tenant_quota: None,
    };
    let config = PoolConfig { speedup: SPEEDUP, ..PoolConfig::new(profile(true), spec) };
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a socket");
        warmpath_worker_sim::pool::serve(listener, config, std::future::pending()).await
    });
    (Process(Some(runtime)), address)
}

/// The answers of a run by request. None: the workers have no pool.
async fn run(outage: Option<Outage>) -> BTreeMap<RequestId, Answered> {
    let pool = outage.map(|_| start_pool());
    let door = match &pool {
        Some((_, address)) => Some(Arc::new(Door::before(*address).await)),
        None => None,
    };
    let mut servers = JoinSet::new();
    let mut urls = Vec::new();
    for i in 0..WORKERS {
        let (listener, url, _) = listen().await;
        urls.push(url);
        let mut config = WorkerConfig::new(profile(pool.is_some()));
        (config.name, config.speedup) = (format!("worker-{i}"), SPEEDUP);
        config.pool = door.as_ref().map(|door| door.url.clone());
        servers.spawn(async move {
            warmpath_worker_sim::serve(listener, config, std::future::pending()).await.is_ok()
        });
    }
    let mut config = RouterConfig::new(urls, PolicyConfig::RoundRobin);
    config.speedup = SPEEDUP;
    config.pools = door.iter().map(|door| door.url.clone()).collect();
    let (listener, target, _) = listen().await;
    let server = RouterServer::new(config).expect("a configuration that can be");
    let mut status = server.status();
    servers.spawn(async move { server.serve(listener, std::future::pending()).await.is_ok() });
    let pools = usize::from(pool.is_some());
    let joined = status.wait_for(|s| s.joined.len() == WORKERS as usize && s.pools.len() == pools);
    drop(tokio::time::timeout(Duration::from_secs(20), joined).await.expect("a fleet"));

    let gone = {
        let door = door.clone();
        async move {
            tokio::time::sleep(GONE_AFTER).await;
            match outage {
                Some(Outage::Killed) => drop(pool),
                Some(Outage::Silent) => {
                    door.expect("there is one").shut.send_replace(true);
                    std::future::pending::<()>().await;
                    drop(pool);
                }
                None => {}
            }
        }
    };
    let options = Options {
        speedup: SPEEDUP,
        check_tokens: true,
        timeout: Duration::from_secs(20),
        nonce: None,
        rows: false,
    };
    let never = std::future::pending();
    let target = [Address::Grpc(target)];
    let driving = drive::drive(&target, workload(), options, Identities::default(), never, |_| {});
    let driven = tokio::select! {
        driven = driving => driven,
        driven = async { gone.await; std::future::pending().await } => driven,
    };
    let Driven { recorder, live, .. } = driven.expect("a run");
    assert_eq!(live.failures, [""; 0], "{outage:?}");
    let answered = recorder.answered().iter().map(|answered| (answered.id, answered.clone()));
    let answered: BTreeMap<_, _> = answered.collect();
    assert_eq!(answered.len() as u64, REQUESTS, "{outage:?}: no request fails");
    answered
}

fn ttft_s(answered: &Answered) -> f64 {
    answered.ttft().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_disappears_fails_no_request_and_delays_none_for_long() {
    let without = run(None).await;
    for outage in [Outage::Killed, Outage::Silent] {
        let with = run(Some(outage)).await;
        let growth = |id: &RequestId| ttft_s(&with[id]) - ttft_s(&without[id]);
        let most = with.keys().map(growth).fold(0.0, f64::max);
        let bound = TIMEOUT_S + RECOMPUTE_S + NOISE_S;
        assert!(
            most <= bound,
            "{outage:?}: a first token came {most:.3} s later, more than {bound}"
        );
        let from_pool = |answered: &&Answered| answered.cached_by_tier[MAX_TIERS] > 0;
        let gone_at_s = GONE_AFTER.as_secs_f64() * SPEEDUP;
        let sent_s = |answered: &Answered| answered.sent.as_secs_f64();
        let before = with.values().filter(|a| sent_s(a) < gone_at_s).filter(from_pool).count();
        assert!(before >= 10, "{outage:?}: {before} requests had blocks from the pool before");
        println!("{outage:?}: {most:.3} s later at most, {before} from the pool before");
        let after = with.values().filter(|a| sent_s(a) > gone_at_s + 0.5).filter(from_pool).count();
        assert_eq!(after, 0, "{outage:?}: no block comes from a pool that is gone");
        if outage == Outage::Silent {
            // Otherwise no request was affected, and the bound above shows nothing.
            assert!(
                most > TIMEOUT_S / 2.0,
                "no request waited for the silent pool: {most:.3} s at most"
            );
        }
    }
}
