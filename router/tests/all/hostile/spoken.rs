//! What a client sends reaches logs and metrics only escaped.

use super::router::Router;
use crate::common::{client, prompt, request};
use tonic::Request;
use warmpath_proto::vllm::GenerateRequest;

/// A line break, a forged event, escape sequences of a terminal, and what ends a label of a metric.
const HOSTILE: &str =
    "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{7f}\"} 1\nforged 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_writes_a_line_of_its_own() {
    let mut router = Router::with("").await;
    let mut client = client(&format!("http://{}", router.address));
    let named = |tokens| GenerateRequest {
        request_id: HOSTILE.to_owned(),
        session_id: Some(HOSTILE.to_owned()),
        ..request(prompt(1, 64), tokens)
    };
    // One that is refused for its model, one with an unknown token, one whose worker dies.
    let other = GenerateRequest { model: HOSTILE.to_owned(), ..named(3) };
    let status = client.generate_stream(other).await.unwrap_err();
    assert!(status.message().contains("forged"), "{status}");
    let mut with_token = Request::new(named(3));
    let token = tonic::metadata::MetadataValue::from_static("Bearer forged\tforged");
    with_token.metadata_mut().insert("authorization", token);
    client.generate_stream(with_token).await.unwrap();
    let last = GenerateRequest { request_id: format!("{HOSTILE}2"), ..named(100_000) };
    let mut answer = client.generate_stream(last).await.unwrap().into_inner();
    answer.message().await.unwrap();
    router.kill_worker();
    while answer.message().await.is_ok_and(|part| part.is_some()) {}
    assert!(router.until(|router| router.log().contains("failed")).await, "{}", router.log());
    let (log, page) = (router.log(), router.metrics());
    assert!(log.contains("forged"), "the control: the name is in the log: {log}");
    for line in log.lines() {
        assert!(!line.starts_with("2026-01-01") && !line.starts_with("forged"), "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let body = page.split_once("\r\n\r\n").unwrap().1;
    assert!(!body.contains("forged") && body.contains("warmpath_router_requests_total"), "{body}");
}
