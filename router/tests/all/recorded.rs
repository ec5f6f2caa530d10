//! An engine's recorded batches, with gaps and restarts in them.

use crate::common::engine::{Recorded, StandIn, publishes, read_all};
use crate::common::{SPEEDUP, TestRouter, TestWorker, ask, prompt, request, within, worker_config};
use std::time::Duration;
use warmpath_core::event::Digest;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;
use warmpath_kv_events::codec::{self, Form};
use warmpath_kv_events::event::Event;
use warmpath_proto::vllm::GetKvEventSourcesRequest;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_router::RouterConfig;
use warmpath_router::engines::EngineConfig;
use warmpath_worker_sim::KvEventsConfig;

/// A worker that was busy, what it published, and what an index has that followed it.
struct Past {
    worker: TestWorker,
    recorded: Recorded,
    end: Digest,
}

async fn past() -> Past {
    let mut config = worker_config();
    config.profile.hbm_tokens = Some(2_048);
    let events = KvEventsConfig::new("tcp://127.0.0.1:0");
    config.kv_events = Some(KvEventsConfig { replay: Some(events.endpoint.clone()), ..events });
    let worker = TestWorker::start(config);
    let router = TestRouter::start(over(&worker, None)).await;
    router.wait(|status| status.joined.len() == 1).await;
    for seed in 0..12 {
        ask(router.client(), request(prompt(seed, 500), 20)).await.unwrap();
    }
    let channel = warmpath_proto::transport::channel(&worker.url()).unwrap();
    let mut control = ControlClient::new(channel);
    let told = control.get_kv_event_sources(GetKvEventSourcesRequest {}).await;
    let source = told.unwrap().into_inner().sources.remove(0);
    assert!(publishes(&source.endpoint).await);
    // Its engine is idle, and announces no more.
    let mut recorded = read_all(&source.replay_endpoint).await;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let again = read_all(&source.replay_endpoint).await;
        if std::mem::replace(&mut recorded, again).len() == recorded.len() {
            break;
        }
    }
    assert!(recorded.len() > 20, "{} batches", recorded.len());
    reaches(&router, recorded.len() as u64).await;
    let (_, end) = router.server.indexed(WorkerId(0));
    assert!(end.blocks > 50, "{end:?}");
    Past { worker, recorded, end }
}

fn over(worker: &TestWorker, stand_in: Option<(&StandIn, bool)>) -> RouterConfig {
    let mut engine = EngineConfig::new(&worker.url(), worker_config().profile);
    if let Some((stand_in, replays)) = stand_in {
        engine.kv_events = stand_in.events.clone();
        engine.kv_events_replay = replays.then(|| stand_in.replay.clone());
    }
    let config = RouterConfig::new(Vec::new(), PolicyConfig::KvAware);
    RouterConfig { speedup: SPEEDUP, worker: vec![engine], ..config }
}

