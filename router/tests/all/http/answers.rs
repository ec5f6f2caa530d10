//! What each path answers.

use super::client::{exchange, get, post, post_with, read, request};
use super::{CHAT, COMPLETION, HttpRouter, cached, chat};
use crate::common::{BLOCK, TestWorker, ask, client, prompt, within, worker_config};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::codegen::http;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_has_the_tokens_that_grpc_has() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let ids = prompt(1, 64);
    let (grpc, _) =
        ask(client(&router.grpc), crate::common::request(ids.clone(), 9)).await.unwrap();
    let body =
        json!({"prompt": ids, "max_tokens": 9, "return_token_ids": true, "model": "simulated"});
    let reply = post(router.at, COMPLETION, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-warmpath-worker"), Some("w0"));
    let answer = reply.json();
    assert_eq!(answer["object"], "text_completion");
    let choice = &answer["choices"][0];
    assert_eq!(choice["token_ids"], json!(grpc.tokens));
    assert_eq!(choice["finish_reason"], "length");
    let usage = &answer["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(
        (count("prompt_tokens"), count("completion_tokens"), count("total_tokens")),
        (64, 9, 73)
    );
    assert!(cached(&answer) >= 48, "gRPC's request had the same prompt: {answer}");
    // Its text becomes the same ids.
    let text = json!({"prompt": choice["text"], "add_special_tokens": false});
    let back = post(router.at, "/tokenize", &text.to_string()).await.json();
    assert_eq!(back["tokens"], json!(grpc.tokens));
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_the_whole_answer_in_order() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    for (path, object) in [(CHAT, "chat.completion.chunk"), (COMPLETION, "text_completion")] {
        let mut body = chat('a', 100, 40);
        if path == COMPLETION {
            body = json!({"prompt": "a".repeat(100), "max_tokens": 40});
        }
        let whole = post(router.at, path, &body.to_string()).await.json();
        assert_eq!(cached(&whole), 0, "always there");
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true, "continuous_usage_stats": true});
        let reply = post_with(router.at, path, &[("x-request-id", "one")], &body.to_string()).await;
        assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
        assert_eq!(reply.header("x-request-id"), Some("one"));
        let events = reply.events();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        let parts: Vec<Value> = events[..events.len() - 1]
            .iter()
            .map(|event| serde_json::from_str(event).expect(event))
            .collect();
        assert!(parts.iter().all(|part| part["object"] == object && part["id"] == parts[0]["id"]));
        assert!(parts[0]["id"].as_str().unwrap().ends_with("cmpl-one"), "{}", parts[0]);
        let (last, parts) = parts.split_last().unwrap();
        let blocks = (last["usage"]["prompt_tokens"].as_u64().unwrap() - 1) / u64::from(BLOCK);
        assert_eq!((&last["choices"], cached(last)), (&json!([]), blocks * u64::from(BLOCK)));
        assert_eq!(last["usage"]["completion_tokens"], 40);
        let (end, before) = parts.split_last().unwrap();
        assert_eq!(end["choices"][0]["finish_reason"], "length");
        assert!(before.iter().all(|part| part["choices"][0]["finish_reason"].is_null()));
        let made: Vec<u64> =
            parts.iter().map(|part| part["usage"]["completion_tokens"].as_u64().unwrap()).collect();
        assert!(made.is_sorted() && made.len() > 3, "{made:?}");
        let texts = parts.iter().map(|part| &part["choices"][0]);
        let (text, expected): (String, _) = if path == CHAT {
            assert_eq!(
                parts[0]["choices"][0]["delta"],
                json!({"role": "assistant", "content": ""})
            );
            let all = texts.map(|choice| choice["delta"]["content"].as_str().unwrap()).collect();
            (all, &whole["choices"][0]["message"]["content"])
        } else {
            let all = texts.map(|choice| choice["text"].as_str().unwrap()).collect();
            (all, &whole["choices"][0]["text"])
        };
        assert_eq!(&json!(text), expected);
    }
    // Without being asked for, usage is in no part.
    let body = json!({"prompt": "b", "stream": true}).to_string();
    let events = post(router.at, COMPLETION, &body).await.events();
    assert!(events.iter().all(|event| !event.contains("usage")), "{events:?}");
    router.idle().await;
}

