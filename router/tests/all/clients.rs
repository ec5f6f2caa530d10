//! What default gRPC clients and servers of other libraries must not stumble over.

use crate::common::fake::Fake;
use crate::common::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::codegen::http;
use tonic_reflection::pb::{v1, v1alpha};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::generate::MAX_NAME_BYTES;
use warmpath_proto::vllm::GenerateRequest;
use warmpath_proto::{raw, transport};
use warmpath_router::RouterConfig;

fn called(name: String) -> GenerateRequest {
    GenerateRequest { request_id: name, ..request(prompt(1, 40), 3) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_breaks_a_clients_limit_for_metadata() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let longest = "i".repeat(MAX_NAME_BYTES);
    let response = within(router.client().generate_stream(called(longest.clone()))).await.unwrap();
    assert_eq!(response.metadata().get("x-warmpath-request-id").unwrap(), longest.as_str());
    // HTTP/2 counts 32 bytes for an entry beside its name and value. gRPC-core allows 8 KiB.
    let bytes: usize = response
        .metadata()
        .iter()
        .map(|entry| match entry {
            tonic::metadata::KeyAndValueRef::Ascii(key, value) => {
                key.as_str().len() + value.len() + 32
            }
            tonic::metadata::KeyAndValueRef::Binary(key, _) => panic!("{key}"),
        })
        .sum();
    assert!(bytes < 4_096, "{bytes}");
    within(collect(response.into_inner())).await.unwrap();
    for length in [MAX_NAME_BYTES + 1, 12_000, 1 << 20] {
        let status = ask(router.client(), called("i".repeat(length))).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let expected = format!("request_id: {length} bytes, expected at most 1024");
        assert_eq!(status.message(), expected);
    }
    let other = GenerateRequest { model: "m".repeat(9_000), ..request(prompt(1, 40), 3) };
    let status = ask(router.client(), other).await.unwrap_err();
    assert_eq!(status.message(), "model: 9000 bytes, expected at most 1024");
}

/// gRPC-core's servers count a ping as a strike if less than 5 minutes have passed since the one
/// before, unless they have sent data meanwhile, and end the connection at the third. 5 minutes are no
/// test, but a client that pings sooner does it within the first seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_pings_no_worker_that_is_slow_to_answer() {
    let worker = Fake::default();
    let gate = worker.gate.clone();
    let url = worker.serve(SPEEDUP).await;
    let pings = Arc::new(AtomicU32::new(0));
    let between = counting_pings(url, Arc::clone(&pings)).await;
    let config = RouterConfig::new(vec![between], PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == 1).await;
    let closed = gate.write().await;
    let asked = tokio::spawn(ask(router.client(), request(prompt(1, 100), 3)));
    within(worker.is_asked()).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!asked.is_finished(), "it still waits");
    assert_eq!(pings.load(Ordering::Relaxed), 0, "pings in 7 s");
    drop(closed);
    asked.abort();
}

/// A way to a server that counts the pings that its clients send of their own accord.
async fn counting_pings(server: String, pings: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, pings) = (TcpStream::connect(&server).await.unwrap(), Arc::clone(&pings));
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(
                    async move { tokio::io::copy(&mut from_server, &mut to_client).await },
                );
                let mut preface = [0; 24];
                from_client.read_exact(&mut preface).await?;
                to_server.write_all(&preface).await?;
                loop {
                    // A frame: its length in 3 bytes, its type, its flags, its stream.
                    let mut frame = vec![0; 9];
                    from_client.read_exact(&mut frame).await?;
                    let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
                    let (kind, is_answer) = (frame[3], frame[4] & 1 == 1);
                    pings.fetch_add(u32::from(kind == 6 && !is_answer), Ordering::Relaxed);
                    frame.resize(9 + length as usize, 0);
                    from_client.read_exact(&mut frame[9..]).await?;
                    to_server.write_all(&frame).await?;
                }
                #[allow(unreachable_code)] // It gives the block its type.
                Ok::<(), std::io::Error>(())
            });
        }
    });
    url
}

