//! A router process with one worker, after a few answers, as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use warmpath_core::engine::profile::{LinearStep, Profile, StepTime};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::engine::tiers::{Fill, Loads, TierSpec};
use warmpath_worker_sim::{Listeners, WorkerConfig, install_metrics, serve};

/// The label pairs of each series, by the metric's name.
pub type Series = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// No step takes longer, or it has failed.
const LIMIT: Duration = Duration::from_secs(30);

struct Router(Child);

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All series of both processes after three answers, two of them to the same prompt.
pub fn series() -> Series {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let of_worker = runtime.block_on(async { install_metrics(None) }).expect("a recorder");
    let (ended, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let worker = format!("http://{}", listener.local_addr().expect("it listens"));
    let config = WorkerConfig { speedup: 20.0, ..WorkerConfig::new(profile()) };
    let listeners = Listeners { grpc: listener.into(), http: None };
    let served = runtime.spawn(serve(listeners, config, async move {
        let _ = stopped.await;
    }));
    let [http, metrics] = [(); 2].map(|()| free_port());
    let _router =
        start(&["--worker", &worker, "--http-listen", &http, "--metrics-listen", &metrics]);
    until("the worker has joined", || {
        scrape(&metrics).contains("warmpath_router_worker_takes_requests{worker=\"w0\"} 1\n")
    });
    for prompt in [7, 7, 8] {
        ask(&http, prompt);
    }
    until("the router knows of the worker's blocks", || {
        let page = scrape(&metrics);
        page.contains("warmpath_router_kv_event_batches_total{worker=\"w0\"}")
            && page.contains("warmpath_router_e2e_seconds_count{policy=\"warmpath\"} 3\n")
    });
    let mut series = Series::new();
    for line in [scrape(&metrics), of_worker.render()].concat().lines() {
        add(&mut series, line);
    }
    let _ = ended.send(());
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, served).await })
        .expect("it ends")
        .expect("no panic")
        .expect("it served");
    series
}

/// A worker with a second tier, so that it has all series that a worker may have.
fn profile() -> Profile {
    let host = TierSpec {
        name: "host".into(),
        tokens: 100_000,
        load_gb_s: 25.0,
        store_gb_s: 25.0,
        pieces: None,
        latency_us: 10.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads: Loads::Always,
    };
    Profile {
        name: "test".into(),
        validated: false,
        block_size: 16,
        hbm_tokens: None,
        kv_bytes_per_token: 100_000,
        max_num_seqs: 256,
        max_num_batched_tokens: 2_048,
        step: StepTime::Linear(LinearStep {
            base_ns: 4e6,
            weights_ns: 6e6,
            ns_per_token: 5e4,
            ns_per_pair: 1.0,
            ns_per_context_token: 1.0,
            ns_per_seq: 1e3,
        }),
        eviction: EvictionRule::Lru,
        tiers: vec![host],
        pool: None,
        peers: None,
    }
}

fn start(args: &[&str]) -> Router {
    let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
    command.args(["--policy", "warmpath", "--listen", "127.0.0.1:0", "--speedup", "20"]).args(args);
    command.env("RUST_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped());
    let mut child = command.spawn().expect("the router starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let router = Router(child);
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("listening")))
        .expect("it listens")
        .expect("text");
    // Reads on, so that what it says finds room.
    std::thread::spawn(move || lines.for_each(drop));
    router
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "{what}: not in {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One exchange over HTTP/1.0.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn scrape(address: &str) -> String {
    exchange(address, "GET /metrics HTTP/1.0\r\n\r\n")
}

/// A completion for a prompt of 70 equal tokens.
fn ask(address: &str, token: u32) {
    let ids = vec![token.to_string(); 70].join(",");
    let body = format!("{{\"model\":\"simulated\",\"prompt\":[{ids}],\"max_tokens\":4}}");
    let head = "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length";
    let answer = exchange(address, &format!("{head}: {}\r\n\r\n{body}", body.len()));
    assert!(answer.contains(" 200 ") && answer.contains("\"completion_tokens\":4"), "{answer}");
}

/// A line such as `name{a="b",c="d"} 1`.
fn add(series: &mut Series, line: &str) {
    let starts = line.starts_with(|c: char| c.is_ascii_alphabetic());
    let Some((name, _)) = line.rsplit_once(' ').filter(|_| starts) else { return };
    let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
    let labels = labels.trim_end_matches('}');
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once("=\"").expect("a label");
        (key.to_owned(), value.trim_end_matches('"').to_owned())
    });
    series.entry(name.to_owned()).or_default().push(pairs.collect());
}

/// The values of a label of a metric.
pub fn values<'a>(series: &'a Series, name: &str, label: &str) -> BTreeSet<&'a str> {
    let all = series.get(name).into_iter().flatten();
    all.filter_map(|labels| labels.get(label)).map(String::as_str).collect()
}
