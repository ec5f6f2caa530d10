//! The router as Envoy's endpoint picker. The tests play Envoy: they ask where a request goes, send it there, and
//! hand the answer on.
//!
//! - `routed`: where requests go. `admitted`: which go anywhere. `ended`: what their ends count as.

mod admitted;
mod ended;
mod routed;

use crate::common::{SPEEDUP, TestRouter, TestWorker, router_config, within, worker_config};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
use warmpath_router::secret::Secret;
use warmpath_router::tenants::TenantConfig;
use warmpath_worker_sim::{Http, Listeners};

/// A worker with gRPC and HTTP. Workers differ by their addresses and have the same HTTP port, as pods have.
async fn worker(ip: IpAddr, http_port: u16) -> Result<(String, SocketAddr), std::io::Error> {
    let grpc = TcpListener::bind(SocketAddr::from((ip, 0))).await?;
    let http = TcpListener::bind(SocketAddr::from((ip, http_port))).await?;
    let (url, at) = (format!("http://{}", grpc.local_addr()?), http.local_addr()?);
    let http = Some(Http { listener: http, metrics: None });
    let listeners = Listeners { grpc: grpc.into(), http };
    let serving = warmpath_worker_sim::serve(listeners, worker_config(), std::future::pending());
    tokio::spawn(async move { serving.await.unwrap() });
    Ok((url, at))
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A second address of this machine. Not all have IPv6, and not all have more than one of IPv4.
async fn second_address() -> Option<IpAddr> {
    let second = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))];
    for ip in second {
        if TcpListener::bind((ip, 0)).await.is_ok() {
            return Some(ip);
        }
    }
    eprintln!("skipped: neither [::1] nor 127.0.0.2 is an address of this machine");
    None
}

/// Two workers, by URL and HTTP address. None: this machine has one address.
async fn two_workers() -> Option<[(String, SocketAddr); 2]> {
    let second = second_address().await?;
    for _ in 0..20 {
        let first = worker(HERE, 0).await.unwrap();
        // The port may be taken there.
        if let Ok(second) = worker(second, first.1.port()).await {
            return Some([first, second]);
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

/// How a request begins.
#[derive(Clone, Copy)]
struct Begin<'a> {
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    /// The endpoints that it may go to.
    subset: Option<&'a str>,
    /// How Envoy sends bodies of answers.
    answers: BodySendMode,
    /// It has no body.
    ends: bool,
}

impl Default for Begin<'_> {
    fn default() -> Self {
        let answers = BodySendMode::FullDuplexStreamed;
        Self { path: "/v1/completions", headers: &[], subset: None, answers, ends: false }
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

/// What Envoy knows besides the headers.
fn metadata(filter: &str, key: &str, value: &str) -> Metadata {
    let text = prost_types::value::Kind::StringValue(value.to_owned());
    let value = prost_types::Value { kind: Some(text) };
    let fields = prost_types::Struct { fields: [(key.to_owned(), value)].into() };
    Metadata { filter_metadata: HashMap::from([(filter.to_owned(), fields)]) }
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

    /// Says how a request begins.
    async fn begin(&self, begin: Begin<'_>) {
        let Begin { path, headers: more, subset, answers, ends } = begin;
        let mode = BodySendMode::FullDuplexStreamed.into();
        let response_body_mode = answers.into();
        let config = ProtocolConfiguration { request_body_mode: mode, response_body_mode };
        let metadata = subset.map(|subset| {
            let key = "x-gateway-destination-endpoint-subset";
            metadata("envoy.lb.subset_hint", key, subset)
        });
        let own = [(":method", "POST"), (":path", path)];
        let head = headers(&[&own, more].concat(), ends);
        let first = ProcessingRequest {
            request: Some(Request::RequestHeaders(head)),
            metadata_context: metadata,
            protocol_config: Some(config),
        };
        self.to.send(first).await.unwrap();
    }

    /// Sends a body in two parts.
    async fn body(&self, body: &str) {
        let (left, right) = body.as_bytes().split_at(body.len() / 2);
        for (part, end_of_stream) in [(left, false), (right, true)] {
            self.send(Request::RequestBody(HttpBody { body: part.to_vec(), end_of_stream })).await;
        }
    }

    /// Sends the request's head and body.
    async fn ask(&self, path: &str, body: &str, subset: Option<&str>) {
        self.begin(Begin { path, subset, ..Begin::default() }).await;
        self.body(body).await;
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

    /// Where a request without a body goes.
    async fn routed_without_body(&mut self) {
        let message = self.next().await.unwrap();
        assert!(matches!(message.response, Some(Response::RequestHeaders(_))), "{message:?}");
    }

    /// Hands the headers of a worker's answer on. Returns the worker's name among them.
    async fn answer_begins(&mut self, pairs: &[(&str, &str)]) -> Option<String> {
        self.send(Request::ResponseHeaders(headers(pairs, false))).await;
        let message = self.next().await.unwrap();
        let Some(Response::ResponseHeaders(head)) = message.response else { panic!("{message:?}") };
        let set = head.response.unwrap().header_mutation.unwrap().set_headers;
        let first = set.into_iter().next()?.header.unwrap();
        assert_eq!(first.key, "x-warmpath-worker");
        Some(String::from_utf8(first.raw_value).unwrap())
    }

    /// Hands a part of the body on.
    async fn answer_part(&mut self, body: &str, end_of_stream: bool) -> BodyResponse {
        let body = body.as_bytes().to_vec();
        self.send(Request::ResponseBody(HttpBody { body, end_of_stream })).await;
        let message = self.next().await.unwrap();
        let Some(Response::ResponseBody(part)) = message.response else { panic!("{message:?}") };
        part
    }

    /// Hands a worker's answer on, and checks that it comes back as it was.
    async fn answer(&mut self, body: &[u8]) {
        self.answer_begins(&[(":status", "200")]).await;
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
