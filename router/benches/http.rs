//! What OpenAI's HTTP costs beside gRPC: processor time of one router process for the same requests by both.
//!
//! ```text
//! cargo bench -p warmpath-router --bench http
//! ```
//!
//! Prompts are token ids, so tokenization is no part of it; the last load has the same prompts as text. Each round
//! puts a load on by gRPC and by HTTP in turn, so that a busy machine slows both. The worker behind is a fake that
//! costs nothing to speak of. Linux only: the time is read from `/proc`.

#[path = "../tests/common/fake.rs"]
mod fake;

use fake::Fake;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transport;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, ResponseOptions, SequenceOutput,
    StoppingCriteria, TokenIds, generate_request::Prompt,
};

const ROUNDS: usize = 7;
/// More than there are streams: the router must not hold requests back, which a proxy does not either.
const SEATS: u32 = 1_024;
const MOST_TOKENS: u32 = 400;

/// Streams at the same time, repetitions, and the sizes of prompts and answers.
struct Load {
    name: &'static str,
    streams: usize,
    times: usize,
    prompt_tokens: u32,
    answer_tokens: u32,
    /// Between two tokens.
    pace: Duration,
    /// The prompt over HTTP is text, a byte for each token.
    text: bool,
}

/// A message for each of `tokens` tokens; the last one says the end.
fn answer(tokens: u32, pace: Duration) -> Fake {
    let message = |i: u32| {
        let finish = FinishInfo {
            num_output_tokens: tokens,
            finish_reason: 1,
            num_cached_tokens: Some(0),
            ..Default::default()
        };
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

/// Every prompt its own from its first block on, so that nothing is remembered. Ids are printable bytes.
fn ids(number: u32, tokens: u32) -> Vec<u32> {
    let digit = |place: u32| number / 26_u32.pow(place) % 26;
    (0..tokens).map(|i| 97 + if i < 6 { digit(i) } else { i * 31 % 26 }).collect()
}

fn by_grpc(ids: Vec<u32>) -> Bytes {
    raw::bytes(&GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids })),
        stopping: Some(StoppingCriteria { max_new_tokens: MOST_TOKENS, ..Default::default() }),
        response: Some(ResponseOptions { output_token_ids: true, ..Default::default() }),
        ..Default::default()
    })
}

fn by_http(ids: &[u32], text: bool) -> String {
    let mut prompt = String::new();
    if text {
        prompt.push('"');
        prompt.extend(ids.iter().filter_map(|&id| char::from_u32(id)));
        prompt.push('"');
    } else {
        for &id in ids {
            let _ = write!(prompt, "{}{id}", if prompt.is_empty() { '[' } else { ',' });
        }
        prompt.push(']');
    }
    let body = format!("{{\"prompt\":{prompt},\"max_tokens\":{MOST_TOKENS},\"stream\":true}}");
    let length = body.len();
    format!("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
}

struct Router {
    child: Child,
    grpc: String,
    http: String,
}

impl Router {
    fn start(worker: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
        command.args(["--policy", "kv-aware", "--speedup", "1", "--worker", worker]);
        command.args(["--http-listen", "127.0.0.1:0"]);
        command.env("RUST_LOG", "info").env("NO_COLOR", "1").stderr(Stdio::piped());
        let mut child = command.spawn().expect("the router");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut grpc, mut http) = (None, None);
        while grpc.is_none() || http.is_none() {
            let line = lines.next().expect("a router that listens").expect("text");
            let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
            match address {
                Some(address) if line.contains("HTTP") => http = Some(address.to_owned()),
                Some(address) => grpc = Some(format!("http://{address}")),
                None => {}
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, grpc: grpc.expect("known"), http: http.expect("known") }
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

/// Puts the load on; gives back the router's processor time in nanoseconds.
async fn put(load: &Load, router: &Router, http: bool, round: u32) -> u64 {
    let before = router.cpu_ns();
    let mut streams = JoinSet::new();
    for stream in 0..load.streams as u32 {
        let (times, tokens, text) = (load.times as u32, load.prompt_tokens, load.text);
        let number = move |time: u32| ((round * 2 + u32::from(http)) * 512 + stream) * times + time;
        if http {
            let address = router.http.clone();
            streams.spawn(async move {
                let mut socket = TcpStream::connect(address).await.expect("a connection");
                socket.set_nodelay(true).expect("an option");
                for time in 0..times {
                    let request = by_http(&ids(number(time), tokens), text);
                    socket.write_all(request.as_bytes()).await.expect("sent");
                    let mut all = Vec::new();
                    while !all.ends_with(b"\r\n0\r\n\r\n") {
                        let read = socket.read_buf(&mut all).await.expect("an answer");
                        assert!(read > 0, "{}", String::from_utf8_lossy(&all));
                    }
                    assert!(all.ends_with(b"[DONE]\n\n\r\n0\r\n\r\n"), "a whole answer");
                }
            });
        } else {
            let client = InferenceClient::new(transport::channel(&router.grpc).expect("a URL"));
            let mut client = client.max_encoding_message_size(transport::MAX_GENERATE_BYTES);
            streams.spawn(async move {
                for time in 0..times {
                    let request = by_grpc(ids(number(time), tokens));
                    let response = client.generate_stream(request).await.expect("an answer");
                    let mut messages = response.into_inner();
                    while messages.message().await.expect("a whole answer").is_some() {}
                }
            });
        }
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
    let load = |name, streams, times, prompt_tokens, answer_tokens| Load {
        name,
        streams,
        times,
        prompt_tokens,
        answer_tokens,
        pace: Duration::ZERO,
        text: false,
    };
    let loads = [
        load("200 ids, 1 token", 16, 100, 200, 1),
        load("200 ids, 64 tokens in 64 parts", 16, 20, 200, 64),
        Load {
            pace: Duration::from_millis(5),
            ..load("64 streams of 200 tokens, one each 5 ms", 64, 1, 200, 200)
        },
        load("4,000 ids, 64 tokens in 64 parts", 8, 20, 4_000, 64),
        Load { text: true, ..load("the same as text", 8, 20, 4_000, 64) },
    ];
    for load in &loads {
        let worker = answer(load.answer_tokens, load.pace).serve(1.0).await;
        let router = Router::start(&worker);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let requests = (load.streams * load.times) as f64;
        let (mut grpc, mut http) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS as u32 {
            let spent = [false, true].map(|by| put(load, &router, by, round));
            let [by_grpc, by_http] = spent;
            let (by_grpc, by_http) = (by_grpc.await, by_http.await);
            if round > 0 {
                grpc.push(by_grpc as f64 / requests / 1e3);
                http.push(by_http as f64 / requests / 1e3);
            }
        }
        let ratio = median(http.iter().zip(&grpc).map(|(http, grpc)| http / grpc).collect());
        let (grpc, http) = (median(grpc), median(http));
        println!(
            "{:40} {grpc:8.1} µs a request by gRPC, {http:8.1} by HTTP: {ratio:.2} times",
            load.name
        );
    }
}
