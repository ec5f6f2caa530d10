//! What a hop costs: processor time that router processes take for the same load, side by side.
//!
//! ```text
//! cargo bench -p warmpath-router --bench hop -- OLD_ROUTER NEW_ROUTER
//! cargo bench -p warmpath-router --bench hop -- --instructions OLD_ROUTER NEW_ROUTER
//! ```
//!
//! The least that a hop can cost is that of `router/examples/bare.rs`, which can be named as the first of both.
//!
//! Each round puts the same load on every router named (this build's, if none is), in turn, so that
//! a busy machine slows all of them. The worker behind is a fake that costs nothing to speak of.
//! Linux only: the time is read from `/proc`.
//!
//! `--load=TEXT` puts on only the loads whose line contains this text, for a look with a profiler.
//!
//! With `--instructions`, valgrind counts the instructions that a router executes, the kernel's not included.
//! They hardly depend on what else the machine does. The loads are smaller then.

#[path = "../tests/common/fake.rs"]
mod fake;

use fake::Fake;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transport;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, SequenceOutput, StoppingCriteria, TokenIds,
    generate_request::Prompt,
};

const ROUNDS: usize = 7;
/// More than there are streams: the router must not hold requests back, which a proxy does not either.
const SEATS: u32 = 1_024;

/// Streams at the same time, repetitions, and the sizes of prompts and answers.
struct Load {
    name: String,
    streams: usize,
    times: usize,
    prompt_tokens: u32,
    answer: Fake,
    /// What there is to divide by.
    per: &'static str,
    units: f64,
}

/// A message for each of `tokens` tokens; the last one says the end.
fn answer(tokens: u32, pace: Duration) -> Fake {
    let message = |i: u32| {
        let finish =
            FinishInfo { num_output_tokens: tokens, finish_reason: 1, ..Default::default() };
        raw::bytes(&GenerateResponse {
            outputs: Some(SequenceOutput {
                num_tokens: 1,
                token_ids: vec![i * 977 % 128_000],
                finish_info: (i + 1 == tokens).then_some(finish),
                ..Default::default()
            }),
            ..Default::default()
        })
    };
    let messages = Arc::new((0..tokens).map(message).collect());
    Fake { messages, pace, seats: Some(SEATS), ..Fake::default() }
}

/// Every prompt its own, so that nothing is remembered.
fn request(number: u32, tokens: u32) -> Bytes {
    let ids = (0..tokens).map(|i| (number * 7_919 + i * 31) % 128_000).collect();
    raw::bytes(&GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids })),
        stopping: Some(StoppingCriteria { max_new_tokens: 400, ..Default::default() }),
        ..Default::default()
    })
}

struct Router {
    child: Child,
    url: String,
}

impl Router {
    fn start(binary: &str, worker: &str) -> Self {
        Self::spawn(Command::new(binary), worker)
    }

    /// With valgrind, which writes what it counted to `counts`.
    fn counted(binary: &str, worker: &str, counts: &Path) -> Self {
        let mut command = Command::new("valgrind");
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counts.display()));
        command.arg(binary);
        Self::spawn(command, worker)
    }

    fn spawn(mut command: Command, worker: &str) -> Self {
        let args = ["--policy", "kv-aware", "--speedup", "1", "--worker", worker];
        command.args(args).env("RUST_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let url = loop {
            let line = lines.next().expect("a router that listens").expect("text");
            let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(address) = address {
                break format!("http://{address}");
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// Ends it as an operator does, so that it can write down what was counted.
    fn end(mut self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill").success());
        self.child.wait().expect("its status");
    }

    /// Nanoseconds of processor time, over all threads.
    fn cpu_ns(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let spent = threads.expect("procfs").map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).expect("schedstat");
            text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).expect("nanoseconds")
        });
        spent.sum()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the load on a router; gives back its processor time in nanoseconds, and the time that passed.
