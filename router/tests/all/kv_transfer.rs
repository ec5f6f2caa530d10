//! Prompts that one worker computes and another answers, over real sockets.

use crate::common::fake::Fake;
use crate::common::*;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::transfer::{self, Moved};
use warmpath_proto::vllm::{GenerateRequest, KvCacheParameters};
use warmpath_router::RouterConfig;
use warmpath_router::config::Part;
use warmpath_worker_sim::WorkerConfig;

/// What a token of the test profile takes.
const TOKEN_BYTES: u64 = 100_000;

fn sharing(role: Role) -> WorkerConfig {
    let link = KvTransferLink { gb_s: 100.0, latency_us: 50.0, timeout_ms: 20_000.0, hold_ms: 1e9 };
    WorkerConfig { role, kv_transfer: Some(link), ..worker_config() }
}

fn prefills() -> TestWorker {
    TestWorker::start(sharing(Role::Prefill))
}

/// One that answers one request at a time.
fn decodes_one_by_one() -> TestWorker {
    let mut config = sharing(Role::Decode);
    config.profile.max_num_seqs = 1;
    TestWorker::start(config)
}

fn moved(all: &Collected) -> Option<Moved> {
    transfer::moved_of(all.finish.kv_transfer_params.as_ref().expect("what it found"))
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_on_the_link_are_tokens_times_bytes_per_token() {
    let workers = [prefills(), prefills(), TestWorker::start(sharing(Role::Decode))];
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    let mut asked = Vec::new();
    for i in 0..24 {
        let tokens = 1 + i * 37;
        let call = ask(router.client(), request(prompt(u64::from(i), tokens), 1 + i % 5));
        asked.push((tokens, tokio::spawn(call)));
    }
    let (mut all_tokens, mut all) = (0, Moved::default());
    for (tokens, call) in asked {
        let (collected, worker) = within(call).await.unwrap().expect("an answer");
        assert_eq!(worker, "w2", "the decode worker answers");
        let Moved { tokens: came, bytes } = moved(&collected).expect("its KV was handed over");
        assert_eq!((came, bytes), (u64::from(tokens), u64::from(tokens) * TOKEN_BYTES));
        all_tokens += u64::from(tokens);
        (all.tokens, all.bytes) = (all.tokens + came, all.bytes + bytes);
    }
    assert_eq!(all, Moved { tokens: all_tokens, bytes: all_tokens * TOKEN_BYTES });
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_that_the_decode_worker_has_is_not_sent_again() {
    let workers = [prefills(), TestWorker::start(sharing(Role::Decode))];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let first = ask(router.client(), request(prompt(1, 330), 3)).await.expect("an answer").0;
    assert_eq!(first.finish.num_cached_tokens, Some(0));
    let mut longer = prompt(1, 330);
    longer.extend(prompt(2, 70));
    let second = ask(router.client(), request(longer, 3)).await.expect("an answer").0;
    // Twenty blocks of 16 stand on both sides.
    assert_eq!(second.finish.num_cached_tokens, Some(320), "what was found where it was computed");
    assert_eq!(moved(&second), Some(Moved { tokens: 80, bytes: 80 * TOKEN_BYTES }));
}

/// A long answer that keeps the one decoder busy, once its first token has come.
async fn occupy(router: &TestRouter) -> tonic::Streaming<warmpath_proto::vllm::GenerateResponse> {
    let long = request(prompt(100, 40), 4_000);
    let response = within(router.client().generate_stream(long)).await.expect("it begins");
    let mut stream = response.into_inner();
    within(stream.message()).await.expect("a message").expect("a first token");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefill_worker_killed_before_the_pull_fails_no_request() {
    // On a busy machine the pull may be over before the process is gone.
    for _ in 0..5 {
        if killed_while_held().await.is_none() {
            return;
        }
    }
    panic!("its prompt was pulled each time");
}

/// Kills a prefill worker while a prompt is held on it. What was pulled nevertheless.
async fn killed_while_held() -> Option<Moved> {
    let mut workers = [prefills(), decodes_one_by_one()];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let busy = occupy(&router).await;
    // Accepted by the decoder, where it waits: its prompt is held and not pulled yet.
    let waiting = request(prompt(1, 330), 5);
    let stream = within(router.client().generate_stream(waiting)).await.expect("accepted");
    workers[0].kill();
    drop(busy);
    let collected = within(collect(stream.into_inner())).await.expect("an answer");
    assert_eq!(collected.tokens, answer(&prompt(1, 330), 5));
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
    moved(&collected)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefill_worker_killed_unnoticed_fails_no_request() {
    let mut workers = [prefills(), prefills(), TestWorker::start(sharing(Role::Decode))];
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    workers[1].kill();
    for i in 0..8 {
        ask(router.client(), request(prompt(i, 100), 3)).await.expect("an answer");
    }
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
}

/// It stops as it should, while its prompt is held for one that is busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_prefill_worker_still_sends_the_kv_it_holds() {
    let mut workers = [prefills(), decodes_one_by_one()];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let busy = occupy(&router).await;
    let stream = within(router.client().generate_stream(request(prompt(1, 330), 5))).await;
    let stream = stream.expect("accepted").into_inner();
    workers[0].stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(busy);
    let collected = within(collect(stream)).await.expect("an answer");
    assert_eq!(moved(&collected).map(|moved| moved.tokens), Some(330));
    // Nothing holds it any more.
    workers[0].stopped().await;
}

/// It takes calls and answers none; that it is stuck shows in its feed alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_prefill_worker_fails_no_request() {
    let stuck = Fake { role: Role::Prefill, ..Fake::default() };
    let _gate = stuck.gate.write().await;
    let decoder =
        TestWorker::start(WorkerConfig { model: "m".to_owned(), ..sharing(Role::Decode) });
    let urls = vec![stuck.serve(SPEEDUP).await, decoder.url()];
    let config =
        RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(urls, PolicyConfig::KvAware) };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    let asked = tokio::spawn(ask(router.client(), request(prompt(1, 100), 3)));
    within(stuck.is_asked()).await;
    stuck.silent.store(true, Ordering::Relaxed);
    let (collected, worker) = within(asked).await.unwrap().expect("an answer");
    assert_eq!((worker.as_str(), moved(&collected)), ("w1", None), "the decode worker computed it");
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
    within(stuck.is_told_to_abort()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_releases_its_held_kv() {
    // Room for one prompt, which would be held for ever.
    let mut cramped = sharing(Role::Prefill);
    cramped.profile.hbm_tokens = Some(25 * u64::from(BLOCK));
    let workers = [TestWorker::start(cramped), decodes_one_by_one()];
    // A router with admission would hold the requests itself.
    let config = router_config(&workers, PolicyConfig::KvAware);
    let router = TestRouter::start(RouterConfig { admission: Part::On(false), ..config }).await;
    router.wait(|status| status.joined.len() == 2).await;
    let busy = occupy(&router).await;
    let waiting = request(prompt(1, 330), 5);
    let stream = within(router.client().generate_stream(waiting)).await.expect("accepted");
    let third = tokio::spawn(ask(router.client(), request(prompt(2, 330), 5)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!third.is_finished(), "there is no room for it");
    drop(stream);
    drop(busy);
    let (collected, _) = within(third).await.unwrap().expect("an answer");
    assert_eq!(moved(&collected).map(|moved| moved.tokens), Some(330));
    router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prefill_workers_alone_or_decode_workers_alone_serve_nothing() {
    let mut workers = [prefills(), TestWorker::start(sharing(Role::Decode))];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    workers[1].kill();
    router.wait(|status| status.joined.len() == 1).await;
    let refused = ask(router.client(), request(prompt(1, 10), 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().starts_with("no decode worker takes requests"),
        "{}",
        refused.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_not_name_where_kv_is() {
    let with = |params| GenerateRequest {
        request_id: "r".to_owned(),
        kv: Some(KvCacheParameters { kv_transfer_params: Some(params), ..Default::default() }),
        ..request(prompt(1, 10), 1)
    };
    let workers = [prefills(), TestWorker::start(sharing(Role::Decode))];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let mut elsewhere = transfer::Struct::default();
    transfer::held(&mut elsewhere, "worker-1", "r", Some("127.0.0.1"), 7);
    for params in [transfer::compute(), elsewhere.clone()] {
        let refused = ask(router.client(), with(params)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("kv.kv_transfer_params: "), "{}", refused.message());
    }
    // A worker does what it is told; one that nothing is set up for says so.
    let alone = TestWorker::start(worker_config());
    let refused = ask(client(&alone.url()), with(elsewhere)).await.unwrap_err();
    assert!(refused.message().contains("no [kv_transfer]"), "{}", refused.message());
}
