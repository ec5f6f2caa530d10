//! The router as Envoy's endpoint picker. The tests play Envoy: they ask where a request goes, send it there, and
//! hand the answer on.

use crate::common::{SPEEDUP, TestRouter, within, worker_config};
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::ext_proc::body_mutation::Mutation;
use warmpath_proto::ext_proc::external_processor_client::ExternalProcessorClient;
use warmpath_proto::ext_proc::processing_request::Request;
use warmpath_proto::ext_proc::processing_response::Response;
use warmpath_proto::ext_proc::{
    BodyResponse, BodySendMode, HeaderMap, HeaderValue, HttpBody, HttpHeaders, ImmediateResponse,
    Metadata, ProcessingRequest, ProcessingResponse, ProtocolConfiguration,
};
use warmpath_proto::transport;
use warmpath_router::RouterConfig;
use warmpath_router::ext_proc_config::ExtProcConfig;
use warmpath_worker_sim::{Http, Listeners};

/// A worker with gRPC and HTTP. Workers differ by their addresses and have the same HTTP port, as pods have.
async fn worker(ip: [u8; 4], http_port: u16) -> Result<(String, SocketAddr), std::io::Error> {
    let grpc = TcpListener::bind(SocketAddr::from((ip, 0))).await?;
    let http = TcpListener::bind(SocketAddr::from((ip, http_port))).await?;
    let (url, at) = (format!("http://{}", grpc.local_addr()?), http.local_addr()?);
    let http = Some(Http { listener: http, metrics: None });
    let listeners = Listeners { grpc: grpc.into(), http };
    let serving = warmpath_worker_sim::serve(listeners, worker_config(), std::future::pending());
    tokio::spawn(async move { serving.await.unwrap() });
    Ok((url, at))
}

/// Two workers, by URL and HTTP address.
async fn two_workers() -> [(String, SocketAddr); 2] {
    for _ in 0..20 {
        let first = worker([127, 0, 0, 1], 0).await.unwrap();
        // The port may be taken there.
        if let Ok(second) = worker([127, 0, 0, 2], first.1.port()).await {
            return [first, second];
        }
    }
    panic!("no port is free at both addresses");
}

struct Picker {
    router: TestRouter,
    url: String,
}

impl Picker {
    async fn over(urls: Vec<String>, policy: PolicyConfig, port: u16) -> Self {
        let joined = urls.len();
        let base = RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(urls, policy) };
        let picker = Self::start(base, port).await;
        picker.router.wait(|status| status.joined.len() == joined).await;
        picker
    }

    async fn start(config: RouterConfig, port: u16) -> Self {
        let router = TestRouter::start(config).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let server = router.server.clone();
        tokio::spawn(async move {
            let config = ExtProcConfig { listen, port };
            server.serve_picker(config, listener, std::future::pending()).await
        });
        Self { router, url: format!("http://{listen}") }
    }

    async fn exchange(&self) -> Exchange {
        let (sender, receiver) = mpsc::channel(64);
        let channel = transport::channel(&self.url).unwrap();
        let mut client = ExternalProcessorClient::new(channel);
        let answers = within(client.process(ReceiverStream::new(receiver))).await.unwrap();
        Exchange { to: sender, from: answers.into_inner() }
    }
}

/// One HTTP request as Envoy has it processed.
struct Exchange {
    to: mpsc::Sender<ProcessingRequest>,
    from: Streaming<ProcessingResponse>,
}

fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let header = |&(key, value): &(&str, &str)| HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let headers = HeaderMap { headers: pairs.iter().map(header).collect() };
    HttpHeaders { headers: Some(headers), end_of_stream }
}

fn text(value: &prost_types::Value) -> &str {
    match value.kind.as_ref().unwrap() {
        prost_types::value::Kind::StringValue(text) => text,
        other => panic!("{other:?}"),
    }
}

