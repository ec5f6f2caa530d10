//! Answers arrive whole, and the cache is found again.

use crate::common::*;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::transport;
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{GetModelInfoRequest, GetServerInfoRequest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_lose_nothing() {
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let clients: Vec<_> = (0..8).map(|_| router.client()).collect();
    let mut streams = JoinSet::new();
    for i in 0..150u32 {
        let client = clients[i as usize % clients.len()].clone();
        streams.spawn(async move {
            // Some share a prefix, some stand alone; lengths around the edges of blocks.
            let mut text = prompt(u64::from(i % 7), 64);
            text.extend(prompt(1_000 + u64::from(i), 1 + i % 40));
            ask(client, request(text, 1 + i % 60)).await.unwrap()
        });
    }
    let mut used = BTreeSet::new();
    while let Some(done) = within(streams.join_next()).await {
        let (all, worker) = done.unwrap();
        assert_eq!(all.finish.finish_reason(), FinishReason::Length);
        used.insert(worker);
    }
    assert_eq!(used.len(), 3, "a cold fleet fills evenly, not only {used:?}");
    let counts = router.wait_counts(|counts| counts.in_flight == 0).await;
    assert_eq!((counts.booked, counts.resyncs), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sessions_next_turn_finds_its_cache() {
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    for session in 0..6 {
        let mut text = prompt(session, 200);
        let (first, worker) = ask(router.client(), request(text.clone(), 40)).await.unwrap();
        assert_eq!(first.finish.num_cached_tokens, Some(0));
        text.extend(&first.tokens);
        // All but the answer's last token has KV now.
        let cached = (text.len() as u32 - 1) / BLOCK * BLOCK;
        text.extend(prompt(100 + session, 30));
        let (second, again) = ask(router.client(), request(text, 10)).await.unwrap();
        assert_eq!((again, second.finish.num_cached_tokens), (worker, Some(cached)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_salt_finds_nothing() {
    let workers = [TestWorker::start(worker_config())];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let salted = |salt: &str| {
        let mut request = request(prompt(1, 160), 4);
        request.kv.get_or_insert_default().cache_salt = salt.to_owned();
        ask(router.client(), request)
    };
    for (salt, cached) in [("a", 0), ("a", 144), ("b", 0), ("", 0), ("a", 144)] {
        let (all, _) = salted(salt).await.unwrap();
        assert_eq!(all.finish.num_cached_tokens, Some(cached), "salt '{salt}'");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_takes_turns_and_unary_calls_give_the_whole() {
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    let mut turns = Vec::new();
    for i in 0..4 {
        let text = prompt(i, 20);
        let mut whole = request(text.clone(), 30);
        whole.response.as_mut().unwrap().prompt_token_ids = true;
        let response = within(router.client().generate(whole)).await.unwrap();
        let metadata = response.metadata();
        turns.push(metadata.get("x-warmpath-worker").unwrap().to_str().unwrap().to_owned());
        let ns: u64 =
            metadata.get("x-warmpath-router-ns").unwrap().to_str().unwrap().parse().unwrap();
        assert!(ns > 0 && ns < 1_000_000_000, "{ns} ns in the router");
        let whole = response.into_inner();
        assert_eq!(whole.prompt_info.unwrap().token_ids, text);
        let outputs = whole.outputs.unwrap();
        assert_eq!(outputs.token_ids, answer(&text, 30));
        assert_eq!(outputs.finish_info.unwrap().num_output_tokens, 30);
    }
    assert_eq!(turns, ["w0", "w1", "w0", "w1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_looks_like_one_server() {
    let mut limited = worker_config();
    limited.profile.hbm_tokens = Some(64 * u64::from(BLOCK));
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(limited.clone())).collect();
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let info = within(control.get_server_info(GetServerInfoRequest {})).await.unwrap().into_inner();
    assert_eq!((info.kv_block_size, info.total_kv_blocks), (BLOCK, 128));
    let model = within(control.get_model_info(GetModelInfoRequest {})).await.unwrap().into_inner();
    assert_eq!(model.served_model_name, "simulated");
    assert!(model.supports_token_ids_input && !model.supports_text_input);
    let sleeping = within(control.sleep(warmpath_proto::vllm::SleepRequest::default())).await;
    assert_eq!(sleeping.unwrap_err().code(), tonic::Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_of_every_size_are_served_or_refused() {
    let mut limited = worker_config();
    limited.profile.hbm_tokens = Some(20 * u64::from(BLOCK));
    let workers = [TestWorker::start(limited)];
    let router = TestRouter::over(&workers, PolicyConfig::KvAware).await;
    let most = 20 * BLOCK - 4;
    for tokens in [1, BLOCK - 1, BLOCK, BLOCK + 1, most] {
        let (all, _) = ask(router.client(), request(prompt(9, tokens), 4)).await.unwrap();
        assert_eq!(all.tokens.len(), 4, "after {tokens} tokens");
    }
    let refused = |tokens| ask(router.client(), request(prompt(9, tokens), 4));
    let empty = refused(0).await.unwrap_err();
    assert_eq!(empty.message(), "token_ids: 0 ids, expected at least 1");
    // The router knows what the client asked for at most.
    let longer = refused(most + 1).await.unwrap_err();
    assert_eq!(longer.code(), tonic::Code::InvalidArgument);
    let why = "prompt and answer need 21 blocks, the largest worker holds 20";
    assert_eq!(longer.message(), why);
    let larger = refused(20 * BLOCK).await.unwrap_err();
    assert_eq!(larger.code(), tonic::Code::InvalidArgument);
    assert_eq!(larger.message(), "prompt needs 21 blocks, the largest worker holds 20");
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_workers_that_differ_in_size_the_one_with_room_serves() {
    let sized = |blocks: u64| {
        let mut config = worker_config();
        config.profile.hbm_tokens = Some(blocks * u64::from(BLOCK));
        TestWorker::start(config)
    };
    let workers = [sized(20), sized(200)];
    let router = TestRouter::over(&workers, PolicyConfig::RoundRobin).await;
    let mut control = ControlClient::new(transport::channel(&router.url).unwrap());
    let info = within(control.get_server_info(GetServerInfoRequest {})).await.unwrap().into_inner();
    assert_eq!(info.max_model_len, 200 * BLOCK, "the longest that a worker of the fleet serves");
    // Each prompt fits both workers, with its answer only the second.
    for i in 0..4 {
        let (all, _) = ask(router.client(), request(prompt(i, 10), 20 * BLOCK)).await.unwrap();
        assert_eq!(all.tokens.len() as u32, 20 * BLOCK);
    }
    let refused = ask(router.client(), request(prompt(9, 10), 200 * BLOCK)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "no worker could have served it");
    // Another worker of the fleet has not joined, and may be larger: the client may try again.
    let mut config = router_config(&workers, PolicyConfig::RoundRobin);
    config.workers.push("http://127.0.0.1:1".to_owned());
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 2).await;
    let refused = ask(router.client(), request(prompt(9, 10), 200 * BLOCK)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    assert!(refused.message().contains("1 more workers have not joined"), "{refused}");
}
