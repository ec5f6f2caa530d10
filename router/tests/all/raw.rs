//! Answers cross the router byte for byte, whatever is in them.

use crate::common::fake::Fake;
use crate::common::*;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transport;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::{AbortRequest, GenerateRequest, TokenIds, generate_request::Prompt};
use warmpath_router::RouterConfig;

async fn over(fake: &Fake) -> TestRouter {
    let workers = vec![fake.serve(SPEEDUP).await];
    let config =
        RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(workers, PolicyConfig::KvAware) };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    router
}

fn raw_client(router: &TestRouter) -> InferenceClient<tonic::transport::Channel> {
    InferenceClient::new(transport::channel(&router.url).unwrap())
}

/// Odd, and yet what protobuf allows.
fn odd_answer() -> Vec<Bytes> {
    [
        // Nothing at all.
        &[][..],
        // An unknown field, and a group.
        &[0xf0, 0x01, 0x07, 0xf3, 0x01, 0x08, 0x01, 0xf4, 0x01],
        // The prompt's info after the outputs; a text before the count of tokens.
        &[0x12, 0x05, 0x12, 0x01, b'x', 0x18, 0x01, 0x0a, 0x02, 0x08, 0x03],
        // The outputs in two pieces, the count in more bytes than it needs.
        &[0x12, 0x03, 0x12, 0x01, b'y', 0x12, 0x03, 0x18, 0x82, 0x00],
        // The end in two pieces: 2 cached tokens, then a reason of tomorrow.
        &[0x12, 0x04, 0x42, 0x02, 0x48, 0x02, 0x12, 0x04, 0x42, 0x02, 0x10, 0x4d],
    ]
    .map(Bytes::from_static)
    .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_answer_passes_byte_for_byte() {
    let fake = Fake { messages: Arc::new(odd_answer()), ..Fake::default() };
    let router = over(&fake).await;
    let asked = GenerateRequest { request_id: "mine".into(), ..request(prompt(1, 100), 4) };
    let message = raw::bytes(&asked);
    let mut stream =
        within(raw_client(&router).generate_stream(message)).await.unwrap().into_inner();
    let mut answer = Vec::new();
    while let Some(message) = within(stream.message()).await.unwrap() {
        answer.push(message);
    }
    assert_eq!(answer, odd_answer());
    let counts = router.wait_counts(|counts| counts.in_flight == 0).await;
    assert_eq!(counts.booked, 0, "the end was noticed");

    let mut seen = raw::request(&fake.requests.lock().unwrap()[0]).unwrap();
    assert!(seen.request_id.starts_with("warmpath-"), "{}", seen.request_id);
    assert_eq!(seen.kv.take().unwrap().cache_salt.len(), 64);
    seen.request_id = "mine".into();
    assert_eq!(seen, asked);
    assert!(fake.aborted.lock().unwrap().is_empty(), "nothing was cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_ends_the_stream_and_names_the_worker() {
    let torn = Bytes::from_static(&[0x12, 0x09, 0x18]);
    let fake = Fake { messages: Arc::new(vec![torn]), ..Fake::default() };
    let router = over(&fake).await;
    let status = ask(router.client(), request(prompt(1, 20), 4)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("worker w0 ("), "{status}");
    assert!(status.message().contains("a message of its answer"), "{status}");
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    // And the other way: no request.
    let mut client = raw_client(&router);
    let status = within(client.generate_stream(Bytes::from_static(&[0x12, 0x09]))).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_in_pieces_arrives_whole() {
    let fake = Fake { messages: Arc::new(odd_answer()), ..Fake::default() };
    let router = over(&fake).await;
    let part = |ids: &[u32]| {
        let ids = Some(Prompt::TokenIds(TokenIds { ids: ids.to_vec() }));
        raw::bytes(&GenerateRequest { prompt: ids, ..Default::default() })
    };
    let message = [part(&[1, 2]), part(&[3])].concat();
    within(raw_client(&router).generate_stream(Bytes::from(message))).await.unwrap();
    let seen = raw::request(&fake.requests.lock().unwrap()[0]).unwrap();
    assert_eq!(seen.prompt, Some(Prompt::TokenIds(TokenIds { ids: vec![1, 2, 3] })));
}

/// A worker forgets an abort that comes before its request, so it is told once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_waits_for_its_request_to_arrive() {
    let fake = Fake { messages: Arc::new(odd_answer()), ..Fake::default() };
    let router = over(&fake).await;
    let held = fake.gate.write().await;
    let asked = GenerateRequest { request_id: "mine".into(), ..request(prompt(1, 100), 4) };
    let mut client = raw_client(&router);
    let call = tokio::spawn(async move { client.generate_stream(raw::bytes(&asked)).await });
    within(async {
        while fake.requests.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let request_ids = vec!["mine".to_owned()];
    within(control.abort(AbortRequest { request_ids })).await.unwrap();
    assert_eq!(fake.aborted.lock().unwrap().len(), 1);
    drop(held);
    within(call).await.unwrap().unwrap();
    within(async {
        while fake.aborted.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let seen = raw::request(&fake.requests.lock().unwrap()[0]).unwrap();
    assert!(fake.aborted.lock().unwrap().iter().all(|id| *id == seen.request_id));
}
