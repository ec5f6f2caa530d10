//! What a hop costs: processor time that router processes take for the same load, side by side.
//!
//! ```text
//! cargo bench -p warmpath-router --bench hop -- OLD_ROUTER NEW_ROUTER
//! ```
//!
//! Each round puts the same load on every router named (this build's, if none is), in turn, so that
//! a busy machine slows all of them. The worker behind is a fake that costs nothing to speak of.
//! Linux only: the time is read from `/proc`.

#[path = "../tests/common/fake.rs"]
mod fake;

use fake::Fake;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transport;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, SequenceOutput, StoppingCriteria, TokenIds,
    generate_request::Prompt,
};

const ROUNDS: usize = 7;

/// Streams at the same time, repetitions, and the sizes of prompts and answers.
struct Load {
    name: &'static str,
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
    Fake { messages: Arc::new((0..tokens).map(message).collect()), pace, ..Fake::default() }
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
        let args = ["--policy", "kv-aware", "--speedup", "1", "--worker", worker];
        let mut command = Command::new(binary);
        command.args(args).env("RUST_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{binary}: {error}"));
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

/// Puts the load on a router; gives back its processor time in nanoseconds.
async fn put(load: &Load, router: &Router) -> u64 {
    let before = router.cpu_ns();
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
    router.cpu_ns() - before
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let named: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let own = vec![env!("CARGO_BIN_EXE_router").to_owned()];
    let binaries = if named.is_empty() { own } else { named };
    let paced = Duration::from_millis(5);
    let loads = [
        Load {
            name: "64 streams of 300 messages, one each 5 ms",
            streams: 64,
            times: 1,
            prompt_tokens: 200,
            answer: answer(300, paced),
            per: "message",
            units: 64.0 * 300.0,
        },
        Load {
            name: "8 streams of 4,000 messages, as fast as they go",
            streams: 8,
            times: 1,
            prompt_tokens: 200,
            answer: answer(4_000, Duration::ZERO),
            per: "message",
            units: 8.0 * 4_000.0,
        },
        Load {
            name: "prompts of 16,000 tokens, two at a time",
            streams: 2,
            times: 150,
            prompt_tokens: 16_000,
            answer: answer(1, Duration::ZERO),
            per: "request",
            units: 300.0,
        },
    ];
    for load in &loads {
        println!("{}", load.name);
        let worker = load.answer.serve(1.0).await;
        let routers: Vec<_> = binaries.iter().map(|path| Router::start(path, &worker)).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut rounds = vec![Vec::new(); routers.len()];
        // The first round warms up.
        for round in 0..=ROUNDS {
            for (spent, router) in rounds.iter_mut().zip(&routers) {
                let ns = put(load, router).await;
                if round > 0 {
                    spent.push(ns as f64 / load.units / 1e3);
                }
            }
        }
        for (i, (path, spent)) in binaries.iter().zip(&rounds).enumerate() {
            let ratios = spent.iter().zip(&rounds[0]).map(|(this, first)| this / first).collect();
            let against = match i {
                0 => String::new(),
                _ => format!(", {:.2} of the first", median(ratios)),
            };
            println!("  {:8.2} µs a {}{against}  {path}", median(spent.clone()), load.per);
        }
    }
}
