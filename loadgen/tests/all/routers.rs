//! Routers that run elsewhere, side by side before one fleet: two of ours with different rules, one over gRPC and one
//! over OpenAI's HTTP. Each worker is a process of its own, since a process has one page of counters.

use crate::common::loadgen;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;
use warmpath_core::engine::profile::Profile;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_router::config::Part;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::{Http, Listeners, WorkerConfig, install_metrics};

const PROFILE: &str = include_str!("../../../deploy/profiles/lab-tp2.toml");
const SPEEDUP: f64 = 20.0;
const WORKERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);
/// Set in the process that is a worker: its name.
const IS_WORKER: &str = "WARMPATH_TEST_IS_WORKER";

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    (listener, address)
}

/// A worker in a process of its own, which is this program once more.
struct Process {
    child: Child,
    grpc: String,
    http: String,
}

impl Process {
    fn start(name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "routers::as_a_worker", "--nocapture"]);
        command.env(IS_WORKER, name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said =
            lines.filter_map(|line| Some(line.unwrap().split_once("serves ")?.1.to_owned()));
        let (grpc, http) = {
            let said = said.next().expect("where it serves");
            let (grpc, http) = said.split_once(' ').expect("two addresses");
            (grpc.to_owned(), http.to_owned())
        };
        Self { child, grpc, http }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a process that another test starts"]
async fn as_a_worker() {
    let Some(name) = std::env::var_os(IS_WORKER) else { return };
    let metrics = install_metrics(None).expect("the only recorder of this process");
    let ((grpc, grpc_at), (http, http_at)) = (listen().await, listen().await);
    println!("serves http://{grpc_at} http://{http_at}");
    let profile: Profile = toml::from_str(PROFILE).expect("a profile");
    let mut config = WorkerConfig::new(profile);
    config.name = name.to_string_lossy().into_owned();
    config.speedup = SPEEDUP;
    // It ends with the process that started it.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let ended = async move { drop(ended.await) };
    let http = Some(Http { listener: http, metrics: Some(metrics) });
    let listeners = Listeners { grpc: grpc.into(), http };
    warmpath_worker_sim::serve(listeners, config, ended).await.unwrap();
}

/// A router in this process. The addresses are those of gRPC and of HTTP.
async fn router(policy: PolicyConfig, workers: &[Process]) -> (SocketAddr, SocketAddr) {
    let urls = workers.iter().map(|worker| worker.grpc.clone()).collect();
    let mut config = RouterConfig::new(urls, policy);
    config.speedup = SPEEDUP;
    config.admission = Part::On(false);
    let ((grpc, grpc_at), (http, http_at)) = (listen().await, listen().await);
    let server = RouterServer::new(config).expect("a router");
    let mut status = server.status();
    let http = warmpath_router::Http { listener: http, metrics: None };
    let listeners = warmpath_router::Listeners { grpc: grpc.into(), http: Some(http) };
    tokio::spawn(server.serve(listeners, std::future::pending()));
    let joined = status.wait_for(|status| status.joined.len() == workers.len());
    let joined = tokio::time::timeout(LIMIT, joined).await.expect("all join in time");
    assert!(joined.is_ok(), "the router serves");
    (grpc_at, http_at)
}

/// Runs the program beside this runtime's routers.
async fn compare(folder: &Path, args: Vec<String>) -> (Option<i32>, String, String) {
    let folder = folder.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        loadgen(&folder, &args)
    });
    let output = tokio::time::timeout(LIMIT, run).await.expect("an end in time").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_routers_get_the_same_requests_and_their_workers_agree_about_the_hits() {
    let workers: Vec<_> = (0..WORKERS).map(|i| Process::start(&format!("w{i}"))).collect();
    let (warm, _) = router(PolicyConfig::KvAware, &workers).await;
    let (_, turns) = router(PolicyConfig::RoundRobin, &workers).await;
    let folder = tempfile::tempdir().unwrap();
    let mut flags: Vec<String> = format!(
        "compare --quiet --target warm=grpc://{warm} --target turns=http://{turns} --workload chat --rate-scale 2 \
         --profile lab-tp2 --policies kv-aware,round-robin --live-requests 50 --json run.json"
    )
    .split(' ')
    .map(str::to_owned)
    .collect();
    for worker in &workers {
        flags.extend(["--worker-http".to_owned(), worker.http.clone()]);
    }
    let with = |more: &[&str]| {
        let more = more.iter().map(|&flag| flag.to_owned());
        flags.iter().cloned().chain(more).collect::<Vec<String>>()
    };

    // What does not fit the fleet behind the routers is refused before anything is sent.
    let refused: [(&[&str], &str); 5] = [
        (&["--workers", "2"], "expected --workers 3"),
        (&["--workers", "3", "--block-size", "32"], "expected --block-size 16"),
        (&["--workers", "3", "--hbm-tokens", "1600"], "the simulated fleet has 1600"),
        (&["--workers", "3", "--speedup", "2"], "the workers run at 20"),
        (&["--workers", "3", "--seeds", "2"], "several seeds or rates"),
    ];
    for (more, why) in refused {
        let (code, _, error) = compare(folder.path(), with(more)).await;
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains(why), "{error}");
    }

    let closed = listen().await.1;
    let absent = format!("absent=http://{closed}");
    let (code, _, error) =
        compare(folder.path(), with(&["--workers", "3", "--target", &absent])).await;
    assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("absent: cannot reach the router at"), "{error}");

    let (_, table, error) = compare(folder.path(), with(&["--workers", "3"])).await;
    let report =
        std::fs::read(folder.path().join("run.json")).unwrap_or_else(|_| panic!("{error}"));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let labels: Vec<_> = runs
        .iter()
        .map(|run| run["target"]["name"].as_str().or(run["policy"].as_str()).unwrap())
        .collect();
    assert_eq!(labels, ["warm", "turns", "kv-aware", "round-robin"]);
    assert_eq!(runs[0]["nonce"], runs[1]["nonce"], "the same texts");
    let hit = |run: &Value| run["hit_rate"].as_f64().unwrap();
    for run in &runs[..2] {
        let target = &run["target"];
        assert_eq!((&run["errors"], &run["requests"]), (&0.into(), &50.into()), "{table}");
        assert_eq!(target["worker_requests"], 50, "{target}");
        let counted = target["worker_hit_rate"].as_f64().unwrap();
        assert!((hit(run) - counted).abs() < 1e-9, "{} beside {counted}", hit(run));
        assert_eq!(target["computed_by_worker"].as_array().unwrap().len(), WORKERS);
        // It may be late on a busy machine, but for no other reason.
        let why = run["invalid_because"].as_str().unwrap_or("requests were late");
        assert!(why.contains("late"), "{why}");
    }
    assert!(hit(&runs[0]) > hit(&runs[1]) + 0.05, "{table}");
    for (live, simulated) in [(0, 2), (1, 3)] {
        let points = (hit(&runs[live]) - hit(&runs[simulated])) * 100.0;
        assert!(points.abs() < 8.0, "{points} points apart: {table}");
    }
    for part in ["hit %, as counted by", "turns against warm, live: hit rate -", "warm"] {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
}
