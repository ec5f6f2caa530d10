//! Where requests go.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_one_prefix_go_to_one_worker_and_hit_there() {
    let Some(workers) = two_workers().await else { return };
    let port = workers[0].1.port();
    let urls = workers.iter().map(|(url, _)| url.clone()).collect();
    let picker = Picker::over(urls, PolicyConfig::KvAware, port).await;
    let mut endpoints = Vec::new();
    for turn in 0..3 {
        let mut exchange = picker.exchange().await;
        // 100,000 bytes of body go in several messages.
        exchange.ask("/v1/completions?x=1", &completion(12_345, 16_001), None).await;
        let (endpoint, body) = exchange.routed().await;
        assert!(workers.iter().any(|(_, at)| at.to_string() == endpoint), "{endpoint}");
        assert_eq!(picker.router.server.counts().booked, 1, "booked until its answer ends");
        let answer = post(&endpoint, "/v1/completions", &body).await;
        exchange.answer(&answer).await;
        picker.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let cached = &answer["usage"]["prompt_tokens_details"]["cached_tokens"];
        assert_eq!(cached.as_u64().unwrap(), if turn == 0 { 0 } else { 16_000 }, "turn {turn}");
        endpoints.push(endpoint);
        picker.router.wait_counts(|counts| counts.runs > 0).await;
    }
    assert!(endpoints.iter().all(|endpoint| *endpoint == endpoints[0]), "{endpoints:?}");
    // Another worker only: by the hint, not by the rule.
    let other = workers.iter().map(|(_, at)| at.to_string()).find(|at| *at != endpoints[0]);
    let other = other.unwrap();
    let mut exchange = picker.exchange().await;
    exchange
        .ask("/v1/completions", &completion(12_345, 160), Some(&format!("10.9.9.9:1,{other}")))
        .await;
    assert_eq!(exchange.routed().await.0, other);
    let mut exchange = picker.exchange().await;
    exchange.ask("/v1/completions", &completion(1, 160), Some("10.9.9.9:1")).await;
    assert_eq!(exchange.refused().await.0, 503);
    // What has no body goes to any worker.
    let exchange = &mut picker.exchange().await;
    exchange.send(Request::RequestHeaders(headers(&[(":path", "/v1/models")], true))).await;
    exchange.routed_without_body().await;
    picker.router.wait_counts(|counts| counts.booked == 0).await;
}