/// tonic's server answers CANCELLED at a deadline that passes before the answer begins; clients of other
/// libraries expect DEADLINE_EXCEEDED. tonic's client would end the call itself, so this one is h2 alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_before_the_answer_is_called_so() {
    let worker = Fake::default();
    let gate = worker.gate.clone();
    let _closed = gate.write().await;
    let slow = worker.serve(SPEEDUP).await;
    let config = RouterConfig::new(vec![slow], PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, ..config }).await;
    router.wait(|status| status.joined.len() == 1).await;
    for i in 0..20 {
        for call in ["Generate", "GenerateStream"] {
            let message = raw::bytes(&request(prompt(i, 4_000), 3));
            let timeout = format!("{}m", 20 + i);
            let status = within(status_of(&router.url, call, &timeout, &message)).await;
            assert_eq!(status, "4", "DEADLINE_EXCEEDED of {call}");
        }
    }
}

/// The `grpc-status` of a call with this deadline.
async fn status_of(url: &str, call: &str, timeout: &str, message: &[u8]) -> String {
    let socket = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let head = http::Request::post(format!("{url}/vllm.Inference/{call}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(head, false).unwrap();
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    body.send_data(framed.into(), true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut status = head.headers.get("grpc-status").cloned();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    if let Some(trailers) = body.trailers().await.unwrap() {
        status = status.or(trailers.get("grpc-status").cloned());
    }
    connection.abort();
    status.expect("a status").to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_shows_what_the_listener_serves() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin_url = format!("http://{}", admin.local_addr().unwrap());
    let server = router.server.clone();
    tokio::spawn(async move { server.serve_admin(admin, std::future::pending()).await });
    let siblings = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let siblings_url = format!("http://{}", siblings.local_addr().unwrap());
    let server = router.server.clone();
    tokio::spawn(async move { server.serve_siblings(siblings, std::future::pending()).await });
    let health = "grpc.health.v1.Health";
    let of_worker = [
        "vllm.Inference",
        "vllm.Control",
        "vllm.grpc.engine.VllmEngine",
        "warmpath.v1.WorkerState",
        "warmpath.v1.WorkerCache",
        "warmpath.v1.Pool",
        "warmpath.v1.KvTransfer",
        health,
    ];
    let cases: [(&str, &[&str]); 4] = [
        (&router.url, &["vllm.Inference", "vllm.Control", health]),
        (&workers[0].url(), &of_worker),
        (&admin_url, &["warmpath.v1.RouterAdmin", health]),
        (&siblings_url, &["warmpath.v1.Siblings", health]),
    ];
    for (url, services) in cases {
        let mut expected: Vec<&str> = services.to_vec();
        expected.sort_unstable();
        assert_eq!(listed(url).await, expected, "{url}");
        for service in services {
            assert!(described(url, service).await, "{url} does not describe {service}");
        }
    }
}

/// The services that reflection lists, both versions of it, without reflection itself.
async fn listed(url: &str) -> Vec<String> {
    let channel = || transport::channel(url).unwrap();
    let mut new = v1::server_reflection_client::ServerReflectionClient::new(channel());
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let answers = within(new.server_reflection_info(tokio_stream::once(asked))).await.unwrap();
    let answer = within(answers.into_inner().message()).await.unwrap().unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(services)) =
        answer.message_response
    else {
        panic!("{answer:?}")
    };
    let mut names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked =
        v1alpha::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let answers = within(old.server_reflection_info(tokio_stream::once(asked))).await.unwrap();
    let answer = format!("{:?}", within(answers.into_inner().message()).await.unwrap().unwrap());
    names.retain(|name| !name.starts_with("grpc.reflection."));
    assert!(names.iter().all(|name| answer.contains(name)), "{answer}");
    names.sort_unstable();
    names
}

async fn described(url: &str, service: &str) -> bool {
    let channel = transport::channel(url).unwrap();
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let symbol =
        v1::server_reflection_request::MessageRequest::FileContainingSymbol(service.into());
    let asked = v1::ServerReflectionRequest { message_request: Some(symbol), ..Default::default() };
    let answers = within(client.server_reflection_info(tokio_stream::once(asked))).await.unwrap();
    let answer = within(answers.into_inner().message()).await.unwrap().unwrap();
    format!("{answer:?}").contains("FileDescriptorResponse")
}
