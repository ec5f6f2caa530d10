//! OpenAI's HTTP on a worker.

#[path = "../../../openai/tests/common/client.rs"]
mod client;

use crate::common::{BLOCK, config, request as grpc_request, responses, tokens, within};
use client::{exchange, get, post, post_with, request};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_proto::convert::{SnapshotReader, batch_from_wire};
use warmpath_proto::transport;
use warmpath_proto::v1::WatchRequest;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;
use warmpath_proto::vllm::generate_request::Prompt;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_worker_sim::{Http, Listeners, ServeError, WorkerConfig};

const CHAT: &str = "/v1/chat/completions";
const COMPLETION: &str = "/v1/completions";

struct HttpWorker {
    at: SocketAddr,
    channel: tonic::transport::Channel,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl HttpWorker {
    async fn start(config: WorkerConfig) -> Self {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let url = format!("http://{}", grpc.local_addr().unwrap());
        let (stop, mut stopped) = watch::channel(false);
        let http = Some(Http { listener, metrics: None });
        let listeners = Listeners { grpc: grpc.into(), http };
        let served = tokio::spawn(warmpath_worker_sim::serve(listeners, config, async move {
            let _ = stopped.wait_for(|&stop| stop).await;
        }));
        Self { at, channel: transport::channel(&url).unwrap(), stop, served }
    }
}

fn cached(answer: &Value) -> u64 {
    answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("cached tokens")
}

fn chat(letter: &str, bytes: usize, max_tokens: u32) -> Value {
    json!({"messages": [{"role": "user", "content": letter.repeat(bytes)}], "max_tokens": max_tokens})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_answers_as_over_grpc() {
    let worker = HttpWorker::start(config(200.0)).await;
    let asked = grpc_request(1, 64, 12);
    let Some(Prompt::TokenIds(prompt)) = asked.prompt.clone() else { panic!("token ids") };
    let grpc = responses(InferenceClient::new(worker.channel.clone()), asked).await.unwrap();
    let mut body = json!({"prompt": [prompt.ids], "max_tokens": 12, "return_token_ids": true});
    let reply = post(worker.at, COMPLETION, &body.to_string()).await;
    assert_eq!((reply.status, reply.header("x-warmpath-worker")), (200, Some("worker")));
    let answer = reply.json();
    assert_eq!(answer["choices"][0]["token_ids"], json!(tokens(&grpc)));
    assert_eq!(cached(&answer), 48, "gRPC's request had the same prompt");
    body["stream"] = json!(true);
    let events = post(worker.at, COMPLETION, &body.to_string()).await.events();
    let parts = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let ids: Vec<Value> = parts
        .flat_map(|part| part["choices"][0]["token_ids"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(json!(ids), answer["choices"][0]["token_ids"]);
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(get(worker.at, "/health").await.status, 200);
    let models = get(worker.at, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "simulated");
}

/// The feed says that the blocks are gone, and no more than those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_empties_the_cache_and_the_feed_says_so() {
    let worker = HttpWorker::start(config(200.0)).await;
    let mut feed = WorkerStateClient::new(worker.channel.clone());
    let mut feed = within(feed.watch(WatchRequest {})).await.unwrap().into_inner();
    let id = WorkerId(0);
    let (mut index, mut reader) = (PrefixIndex::default(), SnapshotReader::new(id, BLOCK));
    let body = chat("r", 100, 2).to_string();
    for expected in [0, 112] {
        assert_eq!(cached(&post(worker.at, CHAT, &body).await.json()), expected);
    }
    for path in ["/reset_prefix_cache", "/reset_prefix_cache?reset_external=true"] {
        assert_eq!(post(worker.at, path, " ").await.status, 200);
        assert_eq!(cached(&post(worker.at, CHAT, &body).await.json()), 0, "{path}");
    }
    assert_eq!(post(worker.at, "/reset_prefix_cache", " ").await.status, 200);
    let (mut most, mut empty) = (0, 0);
    while empty < 3 {
        let message = within(feed.message()).await.unwrap().expect("a feed that goes on");
        match message.message.unwrap() {
            Message::Snapshot(chunk) => {
                if let Some(snapshot) = reader.push(&chunk).unwrap() {
                    index.replace(&snapshot).unwrap();
                }
            }
            Message::Batch(batch) => {
                let before = index.runs();
                index.apply(&batch_from_wire(id, BLOCK, &batch).unwrap()).unwrap();
                most = most.max(index.runs());
                empty += usize::from(before > 0 && index.runs() == 0);
            }
            _ => {}
        }
    }
    assert!(most > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_and_deadlines_free_the_worker() {
    let mut config = config(1.0);
    config.profile.max_num_seqs = 1;
    let worker = HttpWorker::start(config).await;
    let mut body = chat("d", 40, 1_000_000);
    body["stream"] = json!(true);
    let mut socket = TcpStream::connect(worker.at).await.unwrap();
    socket.write_all(request("POST", CHAT, &[], &body.to_string()).as_bytes()).await.unwrap();
    within(socket.read_exact(&mut [0; 400])).await.unwrap();
    // There is room for one, so the next one waits until it is late.
    let soon = [("x-warmpath-timeout-ms", "200")];
    let late = post_with(worker.at, CHAT, &soon, &chat("e", 40, 2).to_string()).await;
    assert_eq!(late.status, 504, "{late:?}");
    drop(socket);
    let free = post(worker.at, CHAT, &chat("f", 40, 2).to_string()).await;
    assert_eq!(free.status, 200, "{free:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_openais_shape_and_a_draining_worker_says_so() {
    let worker = HttpWorker::start(config(20.0)).await;
    let cases = [
        ("{\"prompt\": \"a\", \"echo\": true}", 400, Some("echo")),
        ("{\"prompt\": \"a\", \"model\": \"x\"}", 404, Some("model")),
        ("{\"prompt\": \"\"}", 400, Some("prompt")),
        ("{", 400, None),
    ];
    for (body, status, param) in cases {
        let reply = post(worker.at, COMPLETION, body).await;
        assert_eq!((reply.status, reply.error().0.as_deref()), (status, param), "{body}");
    }
    let at = worker.at;
    let long = chat("z", 40, 1_000).to_string();
    let under_way = tokio::spawn(async move { post(at, CHAT, &long).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(get(at, "/health").await.status, 503);
    let refused = request("POST", CHAT, &[], &chat("y", 40, 1).to_string());
    assert_eq!(exchange(at, refused.as_bytes()).await.unwrap().status, 503);
    assert_eq!(within(under_way).await.unwrap().status, 200, "what is under way may finish");
    within(worker.served).await.unwrap().unwrap();
}
