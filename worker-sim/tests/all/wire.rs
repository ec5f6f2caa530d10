//! A worker on its own, over a real socket: its answers, its feed, its manners.

use crate::common::*;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::Code;
use warmpath_core::engine::profile::{Fill, Loads, TierSpec};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::tokens::TokenStream;
use warmpath_proto::convert::{SnapshotReader, batch_from_wire, load_from_wire};
use warmpath_proto::v1::WatchRequest;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{
    AbortRequest, GenerateRequest, GetServerInfoRequest, generate_request::Prompt,
};
use warmpath_worker_sim::WorkerConfig;

const W: WorkerId = WorkerId(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_come_on_time_and_coalesced() {
    let worker = Worker::start(config(1.0)).await;
    let asked = request(1, 100, 50);
    let Some(Prompt::TokenIds(prompt)) = asked.prompt.clone() else { panic!("token ids") };
    let begun = Instant::now();
    let all = responses(worker.inference(), asked).await.unwrap();
    let took = begun.elapsed();
    let mut stream = TokenStream::default();
    stream.extend(&prompt.ids);
    let expected: Vec<u32> = (0..50).map(|_| stream.generate()).collect();
    assert_eq!(tokens(&all), expected);
    // 100 prompt tokens take 14 ms (with their pairs 5 µs more), 49 more steps 490 ms.
    assert!(took >= Duration::from_millis(500), "the answer came early, after {took:?}");
    assert!(took < Duration::from_millis(900), "the answer came after {took:?}");
    let first = all[0].outputs.as_ref().unwrap();
    assert_eq!(first.num_tokens, 1, "the first token goes out at once");
    assert_eq!(all[0].prompt_info.as_ref().unwrap().num_prompt_tokens, 100);
    assert!((10..=28).contains(&all.len()), "{} messages in 500 ms, flushed each 20", all.len());
    let finish = all.last().unwrap().outputs.as_ref().unwrap().finish_info.as_ref().unwrap();
    assert_eq!(finish.finish_reason(), FinishReason::Length);
    assert_eq!((finish.num_output_tokens, finish.num_cached_tokens), (50, Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_adds_up_to_what_the_worker_holds() {
    let mut config = config(200.0);
    config.digest_interval_ms = 10;
    config.profile.hbm_tokens = Some(1_600);
    config.profile.tiers = vec![TierSpec {
        pieces: None,
        name: "host".into(),
        tokens: 3_200,
        load_gb_s: 20.0,
        store_gb_s: 20.0,
        latency_us: 50.0,
        eviction: EvictionRule::Lru,
        fill: Fill::Spill,
        loads: Loads::Always,
    }];
    let worker = Worker::start(config).await;
    let mut client = WorkerStateClient::new(worker.channel.clone());
    let mut feed = within(client.watch(WatchRequest {})).await.unwrap().into_inner();
    let (mut index, mut reader) = (PrefixIndex::default(), SnapshotReader::new(W, BLOCK));
    let mut requests = JoinSet::new();
    for i in 0..60u32 {
        let asked = request(u64::from(i % 9), 100 + 10 * (i % 4), 10 + i % 50);
        requests.spawn(responses(worker.inference(), asked));
    }
    let (mut compared, mut batches, mut farther) = (0, 0, 0);
    let mut answered = 0;
    let mut last_seq = None;
    let begun = Instant::now();
    // Until a digest agrees about a time after all is done.
    while answered < 60 || last_seq != index.position(W.into()) {
        while let Some(done) = requests.try_join_next() {
            done.unwrap().unwrap();
            answered += 1;
        }
        assert!(begun.elapsed() < LIMIT, "{answered} answered, {compared} digests");
        let message = within(feed.message()).await.unwrap().expect("a feed that goes on");
        match message.message.unwrap() {
            Message::Hello(hello) => assert_eq!((hello.block_size, hello.speedup), (BLOCK, 200.0)),
            Message::Snapshot(chunk) => {
                if let Some(snapshot) = reader.push(&chunk).unwrap() {
                    index.replace(&snapshot).unwrap();
                }
            }
            Message::Batch(batch) => {
                index.apply(&batch_from_wire(W, BLOCK, &batch).unwrap()).unwrap();
                batches += 1;
            }
            Message::Load(report) => {
                let report = load_from_wire(W, &report).unwrap();
                assert_eq!(index.position(W.into()), Some((report.epoch, report.seq)));
                farther += u32::from(report.blocks_by_tier[1] > 0);
                if let Some(digest) = report.digest {
                    assert_eq!(index.digest(W.into()), digest, "as of batch {}", report.seq);
                    compared += 1;
                    last_seq = Some((report.epoch, report.seq));
                }
            }
            Message::Heartbeat(beat) => {
                assert_eq!(index.position(W.into()), Some((beat.epoch, beat.seq)));
            }
            Message::Draining(_) => panic!("it was not told to drain"),
        }
    }
    assert!(compared >= 2 && batches > 20 && farther > 0, "{compared}, {batches}, {farther}");

    // A later watcher gets the same from the snapshot alone.
    let mut late = within(client.watch(WatchRequest {})).await.unwrap().into_inner();
    let mut second = PrefixIndex::default();
    while second.position(W.into()).is_none() {
        let message = within(late.message()).await.unwrap().expect("a feed that goes on");
        if let Some(Message::Snapshot(chunk)) = message.message
            && let Some(snapshot) = reader.push(&chunk).unwrap()
        {
            second.replace(&snapshot).unwrap();
        }
    }
    // The first feed may still bring batches that the snapshot holds.
    while index.position(W.into()) != second.position(W.into()) {
        let message = within(feed.message()).await.unwrap().expect("a feed that goes on");
        if let Some(Message::Batch(batch)) = message.message {
            index.apply(&batch_from_wire(W, BLOCK, &batch).unwrap()).unwrap();
        }
    }
    assert_eq!(second.digest(W.into()), index.digest(W.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_of_every_size() {
    let mut config = config(100.0);
    config.profile.hbm_tokens = Some(160);
    let worker = Worker::start(config).await;
    for size in [1, BLOCK - 1, BLOCK, BLOCK + 1, 156] {
        let all = responses(worker.inference(), request(1, size, 4)).await.unwrap();
        assert_eq!(tokens(&all).len(), 4, "after {size} tokens");
    }
    let status = responses(worker.inference(), request(1, 157, 4)).await.unwrap_err();
    assert_eq!(status.message(), "request needs 11 blocks, worker holds 10");
    let status = responses(worker.inference(), request(1, 0, 4)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = within(worker.control().get_server_info(GetServerInfoRequest {})).await.unwrap();
    let info = info.into_inner();
    assert_eq!((info.max_model_len, info.total_kv_blocks), (160, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_says_so_and_frees_the_name() {
    let worker = Worker::start(config(1.0)).await;
    let named = GenerateRequest { request_id: "mine".into(), ..request(1, 20, 10_000) };
    let mut client = worker.inference();
    let mut stream = within(client.generate_stream(named.clone())).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    let twice = within(client.generate_stream(named.clone())).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let abort = AbortRequest { request_ids: vec!["mine".into(), "unknown".into()] };
    within(worker.control().abort(abort)).await.unwrap();
    let mut last = None;
    while let Some(response) = within(stream.message()).await.unwrap() {
        last = response.outputs.unwrap().finish_info;
    }
    assert_eq!(last.unwrap().finish_reason(), FinishReason::Aborted);
    drop(stream);
    let short = GenerateRequest { stopping: request(1, 20, 2).stopping, ..named };
    assert_eq!(tokens(&responses(client, short).await.unwrap()).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_requests_finish_and_tells_watchers() {
    let worker = Worker::start(config(20.0)).await;
    let mut state = WorkerStateClient::new(worker.channel.clone());
    let mut feed = within(state.watch(WatchRequest {})).await.unwrap().into_inner();
    let mut client = worker.inference();
    let mut stream =
        within(client.generate_stream(request(1, 20, 600))).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    worker.stop.send_replace(true);
    let draining = within(async {
        while let Some(response) = feed.message().await.unwrap() {
            if matches!(response.message, Some(Message::Draining(_))) {
                return true;
            }
        }
        false
    });
    assert!(draining.await, "watchers are told");
    let refused = responses(client, request(2, 20, 2)).await.unwrap_err();
    assert_eq!(refused.message(), "worker 'worker' is draining");
    let mut made = 1;
    while let Some(response) = within(stream.message()).await.unwrap() {
        made += response.outputs.unwrap().num_tokens;
    }
    assert_eq!(made, 600);
    while within(feed.message()).await.unwrap().is_some() {}
    within(worker.served).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_bounded() {
    let config = WorkerConfig { drain_timeout_ms: 50, ..config(1.0) };
    let worker = Worker::start(config).await;
    let mut client = worker.inference();
    let mut stream =
        within(client.generate_stream(request(1, 20, 9_000))).await.unwrap().into_inner();
    worker.stop.send_replace(true);
    let status = loop {
        match within(stream.message()).await {
            Ok(response) => assert!(response.is_some(), "an unfinished answer ends well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("the worker stopped after "), "{status}");
    within(worker.served).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_answer() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::{v1, v1alpha};
    let worker = Worker::start(config(1.0)).await;
    let mut health = HealthClient::new(worker.channel.clone());
    for service in ["", "liveness", "readiness", "vllm.Inference", "warmpath.v1.Pool"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let answer = within(health.check(asked)).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "'{service}' is serving");
    }
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(worker.channel.clone());
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut answers = within(client.server_reflection_info(tokio_stream::once(asked)))
        .await
        .unwrap()
        .into_inner();
    let answer = within(answers.message()).await.unwrap().unwrap();
    let listed = format!("{answer:?}");
    assert!(listed.contains("warmpath.v1.WorkerState") && listed.contains("grpc.health.v1.Health"));
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(worker.channel.clone());
    let list = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
        "warmpath.v1.WorkerState".into(),
    );
    let asked =
        v1alpha::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut answers = within(client.server_reflection_info(tokio_stream::once(asked)))
        .await
        .unwrap()
        .into_inner();
    let answer = within(answers.message()).await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("FileDescriptorResponse"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_cancels() {
    let worker = Worker::start(config(20.0)).await;
    let mut client = worker.inference();
    let stream = within(client.generate_stream(request(1, 20, 60_000))).await.unwrap();
    let call = tokio::spawn(async move { client.generate(request(2, 20, 60_000)).await });
    let mut state = WorkerStateClient::new(worker.channel.clone());
    let mut feed = within(state.watch(WatchRequest {})).await.unwrap().into_inner();
    let mut next_running = async || loop {
        let response = feed.message().await.unwrap().expect("a feed that goes on");
        if let Some(Message::Load(report)) = response.message {
            return report.running;
        }
    };
    within(async {
        while next_running().await != 2 {}
        drop(stream);
        while next_running().await != 1 {}
        call.abort();
        while next_running().await != 0 {}
    })
    .await;
}
