//! What the ends of requests count as.

use super::*;
use crate::common::fake::Fake;
use crate::common::{ask, prompt, request};
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use warmpath_core::id::WorkerId;
use warmpath_proto::raw;
use warmpath_router::engines::EngineConfig;

/// The figures of a test whose tasks are all on its own thread.
struct Figures(PrometheusHandle);

impl Figures {
    fn of(recorder: &PrometheusRecorder) -> (Self, LocalRecorderGuard<'_>) {
        (Self(recorder.handle()), metrics::set_default_local_recorder(recorder))
    }

    /// The sum over all series of a counter that have this label.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let text = self.0.render();
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// How requests ended: finished, client_gone, worker_failed.
    fn ends(&self) -> [f64; 3] {
        ["finished", "client_gone", "worker_failed"].map(|outcome| {
            self.sum("warmpath_router_requests_total", &format!("outcome=\"{outcome}\""))
        })
    }
}

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// A picker over one worker, whose answers the test makes up.
async fn over_one(worker: &TestWorker) -> Picker {
    Picker::over(vec![worker.url()], PolicyConfig::KvAware, 8_000).await
}

const USAGE: &str =
    r#"{"usage":{"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":32}}}"#;

impl Picker {
    /// A request that Envoy was told where to send.
    async fn sent(&self, begin: Begin<'_>) -> Exchange {
        let mut exchange = self.exchange().await;
        exchange.begin(begin).await;
        exchange.body(&completion(1, 64)).await;
        exchange.routed().await;
        exchange
    }

    async fn none_under_way(&self) {
        self.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
    }
}

