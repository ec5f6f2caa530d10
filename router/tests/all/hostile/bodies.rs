//! Large, slow and malformed messages.

use super::LONG;
use super::router::Router;
use super::wire::{DATA, END_HEADERS, HEADERS, Wire, call, frame, framed, message, status_of};
use crate::common::{prompt, request};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Code;
use warmpath_proto::raw;
use warmpath_proto::vllm::{AbortRequest, GenerateRequest, MediaItem};

const GENERATE: &str = "/vllm.Inference/GenerateStream";
const ABORT: &str = "/vllm.Control/Abort";

/// 40 at once, each with a name of 12 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_many_megabytes_are_refused_before_they_are_held() {
    let router = Router::with("").await;
    let named = GenerateRequest { request_id: "i".repeat(12_000_000), ..request(prompt(1, 40), 3) };
    let body = raw::Bytes::from(framed(&raw::bytes(&named)));
    let many = async {
        let mut calls = JoinSet::new();
        for _ in 0..40 {
            let (address, body) = (router.address, body.clone());
            calls.spawn(async move { status_of(address, GENERATE, body, &[]).await });
        }
        calls.join_all().await
    };
    for status in router.beside("40 names of 12 MB", 32.0, many).await {
        let why = "request_id: 12000000 bytes, expected at most 1024".to_owned();
        assert_eq!(status, Ok((Code::InvalidArgument as u32, why)));
    }
    // As many bytes that may be a prompt are read to their end.
    let mut long = request(vec![9; 4_000_000], 3);
    long.model = "another".to_owned();
    let (code, why) =
        status_of(router.address, GENERATE, framed(&raw::bytes(&long)), &[]).await.unwrap();
    assert_eq!((code, &*why), (Code::NotFound as u32, "model: 'another', expected 'simulated'"));
}

/// Begins to send a prompt of 12 MB and does not end it.
async fn unfinished(router: &Router) -> Wire {
    let mut wire = Wire::open(router.address, &[]).await;
    wire.send(&frame(HEADERS, END_HEADERS, 1, &call(GENERATE, &[]))).await;
    let prompt = [&[0x22, 0xfa, 0x9a, 0xee, 0x05][..], &[0x81; 11_600_000]].concat();
    let head = [&[0][..], &12_500_000u32.to_be_bytes()].concat();
    wire.send(&frame(DATA, 0, 1, &head)).await;
    let (mut reading, mut writing) = wire.0.into_split();
    // The router says how much it takes.
    let (mut window, mut rest) = (65_000i64, &prompt[..]);
    let sent = tokio::time::timeout(Duration::from_millis(1_500), async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while !rest.is_empty() {
            while window < 16_000 {
                let mut head = [0; 9];
                reading.read_exact(&mut head).await?;
                let [a, b, c, kind, _, _, _, _, stream] = head;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                reading.read_exact(&mut payload).await?;
                if kind == 8 && stream == 1 {
                    window += i64::from(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                }
            }
            let (part, more) = rest.split_at(rest.len().min(16_000));
            writing.write_all(&frame(DATA, 0, 1, part)).await?;
            (window, rest) = (window - part.len() as i64, more);
        }
        Ok::<(), std::io::Error>(())
    });
    let _ = sent.await;
    Wire(reading.reunite(writing).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_take_turns() {
    for (limits, few) in [("", true), ("receiving_bytes = 1000000000", false)] {
        let router = Router::with(&format!("{limits}\nbody_s = 1000")).await;
        let most = if few { 32.0 } else { 1_000.0 };
        let before = router.memory();
        let four = async {
            tokio::join!(
                unfinished(&router),
                unfinished(&router),
                unfinished(&router),
                unfinished(&router)
            )
        };
        let _open = router.beside("4 slow bodies of 12 MB", most, four).await;
        let grown = router.memory() - before;
        assert_eq!(grown < 32.0, few, "'{limits}': {grown} MiB more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_in_time_is_refused() {
    for (body, ends) in [("0.3", true), ("1000", false)] {
        let router = Router::with(&format!("body_s = {body}")).await;
        let slow = async {
            let mut wire = Wire::open(router.address, &[]).await;
            wire.send(&frame(HEADERS, END_HEADERS, 1, &call(GENERATE, &[]))).await;
            let whole = message(1, &raw::bytes(&request(prompt(1, 64), 3)), false);
            // All but the last byte, a little at a time: the frame was announced, so it may be slow.
            for part in whole[..whole.len() - 1].chunks(64) {
                wire.send(part).await;
            }
            tokio::time::timeout(LONG, wire.next(HEADERS)).await.is_ok()
        };
        assert_eq!(router.beside("slow writer", 8.0, slow).await, ends, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_lists_have_a_size() {
    let ids = |n: usize| framed(&raw::bytes(&AbortRequest { request_ids: vec![String::new(); n] }));
    for (limits, code) in [("", Code::ResourceExhausted), ("message_bytes = 4194304", Code::Ok)] {
        let router = Router::with(limits).await;
        let list = status_of(router.address, ABORT, ids(1_000_000), &[]);
        // Where it is read, the good client waits for it.
        let list = match code {
            Code::Ok => list.await,
            _ => router.beside("a list of 1,000,000 ids", 8.0, list).await,
        };
        let (status, why) = list.unwrap();
        assert_eq!(status, code as u32, "{why}");
        let media = vec![MediaItem::default(); 4_000_000];
        let list = framed(&raw::bytes(&GenerateRequest { media, ..request(prompt(1, 40), 3) }));
        let list = status_of(router.address, GENERATE, list, &[]);
        let (status, why) = router.beside("a list of 4,000,000 parts", 32.0, list).await.unwrap();
        assert_eq!(status, Code::InvalidArgument as u32, "{why}");
        assert!(why.starts_with("message: more than 262144 bytes beside token_ids"), "{why}");
        let large = [&[0][..], &(17u32 << 20).to_be_bytes(), &[0x22; 100]].concat();
        let large = status_of(router.address, GENERATE, large, &[]).await.unwrap();
        let why = "message: 17825792 bytes, expected at most 16777216";
        assert_eq!(large, (Code::ResourceExhausted as u32, why.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_is_the_clients_fault() {
    let router = Router::with("").await;
    let cases: [(&str, Vec<u8>, &str); 6] = [
        (GENERATE, framed(&[0x12, 0x09]), "message: "),
        (GENERATE, framed(&[0x0a, 0x02, 0xff, 0xfe]), "message: "),
        (GENERATE, Vec::new(), "message: missing, expected one"),
        (GENERATE, framed(&[0; 9])[..8].to_vec(), "message: it ended after 3 of 9 bytes"),
        (GENERATE, [framed(&[]), framed(&[])].concat(), "message: a second one, expected only one"),
        (ABORT, framed(&[0x0a, 0x09]), "failed to decode Protobuf message"),
    ];
    for (path, body, expected) in cases {
        let (code, why) = status_of(router.address, path, body.clone(), &[]).await.unwrap();
        assert_eq!(code, Code::InvalidArgument as u32, "{path} {body:?}: {why}");
        assert!(why.starts_with(expected), "{path} {body:?}: {why}");
    }
}