/// Waits until so many batches are in the index.
async fn reaches(router: &TestRouter, batches: u64) {
    within(async {
        while router.server.indexed(WorkerId(0)).0.is_none_or(|(_, seq)| seq < batches) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn indexes(router: &TestRouter, expected: Digest) {
    let arrived = async {
        while router.server.indexed(WorkerId(0)).1 != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), arrived).await;
    assert!(waited.is_ok(), "{expected:?}, got {:?}", router.server.indexed(WorkerId(0)));
}

#[tokio::test]
async fn batches_that_were_lost_on_the_way_are_replayed() {
    let past = past().await;
    for topic in [Some("kv@w"), None] {
        let stand_in = StandIn::start(topic).await;
        let router = TestRouter::start(over(&past.worker, Some((&stand_in, true)))).await;
        router.wait(|status| status.joined.len() == 1).await;
        stand_in.subscribed().await;
        // The router has asked for the past, and gets no more for half a second.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let last = past.recorded.len() as u64 - 3;
        for (&seq, payload) in &past.recorded {
            if seq == last {
                reaches(&router, last).await;
            }
            stand_in.keep(seq, payload);
            // Each third one does not arrive, and neither do the last three.
            if seq % 3 != 1 && seq < last {
                stand_in.send(seq, payload);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        indexes(&router, past.end).await;
        assert_eq!(router.server.counts().resyncs, 0, "with topic {topic:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_empties_what_is_known() {
    let past = past().await;
    let stand_in = StandIn::start(Some("")).await;
    let router = TestRouter::start(over(&past.worker, Some((&stand_in, false)))).await;
    router.wait(|status| status.joined.len() == 1).await;
    stand_in.subscribed().await;
    let half = past.recorded.len() as u64 / 2;
    for (&seq, payload) in past.recorded.range(..half) {
        stand_in.send(seq, payload);
    }
    reaches(&router, half).await;
    assert!(router.server.indexed(WorkerId(0)).1.blocks > 0);
    stand_in.send(half + 1, &past.recorded[&(half + 1)]);
    router.wait_counts(|counts| counts.resyncs == 1).await;
    indexes(&router, Digest::default()).await;
    assert_eq!(router.server.status().borrow().joined.len(), 1, "it still takes requests");
}

#[tokio::test]
async fn a_buffer_that_has_lost_its_start_gives_what_it_has() {
    let past = past().await;
    let stand_in = StandIn::start(Some("")).await;
    past.recorded.iter().for_each(|(&seq, payload)| stand_in.keep(seq, payload));
    stand_in.forget_before(5);
    let router = TestRouter::start(over(&past.worker, Some((&stand_in, true)))).await;
    reaches(&router, past.recorded.len() as u64 - 5).await;
    let known = router.server.indexed(WorkerId(0)).1.blocks;
    assert!(known > 0 && known <= past.end.blocks, "{known} of {}", past.end.blocks);
    assert_eq!(router.server.counts().resyncs, 0);
}

#[tokio::test]
async fn numbers_that_begin_anew_are_another_engine() {
    let past = past().await;
    let stand_in = StandIn::start(Some("")).await;
    let router = TestRouter::start(over(&past.worker, Some((&stand_in, true)))).await;
    router.wait(|status| status.joined.len() == 1).await;
    stand_in.subscribed().await;
    for (&seq, payload) in past.recorded.range(..10) {
        stand_in.keep(seq, payload);
        stand_in.send(seq, payload);
    }
    reaches(&router, 10).await;
    let before = router.server.indexed(WorkerId(0)).0.unwrap().0;
    stand_in.forget_before(u64::MAX);
    past.recorded.iter().for_each(|(&seq, payload)| stand_in.keep(seq, payload));
    stand_in.send(0, &past.recorded[&0]);
    indexes(&router, past.end).await;
    let after = router.server.indexed(WorkerId(0)).0.unwrap().0;
    assert!(after > before, "another epoch");
}

#[tokio::test]
async fn events_that_cannot_be_read_refuse_the_worker_in_one_line() {
    let past = past().await;
    let stand_in = StandIn::start(Some("")).await;
    stand_in.keep(0, &[0x93, 0xc0, 0x90, 0xc0]);
    let router = TestRouter::start(over(&past.worker, Some((&stand_in, true)))).await;
    let status = router.wait(|status| !status.refused.is_empty()).await;
    assert_eq!(status.refused[0].1, "KV events 0: ts: expected a number");
}

/// As versions did that know no salts in their events.
fn without_salts(recorded: &Recorded) -> Recorded {
    let strip = |payload: &Vec<u8>| {
        let (mut batch, _) = codec::decode(payload).unwrap();
        for event in &mut batch.events {
            if let Event::Stored(stored) = event {
                stored.extra_keys = None;
            }
        }
        codec::encode(&batch, Form::Array)
    };
    recorded.iter().map(|(&seq, payload)| (seq, strip(payload))).collect()
}

#[tokio::test]
async fn an_engine_that_names_no_salt_is_followed_where_there_is_only_one() {
    let past = past().await;
    let stand_in = StandIn::start(None).await;
    let old = without_salts(&past.recorded);
    old.iter().for_each(|(&seq, payload)| stand_in.keep(seq, payload));
    let config = over(&past.worker, Some((&stand_in, true)));
    let router = TestRouter::start(config.clone()).await;
    indexes(&router, past.end).await;
    let apart = RouterConfig { sharing: SharingScope::Session, ..config };
    let router = TestRouter::start(apart).await;
    let status = router.wait(|status| !status.refused.is_empty()).await;
    let why = &status.refused[0].1;
    assert!(why.starts_with("its KV events do not say which cache_salt"), "{why}");
}
