//! Frames without end: pings, settings, calls that are cancelled at once.

use super::LONG;
use super::router::Router;
use super::wire::{END_HEADERS, HEADERS, PING, RESET, SETTINGS, Wire, call, frame};
use std::time::Duration;

/// A client that sends this again and again. How often it came before its connection ended.
async fn flood(router: &Router, bytes: Vec<u8>, times: usize) -> usize {
    let mut wire = Wire::open(router.address, &[]).await;
    for i in 0..times {
        if !wire.send(&bytes).await {
            return i;
        }
        if i % 16 == 0 && wire.ends_within(Duration::from_micros(200)).await {
            return i;
        }
    }
    if wire.ends_within(Duration::from_millis(300)).await { times - 1 } else { times }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_pings_and_settings_end_their_connections() {
    for (limits, ends) in [("", true), ("empty_frames_per_s = 1000000000", false)] {
        let router = Router::with(limits).await;
        for (name, frame) in [
            ("ping flood", frame(PING, 0, 0, &[7; 8])),
            ("settings flood", frame(SETTINGS, 0, 0, &[])),
            ("flood of unknown frames", frame(99, 0, 0, &[0; 16])),
        ] {
            let ten = frame.repeat(10);
            let came = router.beside(name, 8.0, flood(&router, ten, 300)).await;
            assert_eq!(came < 300, ends, "{name} with '{limits}': {came}");
        }
        assert_eq!(router.ended("empty_frames"), if ends { 3.0 } else { 0.0 });
    }
}

/// The answers fill the socket, and then the router cannot write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_socket_is_cut() {
    for (stall, ends) in [("0.3", true), ("1000", false)] {
        let limits = format!("empty_frames_per_s = 1000000000\nstall_s = {stall}");
        let router = Router::with(&limits).await;
        let unread = async {
            let mut wire = Wire::open(router.address, &[]).await;
            let pings = frame(PING, 0, 0, &[7; 8]).repeat(4_096);
            let sending = async { while wire.send(&pings).await {} };
            tokio::time::timeout(Duration::from_secs(2), sending).await.is_ok()
        };
        assert_eq!(router.beside("unread socket", 8.0, unread).await, ends, "{stall}");
        assert_eq!(router.ended("stall"), if ends { 1.0 } else { 0.0 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rapid_reset_ends_its_connection() {
    let mut most = Vec::new();
    for limits in ["", "pending_resets = 1000000\nempty_frames_per_s = 1000000000"] {
        let router = Router::with(limits).await;
        let resets = async {
            let mut wire = Wire::open(router.address, &[]).await;
            let block = call("/vllm.Inference/GenerateStream", &[]);
            let mut sent = 0;
            for _ in 0..100 {
                let burst: Vec<u8> = (0..100)
                    .flat_map(|i| {
                        let stream = (sent + i) * 2 + 1;
                        let head = frame(HEADERS, END_HEADERS, stream, &block);
                        [head, frame(RESET, 0, stream, &8u32.to_be_bytes())].concat()
                    })
                    .collect();
                if !wire.send(&burst).await || wire.ends_within(Duration::from_millis(1)).await {
                    break;
                }
                sent += 100;
            }
            if wire.ends_within(LONG).await { sent.min(9_999) } else { sent }
        };
        most.push(router.beside("rapid reset", 16.0, resets).await);
        assert!(
            router
                .until(|router| router.metric("warmpath_router_requests_in_flight ") == 0.0)
                .await
        );
    }
    assert!(most[0] < 10_000 && most[1] == 10_000, "{most:?}");
}
