//! Answers that their clients do not read, and tenants with too many.

use super::LONG;
use super::router::Router;
use super::wire::{
    END_HEADERS, END_STREAM, HEADERS, RESET, Wire, call, frame, framed, message, status_of,
};
use crate::common::{client, prompt, request};
use std::time::Duration;
use tonic::{Code, Request};
use warmpath_proto::raw;
use warmpath_proto::vllm::GenerateRequest;

const GENERATE: &str = "/vllm.Inference/GenerateStream";
/// A setting: a stream's window is 0.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_read_is_cut_and_its_request_cancelled() {
    for (stall, cut) in [("0.3", true), ("1000", false)] {
        let router = Router::with(&format!("stall_s = {stall}")).await;
        let unread = async {
            let mut wire = Wire::open(router.address, &NO_WINDOW).await;
            let asked = raw::bytes(&request(prompt(1, 64), 100_000));
            for stream in (1..40).step_by(2) {
                wire.send(&frame(HEADERS, END_HEADERS, stream, &call(GENERATE, &[]))).await;
                wire.send(&message(stream, &asked, true)).await;
            }
            let reset = tokio::time::timeout(2 * LONG, wire.next(RESET)).await;
            (reset.is_ok(), wire)
        };
        let (was_cut, _wire) = router.beside("slow reader", 16.0, unread).await;
        assert_eq!(was_cut, cut, "{stall}");
        let in_flight = |n: f64| {
            move |router: &Router| router.metric("warmpath_router_requests_in_flight ") == n
        };
        let ended = router.until(|router| router.ended("stall") == 20.0).await;
        assert_eq!(ended, cut);
        let left = if cut { 0.0 } else { 20.0 };
        assert!(router.until(in_flight(left)).await, "the requests are cancelled, or go on");
    }
}

const TENANTS: &str = "secret = \"secret\"\n[[tenants]]\nname = \"a\"\ntoken = \"token-of-tenant-a\"\n\
                       [[tenants]]\nname = \"b\"\ntoken = \"token-of-tenant-b\"\n";

fn of(tenant: &str, asked: GenerateRequest) -> Request<GenerateRequest> {
    let mut asked = Request::new(asked);
    let token = format!("Bearer token-of-tenant-{tenant}");
    asked.metadata_mut().insert("authorization", token.parse().unwrap());
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_too_many_calls_is_refused_and_others_are_not() {
    for (most, refused) in [("2", true), ("100", false)] {
        let lines = format!("{TENANTS}[listener]\nstreams_per_tenant = {most}\n");
        let router = Router::of(&lines).await;
        let mut client = client(&format!("http://{}", router.address));
        let long = |tenant| {
            let mut client = client.clone();
            let asked = of(tenant, request(prompt(1, 64), 100_000));
            async move { client.generate_stream(asked).await }
        };
        let (_first, second) = (long("a").await.unwrap(), long("a").await.unwrap());
        let third = long("a").await;
        assert_eq!(third.is_err(), refused, "{most}");
        if let Err(status) = third {
            assert_eq!(status.code(), Code::ResourceExhausted);
            let expected = "tenant 'a' has 2 calls under way, expected fewer";
            assert_eq!(status.message(), expected);
            assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
        }
        let other = of("b", request(prompt(2, 64), 3));
        assert!(client.generate_stream(other).await.is_ok(), "another tenant");
        drop(second);
        let freed = async {
            while client.generate_stream(of("a", request(prompt(3, 64), 3))).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, freed).await.expect("the place of a call that ended is free");
    }
}

/// Health needs no token, so strangers may not have many such calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_watch_health_without_end() {
    let router = Router::of(TENANTS).await;
    let watch = call("/grpc.health.v1.Health/Watch", &[]);
    let hostile = async {
        let mut wire = Wire::open(router.address, &[]).await;
        wire.widen().await;
        let mut refused = 0;
        for i in 0..300 {
            let stream = i * 2 + 1;
            wire.send(&frame(HEADERS, END_HEADERS, stream, &watch)).await;
            wire.send(&message(stream, &[], true)).await;
            let (flags, _, _) = wire.next(HEADERS).await.expect("an answer");
            // An answer that ends with its headers is an error.
            refused += usize::from(flags & END_STREAM != 0);
        }
        (refused, wire)
    };
    let (refused, _wire) = hostile.await;
    assert_eq!(refused, 300 - 256);
    let mut client = client(&format!("http://{}", router.address));
    let check = "/grpc.health.v1.Health/Check";
    let probed = status_of(router.address, check, framed(&[]), &[]).await.unwrap();
    assert_eq!(probed, (0, String::new()), "a probe is answered");
    assert!(client.generate_stream(of("a", request(prompt(1, 64), 3))).await.is_ok());
}
