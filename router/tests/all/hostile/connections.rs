//! Connections that do not begin, begin with something else, are many, idle or old.

use super::LONG;
use super::router::Router;
use super::wire::{CONTINUATION, END_HEADERS, HEADERS, Wire, call, field, frame};
use crate::common::{ask, client, prompt, request};
use std::time::Duration;
use warmpath_proto::status::was_not_taken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_ends() {
    for (limits, ends) in [("handshake_s = 0.2", true), ("handshake_s = 1000", false)] {
        let router = Router::with(limits).await;
        let half_open = async {
            let mut silent = Wire::connect(router.address).await;
            let mut slow = Wire::connect(router.address).await;
            slow.send(b"PRI * HTTP/2.0\r\n\r\nSM").await;
            (silent.ends_within(LONG).await, slow.ends_within(LONG).await)
        };
        assert_eq!(router.beside("half-open", 8.0, half_open).await, (ends, ends), "{limits}");
        assert_eq!(router.ended("handshake"), if ends { 2.0 } else { 0.0 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_its_connection_at_once() {
    let router = Router::with("").await;
    let garbage = async {
        let mut all = Vec::new();
        for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xa5; 4_096], &[0; 64]] {
            let mut wire = Wire::connect(router.address).await;
            wire.send(bytes).await;
            all.push(wire.ends_within(LONG).await);
        }
        let mut wire = Wire::open(router.address, &[]).await;
        wire.send(&[0xff; 64]).await;
        all.push(wire.ends_within(LONG).await);
        all
    };
    assert_eq!(router.beside("garbage", 8.0, garbage).await, [true; 4]);
    let mut control = Wire::open(router.address, &[]).await;
    assert!(!control.ends_within(LONG).await, "what is no garbage stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_never_ends_ends_its_connection() {
    for (limits, ends) in [("header_s = 0.2", true), ("header_s = 1000", false)] {
        let router = Router::with(limits).await;
        let slow = async {
            let block = call("/vllm.Inference/Generate", &[]);
            let mut wire = Wire::open(router.address, &[]).await;
            wire.send(&frame(HEADERS, 0, 1, &block)).await;
            wire.send(&frame(CONTINUATION, 0, 1, &[])[..5]).await;
            wire.ends_within(LONG).await
        };
        assert_eq!(router.beside("slow metadata", 8.0, slow).await, ends, "{limits}");
        assert_eq!(router.ended("header"), if ends { 1.0 } else { 0.0 });
    }
}

/// h2 counts the frames too: about as many as the metadata needs at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_without_end_ends_its_connection() {
    let mut taken = Vec::new();
    for limits in ["header_bytes = 4096", "header_bytes = 1048576"] {
        let router = Router::with(limits).await;
        let flood = async {
            let mut wire = Wire::open(router.address, &[]).await;
            let block = call("/vllm.Inference/Generate", &[]);
            wire.send(&frame(HEADERS, 0, 1, &block)).await;
            let more = frame(CONTINUATION, 0, 1, &field("x-more", &"y".repeat(900)));
            let mut sent = 0;
            while sent < 200 && wire.send(&more).await {
                sent += 1;
                if wire.ends_within(Duration::from_millis(2)).await {
                    break;
                }
            }
            sent
        };
        taken.push(router.beside("CONTINUATION flood", 8.0, flood).await);
    }
    assert!(taken[0] <= 6 && taken[1] >= 10 && taken[1] < 60, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_large_metadata_is_refused() {
    for (limits, refused) in [("", true), ("header_bytes = 65536", false)] {
        let router = Router::with(limits).await;
        let large = async {
            let value = "x".repeat(20 << 10);
            let block = call("/vllm.Control/Abort", &[("x-large", &value)]);
            let mut wire = Wire::open(router.address, &[]).await;
            wire.widen().await;
            let (first, rest) = block.split_at(16_000);
            wire.send(&frame(HEADERS, 1, 1, first)).await;
            wire.send(&frame(CONTINUATION, END_HEADERS, 1, rest)).await;
            let (_, _, answer) = wire.next(HEADERS).await.expect("an answer");
            // HPACK's whole field `:status: 200` is one byte.
            answer[0] != 0x88
        };
        assert_eq!(router.beside("large metadata", 8.0, large).await, refused, "{limits}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_so_many_connections() {
    let limits = "connections_per_address = 40\nhandshake_s = 1000";
    let open = "connections_per_address = 100000\nhandshake_s = 1000";
    for (limits, most) in [(limits, 40), (open, 400)] {
        let router = Router::with(limits).await;
        // It has its connection before the others come.
        let many = async {
            let mut all = Vec::new();
            for _ in 0..400 {
                all.push(Wire::connect(router.address).await);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut open = 0;
            for wire in &mut all {
                open += usize::from(!wire.ends_within(Duration::from_millis(1)).await);
            }
            open
        };
        let open = router.beside("many connections", 24.0, many).await;
        assert!(open <= most && open + 2 >= most, "{open} of {most}");
        assert_eq!(router.ended("connections_per_address") > 350.0, most == 40);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends_and_an_old_one_is_replaced_without_a_loss() {
    for (limits, ends) in [("idle_s = 0.2", true), ("idle_s = 1000", false)] {
        let router = Router::with(limits).await;
        let mut idle = Wire::open(router.address, &[]).await;
        // The router's goodbye, which it sends before it closes.
        let goodbye = tokio::time::timeout(LONG, idle.next(7)).await;
        assert_eq!(goodbye.is_ok(), ends, "{limits}");
    }
    let router = Router::with("age_s = 0.1").await;
    let client = client(&format!("http://{}", router.address));
    let mut again = 0;
    for i in 0..80 {
        let asked = || ask(client.clone(), request(prompt(i, 64), 6));
        // A call that comes while its connection leaves was not taken: gRPC's own clients send it again,
        // and ours must.
        if let Err(status) = asked().await {
            assert!(was_not_taken(&status), "{status:?}");
            asked().await.unwrap();
            again += 1;
        }
    }
    assert!(again < 10, "{again} of 80");
    let mut old = Wire::open(router.address, &[]).await;
    assert!(old.next(7).await.is_some(), "it is told to leave");
}