async fn put(load: &Load, router: &Router) -> (u64, Duration) {
    let (before, start) = (router.cpu_ns(), Instant::now());
    let mut streams = JoinSet::new();
    for stream in 0..load.streams {
        let client = InferenceClient::new(transport::channel(&router.url).expect("a URL"));
        let mut client = client.max_encoding_message_size(transport::MAX_GENERATE_BYTES);
        let (times, tokens) = (load.times, load.prompt_tokens);
        streams.spawn(async move {
            for time in 0..times {
                let request = request((stream * times + time) as u32, tokens);
                let response = client.generate_stream(request).await.expect("an answer");
                let mut messages = response.into_inner();
                while messages.message().await.expect("a whole answer").is_some() {}
            }
        });
    }
    streams.join_all().await;
    (router.cpu_ns() - before, start.elapsed())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Those that `--load=TEXT` names, or all.
fn chosen(loads: [Load; 5]) -> impl Iterator<Item = Load> {
    let text = std::env::args().find_map(|arg| arg.strip_prefix("--load=").map(str::to_owned));
    loads.into_iter().filter(move |load| text.as_ref().is_none_or(|text| load.name.contains(text)))
}

/// The loads: whole, or so small that a router under valgrind keeps up with them.
fn loads(small: bool) -> [Load; 5] {
    let requests = |streams: usize, times: usize, prompt_tokens: u32, messages: u32| {
        let times = if small { times / 32 } else { times };
        Load {
            name: format!(
                "{streams} streams of prompts of {prompt_tokens} tokens, {messages} messages each"
            ),
            streams,
            times,
            prompt_tokens,
            answer: answer(messages, Duration::ZERO),
            per: "request",
            units: (streams * times) as f64,
        }
    };
    let paced = Duration::from_millis(if small { 20 } else { 5 });
    let (streams, messages) = if small { (8, 100) } else { (64, 300) };
    [
        requests(64, 160, 200, 1),
        requests(16, 128, 2_000, 32),
        requests(2, 600, 16_000, 1),
        Load {
            name: format!("{streams} streams of {messages} messages, one each {paced:?}"),
            streams,
            times: 1,
            prompt_tokens: 200,
            answer: answer(messages, paced),
            per: "message",
            units: f64::from(messages) * streams as f64,
        },
        Load {
            name: "8 streams of 4,000 messages, as fast as they go".to_owned(),
            streams: 8,
            times: 1,
            prompt_tokens: 200,
            answer: answer(4_000, Duration::ZERO),
            per: "message",
            units: 8.0 * 4_000.0,
        },
    ]
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let named: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let own = vec![env!("CARGO_BIN_EXE_router").to_owned()];
    let binaries = if named.is_empty() { own } else { named };
    match std::env::args().any(|arg| arg == "--instructions") {
        true => instructions(&binaries).await,
        false => times(&binaries).await,
    }
}

async fn times(binaries: &[String]) {
    for load in chosen(loads(false)) {
        println!("{}", load.name);
        let worker = load.answer.serve(1.0).await;
        let routers: Vec<_> = binaries.iter().map(|path| Router::start(path, &worker)).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut rounds = vec![Vec::new(); routers.len()];
        let mut rates = vec![Vec::new(); routers.len()];
        // The first round warms up.
        for round in 0..=ROUNDS {
            for (i, router) in routers.iter().enumerate() {
                let (ns, passed) = put(&load, router).await;
                if round > 0 {
                    rounds[i].push(ns as f64 / load.units / 1e3);
                    rates[i].push(load.units / passed.as_secs_f64());
                }
            }
        }
        for (i, (path, spent)) in binaries.iter().zip(&rounds).enumerate() {
            let against = |all: &[Vec<f64>]| match i {
                0 => String::new(),
                _ => {
                    let ratios = all[i].iter().zip(&all[0]).map(|(this, first)| this / first);
                    format!(" ({:.2} of the first)", median(ratios.collect()))
                }
            };
            let (each, rate) = (median(spent.clone()), median(rates[i].clone()));
            let (of_time, of_rate) = (against(&rounds), against(&rates));
            println!(
                "  {each:8.2} µs a {}{of_time}, {rate:.0} a second{of_rate}  {path}",
                load.per
            );
        }
    }
}

/// What a router executes for a load: what it executes for twice the load, without what it does for one.
async fn instructions(binaries: &[String]) {
    for load in chosen(loads(true)) {
        println!("{}", load.name);
        let worker = load.answer.serve(1.0).await;
        let mut first = None;
        for path in binaries {
            let once = count(&load, path, &worker, 1).await;
            let twice = count(&load, path, &worker, 2).await;
            let each = (twice - once) / load.units;
            let first = *first.get_or_insert(each);
            println!(
                "  {each:8.0} instructions a {}, {:.2} of the first  {path}",
                load.per,
                each / first
            );
        }
    }
}

async fn count(load: &Load, binary: &str, worker: &str, times: usize) -> f64 {
    let counts = std::env::temp_dir().join(format!("hop-{}.counts", std::process::id()));
    let router = Router::counted(binary, worker, &counts);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..times {
        put(load, &router).await;
    }
    router.end();
    let text = std::fs::read_to_string(&counts).expect("what valgrind counted");
    std::fs::remove_file(&counts).expect("a file of this process");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("a total")
}
