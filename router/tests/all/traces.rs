//! A request's life in traces, as a collector hears it from router and worker.

use crate::common::{
    BLOCK, SPEEDUP, TestRouter, TestWorker, ask, collect, prompt, request, router_config, within,
    worker_config,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::traces::OtlpConfig;
use warmpath_proto::traces::otlp::any_value::Value;
use warmpath_proto::traces::otlp::trace_service_server::{TraceService, TraceServiceServer};
use warmpath_proto::traces::otlp::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Span,
};
use warmpath_router::RouterConfig;
use warmpath_worker_sim::WorkerConfig;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// A collector that keeps what it gets: the service's name with each span.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            assert_eq!(resource.schema_url, "https://opentelemetry.io/schemas/1.41.0");
            let attributes = resource.resource.unwrap().attributes;
            let service = text(&attributes, "service.name");
            assert!(!text(&attributes, "service.instance.id").is_empty());
            let all = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(all.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, OtlpConfig) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(collector.clone());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, OtlpConfig { endpoint, ratio: 1.0 })
    }

    /// The spans when there are as many of these services.
    async fn spans(&self, router: usize, worker: usize) -> Vec<(String, Span)> {
        within(async {
            loop {
                let spans = self.0.lock().unwrap().clone();
                let of = |service: &str| spans.iter().filter(|(name, _)| name == service).count();
                if of("warmpath-router") >= router && of("warmpath-worker") >= worker {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    match value(attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn number(span: &Span, key: &str) -> i64 {
    match value(&span.attributes, key) {
        Some(Value::IntValue(number)) => number,
        other => panic!("{key}: {other:?} in {span:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn worker(otlp: &OtlpConfig) -> TestWorker {
    TestWorker::start(WorkerConfig { otlp: Some(otlp.clone()), ..worker_config() })
}

async fn router(workers: &[TestWorker], otlp: Option<OtlpConfig>) -> TestRouter {
    let config = router_config(workers, PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { otlp, speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == workers.len()).await;
    router
}

/// An answer of four tokens to a request with this `traceparent`.
async fn ask_in(router: &TestRouter, traceparent: &str, seed: u64) {
    let mut call = Request::new(request(prompt(seed, 5 * BLOCK + 1), 4));
    call.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let answer = within(router.client().generate_stream(call)).await.unwrap();
    assert_eq!(within(collect(answer.into_inner())).await.unwrap().tokens.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_hears_of_one_request_from_router_and_worker() {
    let (collector, otlp) = Collector::start().await;
    let workers = [worker(&otlp)];
    let router = router(&workers, Some(otlp)).await;
    ask_in(&router, &format!("00-{TRACE}-{CLIENT}-01"), 1).await;
    let spans = collector.spans(2, 3).await;
    let find = |service: &str, name: &str| {
        let is_it = |(of, span): &&(String, Span)| of == service && span.name == name;
        let mut found = spans.iter().filter(is_it);
        let span = &found.next().unwrap_or_else(|| panic!("no {name} of {service}")).1;
        assert!(found.next().is_none(), "{name} of {service} twice");
        assert_eq!(hex(&span.trace_id), TRACE, "one trace");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        span
    };
    let request = find("warmpath-router", "text_completion");
    let attempt = find("warmpath-router", "attempt");
    let served = find("warmpath-worker", "text_completion");
    assert_eq!(hex(&request.parent_span_id), CLIENT);
    assert_eq!(attempt.parent_span_id, request.span_id);
    assert_eq!(served.parent_span_id, attempt.span_id);
    for part in ["prefill", "decode"] {
        assert_eq!(find("warmpath-worker", part).parent_span_id, served.span_id, "{part}");
    }
    assert!(request.start_time_unix_nano <= attempt.start_time_unix_nano);
    for span in [request, served] {
        assert_eq!(text(&span.attributes, "gen_ai.operation.name"), "text_completion");
        assert_eq!(text(&span.attributes, "gen_ai.provider.name"), "warmpath");
        assert_eq!(text(&span.attributes, "gen_ai.request.model"), "simulated");
        assert_eq!(number(span, "gen_ai.usage.input_tokens"), i64::from(5 * BLOCK + 1));
        assert_eq!(number(span, "gen_ai.usage.output_tokens"), 4);
        assert_eq!(number(span, "gen_ai.usage.cache_read.input_tokens"), 0);
    }
    let ids = [request, served].map(|span| text(&span.attributes, "gen_ai.response.id"));
    assert_eq!(ids[0], ids[1], "the client gave no name, so both have the router's");
    assert_eq!(text(&attempt.attributes, "warmpath.worker"), "w0");
    assert_eq!(text(&attempt.attributes, "warmpath.policy"), "kv-aware");
    assert!(request.events.iter().any(|event| event.name == "first_token"));
    assert!(request.status.is_none() && served.status.is_none());
    // The same prompt again, in a trace that begins in the router: another trace, with a hit.
    ask(router.client(), self::request(prompt(1, 5 * BLOCK + 1), 4)).await.unwrap();
    let spans = collector.spans(4, 6).await;
    let begun = spans.iter().filter(|(_, span)| hex(&span.trace_id) != TRACE);
    let begun: Vec<&Span> = begun.map(|(_, span)| span).collect();
    assert!(begun.iter().all(|span| span.trace_id == begun[0].trace_id), "one more trace");
    let first = begun.iter().filter(|span| span.parent_span_id.is_empty());
    assert_eq!(first.count(), 1, "it begins once");
    let served =
        begun.iter().find(|span| span.name == "text_completion" && !span.parent_span_id.is_empty());
    let hit = number(served.unwrap(), "gen_ai.usage.cache_read.input_tokens");
    assert_eq!(hit, i64::from(5 * BLOCK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_is_not_recorded_is_recorded_nowhere_and_one_without_a_collector_goes_on() {
    let (collector, otlp) = Collector::start().await;
    let workers = [worker(&otlp)];
    let recording = router(&workers, Some(otlp)).await;
    ask_in(&recording, &format!("00-{TRACE}-{CLIENT}-00"), 1).await;
    // A router that sends no traces hands the client's on.
    let silent = router(&workers, None).await;
    ask_in(&silent, &format!("00-{TRACE}-{CLIENT}-01"), 2).await;
    let spans = collector.spans(0, 3).await;
    assert!(spans.iter().all(|(service, _)| service == "warmpath-worker"), "{spans:?}");
    let served: Vec<_> = spans.iter().filter(|(_, span)| span.name == "text_completion").collect();
    assert_eq!(served.len(), 1, "{spans:?}");
    assert_eq!(hex(&served[0].1.parent_span_id), CLIENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attempt_and_a_refusal_say_so() {
    let (collector, otlp) = Collector::start().await;
    let mut workers = [worker(&otlp), worker(&otlp)];
    let router = router(&workers, Some(otlp)).await;
    workers[0].kill();
    workers[1].kill();
    let error = ask(router.client(), request(prompt(1, 64), 4)).await.unwrap_err();
    let spans = collector.spans(1, 0).await;
    let failed = spans.iter().find(|(_, span)| span.name == "text_completion").unwrap();
    assert_eq!(failed.1.status.as_ref().map(|status| status.code), Some(2), "{error}: {failed:?}");
    assert!(value(&failed.1.attributes, "error.type").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_no_request() {
    let nowhere = OtlpConfig { endpoint: "http://127.0.0.1:1".to_owned(), ratio: 1.0 };
    let workers = [worker(&nowhere)];
    let mut router = router(&workers, Some(nowhere)).await;
    ask(router.client(), request(prompt(1, 64), 4)).await.unwrap();
    router.stop();
    router.stopped().await;
}
