//! Clients that leave, deadlines, workers that fail, a router that ends.

use super::client::{get, post, post_with, read, request};
use super::{CHAT, COMPLETION, HttpRouter, cached, chat};
use crate::common::{TestWorker, answer, prompt, router_config, within, worker_config};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warmpath_core::routing::policy::PolicyConfig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_ends_its_request() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    for stream in [true, false] {
        let mut body = chat('d', 40, 1_000_000);
        body["stream"] = json!(stream);
        let mut socket = TcpStream::connect(router.at).await.unwrap();
        socket.write_all(request("POST", CHAT, &[], &body.to_string()).as_bytes()).await.unwrap();
        within(async {
            while router.server.counts().in_flight == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        if stream {
            socket.read_exact(&mut [0; 500]).await.unwrap();
        }
        drop(socket);
        router.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_answer() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let soon = [("x-warmpath-timeout-ms", "300")];
    let mut body = chat('d', 40, 100_000);
    let late = post_with(router.at, CHAT, &soon, &body.to_string()).await;
    assert_eq!(late.status, 504, "{late:?}");
    late.error();
    body["stream"] = json!(true);
    let events = post_with(router.at, CHAT, &soon, &body.to_string()).await.events();
    let [.., error, done] = &events[..] else { panic!("{events:?}") };
    assert_eq!(done, "[DONE]");
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["type"], "server_error", "{error}");
    let wrong = [("x-warmpath-timeout-ms", "soon")];
    let reply = post_with(router.at, CHAT, &wrong, &body.to_string()).await;
    assert_eq!((reply.status, reply.error().0.as_deref()), (400, Some("x-warmpath-timeout-ms")));
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_elsewhere_and_says_so() {
    let mut workers = [0; 2].map(|_| TestWorker::start(worker_config()));
    let router = HttpRouter::over(&workers, |_| ()).await;
    let ids = prompt(5, 64);
    let tokens = 2_000;
    let body = json!({"prompt": ids, "max_tokens": tokens, "stream": true,
        "return_token_ids": true, "stream_options": {"include_usage": true}});
    let mut socket = TcpStream::connect(router.at).await.unwrap();
    let bytes = request("POST", COMPLETION, &[], &body.to_string());
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut first = vec![0; 1_000];
    within(socket.read_exact(&mut first)).await.unwrap();
    let head = String::from_utf8_lossy(&first).to_string();
    let number = head.split("x-warmpath-worker: w").nth(1).unwrap()[..1].parse::<usize>().unwrap();
    workers[number].kill();
    let mut rest = String::new();
    within(socket.read_to_string(&mut rest)).await.unwrap();
    let text = head + &rest;
    assert!(text.contains(&format!(": resumed w{} after ", 1 - number)), "{text}");
    let parts = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let parts = parts.filter_map(|part| serde_json::from_str::<Value>(&format!("{{{part}")).ok());
    let (mut all, mut usage) = (Vec::new(), Value::Null);
    for part in parts {
        all.extend(part["choices"][0]["token_ids"].as_array().into_iter().flatten().cloned());
        usage = part;
    }
    assert_eq!(json!(all), json!(answer(&ids, tokens)), "tokens were lost, doubled or moved");
    assert_eq!(usage["usage"]["completion_tokens"], tokens);
    assert!(cached(&usage) <= 64);
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_worker_and_at_the_end_it_takes_nothing() {
    let body = chat('n', 40, 2).to_string();
    let mut config = router_config(&[], PolicyConfig::KvAware);
    config.workers = vec!["http://127.0.0.1:1".to_owned()];
    let none = HttpRouter::start(config).await;
    assert_eq!(get(none.at, "/health").await.status, 503);
    let refused = post(none.at, CHAT, &body).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("x-warmpath-reason"), Some("no worker takes requests"));

    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let at = router.at;
    let long = chat('z', 40, 2_000).to_string();
    let under_way = tokio::spawn(async move { post(at, CHAT, &long).await });
    within(async {
        while router.server.counts().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut early = TcpStream::connect(at).await.unwrap();
    router.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(get(at, "/health").await.status, 503, "it drains");
    early.write_all(request("POST", CHAT, &[], &body).as_bytes()).await.unwrap();
    assert_eq!(read(&mut early).await.unwrap().status, 503);
    let done = within(under_way).await.unwrap();
    assert_eq!(done.status, 200, "what is under way may finish");
    within(router.served).await.unwrap().unwrap();
}