impl Exchange {
    async fn send(&self, request: Request) {
        self.to
            .send(ProcessingRequest { request: Some(request), ..Default::default() })
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Result<ProcessingResponse, Status> {
        within(self.from.message()).await.map(|message| message.expect("an answer"))
    }

    /// Sends the request's head and body, the body in two parts.
    async fn ask(&self, path: &str, body: &str, subset: Option<&str>) {
        let mode = BodySendMode::FullDuplexStreamed.into();
        let config = ProtocolConfiguration { request_body_mode: mode, response_body_mode: mode };
        let metadata = subset.map(|subset| {
            let list = prost_types::value::Kind::StringValue(subset.to_owned());
            let value = prost_types::Value { kind: Some(list) };
            let key = "x-gateway-destination-endpoint-subset".to_owned();
            let fields = prost_types::Struct { fields: [(key, value)].into() };
            let filter_metadata = HashMap::from([("envoy.lb.subset_hint".to_owned(), fields)]);
            Metadata { filter_metadata }
        });
        let head = headers(&[(":method", "POST"), (":path", path)], false);
        let first = ProcessingRequest {
            request: Some(Request::RequestHeaders(head)),
            metadata_context: metadata,
            protocol_config: Some(config),
        };
        self.to.send(first).await.unwrap();
        let (left, right) = body.as_bytes().split_at(body.len() / 2);
        for (part, end_of_stream) in [(left, false), (right, true)] {
            self.send(Request::RequestBody(HttpBody { body: part.to_vec(), end_of_stream })).await;
        }
    }

    /// Where the request goes, and the body that goes there.
    async fn routed(&mut self) -> (String, Vec<u8>) {
        let message = self.next().await.unwrap();
        let metadata = message.dynamic_metadata.clone().expect("metadata").fields;
        let prost_types::value::Kind::StructValue(balancer) =
            metadata["envoy.lb"].kind.clone().unwrap()
        else {
            panic!("{metadata:?}")
        };
        let endpoint = text(&balancer.fields["x-gateway-destination-endpoint"]).to_owned();
        let Some(Response::RequestHeaders(head)) = message.response else { panic!("{message:?}") };
        let set = head.response.unwrap().header_mutation.unwrap().set_headers;
        let header = set[0].header.clone().unwrap();
        assert_eq!(header.key, "x-gateway-destination-endpoint");
        assert_eq!(header.raw_value, endpoint.as_bytes(), "header and metadata agree");
        let mut body = Vec::new();
        loop {
            let message = self.next().await.unwrap();
            let Some(Response::RequestBody(part)) = message.response else { panic!("{message:?}") };
            if push(part, &mut body) {
                return (endpoint, body);
            }
        }
    }

    async fn refused(&mut self) -> (i32, serde_json::Value) {
        let message = self.next().await.unwrap();
        let Some(Response::ImmediateResponse(answer)) = message.response else {
            panic!("{message:?}")
        };
        let ImmediateResponse { status, body, .. } = answer;
        (status.unwrap().code, serde_json::from_slice(&body).unwrap())
    }

    /// Hands a worker's answer on, and checks that it comes back as it was.
    async fn answer(&mut self, body: &[u8]) {
        self.send(Request::ResponseHeaders(headers(&[(":status", "200")], false))).await;
        let message = self.next().await.unwrap();
        assert!(matches!(message.response, Some(Response::ResponseHeaders(_))), "{message:?}");
        let (left, right) = body.split_at(body.len() / 2);
        let mut passed = Vec::new();
        for (part, end_of_stream) in [(left, false), (right, true)] {
            self.send(Request::ResponseBody(HttpBody { body: part.to_vec(), end_of_stream })).await;
            let message = self.next().await.unwrap();
            let Some(Response::ResponseBody(part)) = message.response else {
                panic!("{message:?}")
            };
            assert_eq!(push(part, &mut passed), end_of_stream);
        }
        assert_eq!(passed, body);
    }
}

/// Adds a part to a body. True: it was the last.
fn push(part: BodyResponse, body: &mut Vec<u8>) -> bool {
    let mutation = part.response.unwrap().body_mutation.unwrap().mutation;
    let Some(Mutation::StreamedResponse(part)) = mutation else { panic!("{mutation:?}") };
    body.extend_from_slice(&part.body);
    part.end_of_stream
}

/// Sends a request to a worker, as Envoy would. Returns the answer's JSON.
async fn post(at: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
    answer.split_off(at + 4)
}

/// A completion for a prompt of so many tokens.
fn completion(token: u32, tokens: usize) -> String {
    let ids = vec![token.to_string(); tokens].join(",");
    format!("{{\"model\":\"simulated\",\"prompt\":[{ids}],\"max_tokens\":4}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_one_prefix_go_to_one_worker_and_hit_there() {
    let workers = two_workers().await;
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
    let message = exchange.next().await.unwrap();
    assert!(matches!(message.response, Some(Response::RequestHeaders(_))), "{message:?}");
    drop((message, picker.router.wait_counts(|counts| counts.booked == 0).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_answers_in_openais_shape() {
    // No worker.
    let nowhere = vec!["http://127.0.0.1:1".to_owned()];
    let config = RouterConfig::new(nowhere, PolicyConfig::KvAware);
    let picker = Picker::start(config, 8_000).await;
    let mut exchange = picker.exchange().await;
    exchange.ask("/v1/completions", &completion(1, 16), None).await;
    let (code, body) = exchange.refused().await;
    assert_eq!(code, 503);
    assert_eq!(body["error"]["type"], "server_error", "{body}");
    let health = async |service: &str| {
        let mut health = HealthClient::new(transport::channel(&picker.url).unwrap());
        let request = HealthCheckRequest { service: service.to_owned() };
        within(health.check(request)).await.unwrap().into_inner().status
    };
    assert_eq!((health("liveness").await, health("readiness").await), (1, 2));
    assert_eq!(health("envoy.service.ext_proc.v3.ExternalProcessor").await, 2);

    // A full fleet, and no queue: too many requests.
    let (url, at) = worker([127, 0, 0, 1], 0).await.unwrap();
    let policy: PolicyConfig = "wait-for-room(max_active=1)".parse().unwrap();
    let mut config = RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(vec![url], policy) };
    config.queue.requests = 0;
    let picker = Picker::start(config, at.port()).await;
    picker.router.wait(|status| status.joined.len() == 1).await;
    let mut first = picker.exchange().await;
    first.ask("/v1/completions", &completion(1, 16), None).await;
    assert_eq!(first.routed().await.0, at.to_string());
    let mut second = picker.exchange().await;
    second
        .ask("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"hi"}]}"#, None)
        .await;
    let (code, body) = second.refused().await;
    assert_eq!((code, &body["error"]["type"]), (429, &"rate_limit_error".into()), "{body}");
    // Envoy lost the client: the booking ends.
    drop(first);
    picker.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
    // A worker that fails ends its booking too.
    let mut failing = picker.exchange().await;
    failing.ask("/v1/completions", &completion(1, 16), None).await;
    failing.routed().await;
    failing.send(Request::ResponseHeaders(headers(&[(":status", "503")], false))).await;
    failing.next().await.unwrap();
    picker.router.wait_counts(|counts| counts.booked == 0 && counts.in_flight == 0).await;
    // A body that cannot be read names the field.
    let mut bad = picker.exchange().await;
    bad.ask("/v1/completions", r#"{"prompt":"x","n":3}"#, None).await;
    let (code, body) = bad.refused().await;
    assert_eq!((code, &body["error"]["param"]), (400, &"n".into()), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_must_stream_bodies() {
    let nowhere = vec!["http://127.0.0.1:1".to_owned()];
    let picker = Picker::start(RouterConfig::new(nowhere, PolicyConfig::KvAware), 8_000).await;
    let mut exchange = picker.exchange().await;
    let mode = BodySendMode::Buffered.into();
    let config = ProtocolConfiguration { request_body_mode: mode, response_body_mode: mode };
    let head = headers(&[(":path", "/v1/completions")], false);
    let first = ProcessingRequest {
        request: Some(Request::RequestHeaders(head)),
        protocol_config: Some(config),
        ..Default::default()
    };
    exchange.to.send(first).await.unwrap();
    let refused = exchange.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "request_body_mode: BUFFERED, expected FULL_DUPLEX_STREAMED");
}
