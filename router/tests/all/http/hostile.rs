//! Bodies and clients that mean harm. Each limit is tried with a router that has it far away too.

use super::client::{exchange, post, read, request};
use super::{CHAT, COMPLETION, HttpRouter, chat};
use crate::common::{TestWorker, within, worker_config};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warmpath_router::limits::ListenerConfig;
use warmpath_worker_sim::WorkerConfig;

async fn with(workers: &[TestWorker], listener: ListenerConfig) -> HttpRouter {
    HttpRouter::over(workers, |config| config.listener = listener).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_openais_shape() {
    let workers = [TestWorker::start(worker_config())];
    let router = with(&workers, ListenerConfig::default()).await;
    let deep = format!("{{\"prompt\": {}", "[".repeat(100_000));
    let cases = [
        (COMPLETION, "", 400, None),
        (COMPLETION, "{", 400, None),
        (COMPLETION, "[]", 400, None),
        (COMPLETION, "{\"prompt\": \"\\ud800\"}", 400, None),
        (COMPLETION, "{\"prompt\": [1e9999]}", 400, None),
        (COMPLETION, &*deep, 400, None),
        (COMPLETION, "{}", 400, Some("prompt")),
        (COMPLETION, "{\"prompt\": []}", 400, Some("prompt")),
        (COMPLETION, "{\"prompt\": \"\"}", 400, Some("prompt")),
        (COMPLETION, "{\"prompt\": [128256]}", 400, Some("prompt")),
        (COMPLETION, "{\"prompt\": [\"a\", \"b\"]}", 400, Some("prompt")),
        (COMPLETION, "{\"prompt\": \"a\", \"logprobs\": 1}", 400, Some("logprobs")),
        (COMPLETION, "{\"prompt\": \"a\", \"stop\": [\"x\"]}", 400, Some("stop")),
        (COMPLETION, "{\"prompt\": \"a\", \"min_tokens\": 99}", 400, Some("min_tokens")),
        (COMPLETION, "{\"prompt\": \"a\", \"max_tokens\": 4294967295}", 400, Some("max_tokens")),
        (COMPLETION, "{\"prompt\": \"a\", \"model\": \"other\"}", 404, Some("model")),
        (CHAT, "{\"messages\": []}", 400, Some("messages")),
        (CHAT, "{\"messages\": [{\"role\": \"user\"}], \"tools\": [1]}", 400, Some("tools")),
        ("/tokenize", "{}", 400, Some("prompt")),
        ("/detokenize", "{\"tokens\": [-1]}", 400, None),
    ];
    for (path, body, status, param) in cases {
        let body = if body.is_empty() { " " } else { body };
        let reply = post(router.at, path, body).await;
        let (named, message) = reply.error();
        assert_eq!((reply.status, named.as_deref()), (status, param), "{body:.80}: {message}");
        assert!(message.len() < 400, "{message}");
    }
    let mut bytes = request("POST", COMPLETION, &[], "{\"prompt\": \"#\"}").into_bytes();
    let at = bytes.iter().position(|&byte| byte == b'#').unwrap();
    bytes[at] = 0xFF;
    assert_eq!(exchange(router.at, &bytes).await.unwrap().status, 400, "no UTF-8");
    assert_eq!(post(router.at, CHAT, &chat('g', 40, 2).to_string()).await.status, 200);
    assert_eq!(router.server.counts().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_refused_before_it_is_here() {
    let workers = [TestWorker::start(worker_config())];
    for (most, status) in [(64 << 10, 413), (1 << 20, 200)] {
        let limits = ListenerConfig { generate_bytes: most, ..ListenerConfig::default() };
        let router = with(&workers, limits).await;
        let body = json!({"prompt": "a".repeat(200_000), "max_tokens": 1}).to_string();
        let reply = post(router.at, COMPLETION, &body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        // Its client says how much comes, and sends nothing.
        let mut socket = TcpStream::connect(router.at).await.unwrap();
        let head = request("POST", COMPLETION, &[], &body).replace(&body, "");
        socket.write_all(head.as_bytes()).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(300), read(&mut socket)).await;
        assert_eq!(early.is_ok_and(|reply| reply.unwrap().status == 413), status == 413);
        // It does not say.
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let chunked = request("POST", COMPLETION, &[("transfer-encoding", "chunked")], "") + &chunk;
        assert_eq!(exchange(router.at, chunked.as_bytes()).await.unwrap().status, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_in_time_ends() {
    let workers = [TestWorker::start(worker_config())];
    let body = chat('s', 40, 2).to_string();
    let whole = request("POST", CHAT, &[], &body);
    for (soon, ends) in [(0.2, true), (1_000.0, false)] {
        let limits = ListenerConfig {
            handshake_s: soon,
            header_s: soon,
            body_s: soon,
            idle_s: soon,
            ..ListenerConfig::default()
        };
        let router = with(&workers, limits).await;
        let open = |bytes: String| async move {
            let mut socket = TcpStream::connect(router.at).await.unwrap();
            socket.write_all(bytes.as_bytes()).await.unwrap();
            let ended = read(&mut socket);
            tokio::time::timeout(Duration::from_millis(900), ended).await.ok()
        };
        assert_eq!(open(String::new()).await.is_some(), ends, "it says nothing");
        assert_eq!(open("POST /v1".to_owned()).await.is_some(), ends, "half a line");
        assert_eq!(open("PRI * HTTP/2.0\r\n".to_owned()).await.is_some(), ends, "half a preface");
        let half = open(whole[..whole.len() - 10].to_owned()).await.flatten();
        assert_eq!(half.map(|reply| reply.status), ends.then_some(408), "half a body");
        let keeps = whole.replace("connection: close", "connection: keep-alive");
        let idle = open(keeps.clone()).await;
        assert_eq!(idle.is_some(), ends, "nothing after its answer");
        let next = open(keeps + "GET /hea").await;
        assert_eq!(next.is_some(), ends, "half of the next request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_so_many_connections() {
    let workers = [TestWorker::start(worker_config())];
    for (most, refused) in [(10, true), (1_000, false)] {
        let limits = ListenerConfig { connections_per_address: most, ..ListenerConfig::default() };
        let router = with(&workers, limits).await;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(TcpStream::connect(router.at).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let bytes = request("POST", CHAT, &[], &chat('c', 40, 1).to_string());
        let reply = exchange(router.at, bytes.as_bytes()).await;
        assert_eq!(reply.is_none(), refused, "{reply:?}");
        drop(all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_head_is_refused() {
    let workers = [TestWorker::start(worker_config())];
    for (bytes, status) in [(16 << 10, 431), (256 << 10, 200)] {
        let limits = ListenerConfig { header_bytes: bytes, ..ListenerConfig::default() };
        let router = with(&workers, limits).await;
        let value = "x".repeat(60_000);
        let bytes = request("GET", "/health", &[("x-large", &value)], "");
        let reply = exchange(router.at, bytes.as_bytes()).await;
        assert_eq!(reply.map(|reply| reply.status), Some(status));
    }
}

/// A client that asks for a long answer and does not read holds no place for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_read_is_cut() {
    // Fast enough to fill the system's buffers in a second.
    let speedup = 2_000.0;
    let workers = [TestWorker::start(WorkerConfig { speedup, ..worker_config() })];
    for (stall_s, ends) in [(0.3, true), (1_000.0, false)] {
        let limits = ListenerConfig { stall_s, ..ListenerConfig::default() };
        let router = HttpRouter::over(&workers, |config| {
            (config.listener, config.speedup) = (limits, speedup);
        })
        .await;
        let mut body = json!({"prompt": "r".repeat(64), "max_tokens": 4_000_000, "stream": true});
        body["return_token_ids"] = json!(true);
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut socket = socket.connect(router.at).await.unwrap();
        let bytes = request("POST", COMPLETION, &[], &body.to_string());
        socket.write_all(bytes.as_bytes()).await.unwrap();
        within(socket.read_exact(&mut [0; 100])).await.unwrap();
        let begun = Instant::now();
        let longest = Duration::from_secs(if ends { 20 } else { 4 });
        while router.server.counts().in_flight > 0 && begun.elapsed() < longest {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(router.server.counts().in_flight == 0, ends, "stall_s = {stall_s}");
    }
}