/// The answer is a part of the next prompt, and its blocks are in the cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_turn_of_a_chat_finds_the_turn_before_in_the_cache() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let mut body = chat('x', 200, 64);
    let first = post(router.at, CHAT, &body.to_string()).await.json();
    let said = first["choices"][0]["message"].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": said["content"]}));
    messages.push(json!({"role": "user", "content": "more"}));
    let second = post(router.at, CHAT, &body.to_string()).await.json();
    let before = first["usage"]["total_tokens"].as_u64().unwrap();
    // The last token is not computed yet, and blocks are whole.
    let whole = (before - 1) / u64::from(BLOCK) * u64::from(BLOCK);
    assert_eq!(cached(&second), whole, "{before} tokens before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_paths_answer_as_vllms_do() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let health = get(router.at, "/health").await;
    assert_eq!((health.status, &*health.body), (200, ""));
    let models = get(router.at, "/v1/models").await.json();
    assert_eq!(
        (&models["data"][0]["id"], &models["object"]),
        (&json!("simulated"), &json!("list"))
    );
    assert_eq!(get(router.at, "/metrics").await.status, 404, "this process measures nothing");
    let text = json!({"prompt": "hé", "return_token_strs": true}).to_string();
    let tokens = post(router.at, "/tokenize", &text).await.json();
    assert_eq!((&tokens["tokens"], &tokens["count"]), (&json!([104, 195, 169]), &json!(3)));
    assert_eq!(tokens["token_strs"][0], "h");
    let ids = json!({"tokens": [104, 195, 169]}).to_string();
    assert_eq!(post(router.at, "/detokenize", &ids).await.json(), json!({"prompt": "hé"}));
    let of_chat = post(router.at, "/tokenize", &chat('a', 3, 1).to_string()).await.json();
    let body = chat('a', 3, 1).to_string();
    let rendered = post(router.at, "/v1/chat/completions/render", &body).await.json();
    assert_eq!(rendered["token_ids"], of_chat["tokens"]);
    let body = json!({"prompt": "hi", "max_tokens": 3, "temperature": 0.5}).to_string();
    let rendered = post(router.at, "/v1/completions/render", &body).await.json();
    let first = &rendered[0];
    assert_eq!((&first["token_ids"], &first["model"]), (&json!([104, 105]), &json!("simulated")));
    assert_eq!(first["sampling_params"]["max_tokens"], 3);
    for (method, path, status) in
        [("GET", CHAT, 405), ("POST", "/health", 405), ("GET", "/v1/nothing", 404)]
    {
        let bytes = request(method, path, &[], "");
        let reply = exchange(router.at, bytes.as_bytes()).await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}");
        reply.error();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_many_requests() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let body = chat('k', 20, 2).to_string();
    let mut socket = TcpStream::connect(router.at).await.unwrap();
    let one = request("POST", CHAT, &[], &body);
    let keeps = one.replace("connection: close", "connection: keep-alive");
    for _ in 0..5 {
        socket.write_all(keeps.as_bytes()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    socket.write_all(one.as_bytes()).await.unwrap();
    let all = read(&mut socket).await.unwrap();
    // The first answer's body has all that came after it.
    assert_eq!(all.body.matches("HTTP/1.1 200 OK").count(), 5, "{}", all.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_carries_the_same() {
    let workers = [TestWorker::start(worker_config())];
    let router = HttpRouter::over(&workers, |_| ()).await;
    let socket = TcpStream::connect(router.at).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = within(sender.ready()).await.unwrap();
    let body = chat('h', 40, 5).to_string();
    let request = http::Request::post(format!("http://{}{CHAT}", router.at)).body(()).unwrap();
    let (answer, mut send) = sender.send_request(request, false).unwrap();
    send.send_data(body.into(), true).unwrap();
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(part) = within(body.data()).await {
        text.extend_from_slice(&part.unwrap());
    }
    let answer: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(answer["usage"]["completion_tokens"], 5);
    drop(sender);
    connection.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_names_the_session() {
    let workers = [0; 3].map(|_| TestWorker::start(worker_config()));
    let policy = "session-affinity".parse().unwrap();
    let router = HttpRouter::over(&workers, |config| config.policy = policy).await;
    let at = router.at;
    let worker = |headers: Vec<(&'static str, String)>, letter: char| async move {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let reply = post_with(at, CHAT, &headers, &chat(letter, 40, 1).to_string()).await;
        reply.header("x-warmpath-worker").unwrap().to_owned()
    };
    for name in ["X-Session-ID", "X-Correlation-ID", "X-Session-Affinity"] {
        let mut chosen = BTreeSet::new();
        for letter in 'a'..'i' {
            chosen.insert(worker(vec![(name, format!("of {name}"))], letter).await);
        }
        assert_eq!(chosen.len(), 1, "{name}");
    }
    let mut chosen = BTreeSet::new();
    for letter in 'a'..'m' {
        chosen.insert(worker(vec![("X-Session-ID", format!("session {letter}"))], letter).await);
    }
    assert!(chosen.len() > 1, "other sessions go elsewhere");
}