#[tokio::test]
async fn an_answer_counts_as_what_its_worker_says() {
    let recorder = recorder();
    let (figures, _guard) = Figures::of(&recorder);
    let worker = TestWorker::start(worker_config());
    let picker = over_one(&worker).await;
    let failed = || figures.sum("warmpath_router_attempts_failed_total", "");
    for (status, ends, attempts) in [
        ("200", [1.0, 0.0, 0.0], 0.0),
        ("400", [1.0, 0.0, 1.0], 0.0),
        ("404", [1.0, 0.0, 2.0], 0.0),
        ("429", [1.0, 0.0, 3.0], 0.0),
        ("307", [1.0, 0.0, 4.0], 0.0),
        ("503", [1.0, 0.0, 5.0], 1.0),
    ] {
        let mut exchange = picker.sent(Begin::default()).await;
        let name = exchange.answer_begins(&[(":status", status)]).await;
        assert_eq!(name.as_deref(), Some("w0"), "{status}");
        exchange.answer_part(USAGE, true).await;
        picker.none_under_way().await;
        assert_eq!((figures.ends(), failed()), (ends, attempts), "{status}");
    }
    assert_eq!(figures.sum("warmpath_router_hit_blocks_total", ""), 2.0, "of one answer");
    // Each refusal counts as what its status means.
    let mut exchange = picker.exchange().await;
    exchange.ask("/v1/completions", r#"{"model":"other","prompt":"x"}"#, None).await;
    assert_eq!(exchange.refused().await.0, 404);
    let refused = |code: &str| figures.sum("warmpath_router_requests_refused_total", code);
    assert_eq!((refused("NotFound"), refused("")), (1.0, 1.0));
}

#[tokio::test]
async fn hits_that_a_worker_does_not_tell_are_not_measured() {
    let recorder = recorder();
    let (figures, _guard) = Figures::of(&recorder);
    let worker = TestWorker::start(worker_config());
    let picker = over_one(&worker).await;
    ask(picker.router.client(), request(vec![1; 64], 4)).await.unwrap();
    picker.router.wait_counts(|counts| counts.runs > 0).await;
    let begun = figures.sum("warmpath_router_hit_blocks_total", "");
    for (body, found, not_found) in [
        ("{}", 0.0, 0.0),
        (r#"{"usage":{"completion_tokens":4,"prompt_tokens_details":null}}"#, 0.0, 0.0),
        // Of the three blocks that it holds.
        (USAGE, 2.0, 1.0),
    ] {
        let mut exchange = picker.sent(Begin::default()).await;
        exchange.answer(body.as_bytes()).await;
        picker.none_under_way().await;
        assert_eq!(figures.sum("warmpath_router_hit_blocks_total", "") - begun, found, "{body}");
        let missed = figures.sum("warmpath_router_expected_not_found_blocks_total", "");
        assert_eq!(missed, not_found, "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_whole_has_ended_before_its_exchange() {
    let recorder = recorder();
    let (figures, _guard) = Figures::of(&recorder);
    let worker = TestWorker::start(worker_config());
    let picker = over_one(&worker).await;
    // A client leaves at the last event, or when it has as many bytes as it was promised.
    let mut exchange = picker.sent(Begin::default()).await;
    let events = [(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
    exchange.answer_begins(&events).await;
    exchange.answer_part("data: {}\n\n", false).await;
    exchange.answer_part("data: [DONE]\n\n", false).await;
    drop(exchange);
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [1.0, 0.0, 0.0]);
    let mut exchange = picker.sent(Begin::default()).await;
    exchange.answer_begins(&[(":status", "200"), ("content-length", "2")]).await;
    exchange.answer_part("{}", false).await;
    drop(exchange);
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [2.0, 0.0, 0.0]);
    // One that leaves earlier is gone.
    let mut exchange = picker.sent(Begin::default()).await;
    exchange.answer_begins(&events).await;
    exchange.answer_part("data: {}\n\n", false).await;
    drop(exchange);
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [2.0, 1.0, 0.0]);
}

#[tokio::test]
async fn a_request_that_goes_elsewhere_is_no_request_of_the_chosen_worker() {
    let recorder = recorder();
    let (figures, _guard) = Figures::of(&recorder);
    let Some(second) = second_address().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let first = TestWorker::start(worker_config());
    let other = TestWorker::start_at((second, 0).into(), worker_config());
    let workers = [first, other];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.capture = Some(path.clone());
    let mut picker = Picker::start(config, 8_000).await;
    picker.router.wait(|status| status.joined.len() == 2).await;
    // A warm prefix makes the rule's choice known.
    let (_, warm) = ask(picker.router.client(), request(vec![1; 64], 4)).await.unwrap();
    picker.router.wait_counts(|counts| counts.runs > 0).await;
    let cold = usize::from(warm == "w0");
    let at = |i: usize| SocketAddr::new(workers[i].address.ip(), 8_000).to_string();
    // The gateway offers the other worker only.
    let cold_at = at(cold);
    let mut exchange = picker.sent(Begin { subset: Some(&cold_at), ..Begin::default() }).await;
    let counts = picker.router.server.counts();
    assert_eq!((counts.booked, counts.in_flight), (0, 1), "its client waits");
    let name = exchange.answer_begins(&[(":status", "200")]).await;
    assert_eq!(name, Some(format!("w{cold}")));
    exchange.answer_part(USAGE, true).await;
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [1.0, 0.0, 0.0], "the one that made it warm");
    // The gateway chose itself after all.
    let mut exchange = picker.sent(Begin::default()).await;
    let served = metadata("envoy.lb", "x-gateway-destination-endpoint-served", &cold_at);
    let head = headers(&[(":status", "200")], false);
    let message = ProcessingRequest {
        request: Some(Request::ResponseHeaders(head)),
        metadata_context: Some(served),
        ..Default::default()
    };
    exchange.to.send(message).await.unwrap();
    exchange.next().await.unwrap();
    exchange.answer_part(USAGE, true).await;
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [1.0, 0.0, 0.0]);
    picker.router.stop();
    picker.router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lengths: Vec<_> = rows.iter().map(|row| row["output_length"].as_u64().unwrap()).collect();
    assert_eq!(lengths, [4, 7, 7], "as long as their answers, not as long as they asked for");
}

/// The worker knows the request by Envoy's name for it, so Envoy ends it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_not_told_to_abort_what_envoy_sent() {
    let fake = Fake::default();
    let held = fake.gate.write().await;
    let picker = Picker::over(vec![fake.serve(SPEEDUP).await], PolicyConfig::KvAware, 8_000).await;
    let mut exchange = picker.exchange().await;
    exchange.ask("/v1/completions", r#"{"prompt":"x"}"#, None).await;
    exchange.routed().await;
    drop(exchange);
    picker.none_under_way().await;
    // What the router sends itself is ended by its name, and is the only one.
    let mut client = picker.router.client();
    let asking = async move { client.generate_stream(request(prompt(1, 20), 4)).await };
    let given_up = tokio::spawn(asking);
    within(fake.is_asked()).await;
    let name = raw::request(&fake.requests.lock().unwrap()[0]).unwrap().request_id;
    given_up.abort();
    let aborted = || fake.aborted.lock().unwrap().clone();
    within(async {
        while !aborted().contains(&name) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(aborted(), [name]);
    drop(held);
}

#[tokio::test]
async fn an_answer_that_envoy_does_not_show_ends_with_its_headers() {
    let recorder = recorder();
    let (figures, _guard) = Figures::of(&recorder);
    let worker = TestWorker::start(worker_config());
    let picker = over_one(&worker).await;
    let (mut finished, mut hits) = (0.0, 0.0);
    for (answers, is_seen) in [
        (BodySendMode::None, false),
        (BodySendMode::BufferedPartial, false),
        (BodySendMode::Streamed, true),
        (BodySendMode::Buffered, true),
    ] {
        let mut exchange = picker.sent(Begin { answers, ..Begin::default() }).await;
        exchange.answer_begins(&[(":status", "200")]).await;
        if is_seen {
            assert_eq!(picker.router.server.counts().booked, 1, "{answers:?}");
            hits += 2.0;
        } else {
            // Nothing more comes, and the exchange is still open.
            picker.none_under_way().await;
        }
        // In these modes a body goes on by itself: one that is sent back would be an error.
        let part = exchange.answer_part(USAGE, true).await;
        assert!(part.response.is_none_or(|part| part.body_mutation.is_none()), "{answers:?}");
        picker.none_under_way().await;
        finished += 1.0;
        assert_eq!(figures.ends(), [finished, 0.0, 0.0], "{answers:?}");
        assert_eq!(figures.sum("warmpath_router_hit_blocks_total", ""), hits, "{answers:?}");
        drop(exchange);
    }
    // A refusal is one in any mode.
    let begin = Begin { answers: BodySendMode::None, ..Begin::default() };
    let mut exchange = picker.sent(begin).await;
    exchange.answer_begins(&[(":status", "400")]).await;
    picker.none_under_way().await;
    assert_eq!(figures.ends(), [finished, 0.0, 1.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_computed_for_envoy_is_believed_of_an_engine_without_events() {
    let worker = TestWorker::start(worker_config());
    let engine = EngineConfig {
        kv_events: "none".to_owned(),
        blocks: Some(1_000),
        ..EngineConfig::new(&worker.url(), worker_config().profile)
    };
    let base = RouterConfig::new(Vec::new(), PolicyConfig::KvAware);
    let config = RouterConfig { speedup: SPEEDUP, worker: vec![engine], ..base };
    let picker = Picker::start(config, 8_000).await;
    picker.router.wait(|status| status.joined.len() == 1).await;
    let held = || picker.router.server.indexed(WorkerId(0)).1.blocks;
    // Nothing is computed for a refusal.
    let mut refused = picker.sent(Begin::default()).await;
    refused.answer_begins(&[(":status", "400")]).await;
    refused.answer_part("{}", true).await;
    picker.none_under_way().await;
    let mut exchange = picker.sent(Begin::default()).await;
    assert_eq!(held(), 0);
    exchange.answer_begins(&[(":status", "200")]).await;
    exchange.answer_part("data: {}\n\n", false).await;
    within(async {
        while held() != 4 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
