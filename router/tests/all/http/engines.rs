//! Engines that speak OpenAI's HTTP.

use super::client::{get, post};
use super::{COMPLETION, HttpRouter, cached};
use crate::common::certificates::Authority;
use crate::common::http_engine::{Said, header, ranked, response};
use crate::common::*;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use warmpath_core::event::Digest;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{AddWorkerRequest, ListWorkersRequest, RemoveWorkerRequest};
use warmpath_proto::vllm::control_client::ControlClient;
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{
    AbortRequest, DecodingParameters, GenerateRequest, GetKvEventSourcesRequest, RandomSampling,
};
use warmpath_router::RouterConfig;
use warmpath_router::config::Part;
use warmpath_router::engines::{Api, EngineConfig, NONE};
use warmpath_router::secret::Secret;
use warmpath_worker_sim::{KvEventsConfig, WorkerConfig};

/// A worker that publishes, at these ports.
fn publishing([events, replay]: [u16; 2]) -> WorkerConfig {
    let at = |port| format!("tcp://127.0.0.1:{port}");
    let kv_events = KvEventsConfig { replay: Some(at(replay)), ..KvEventsConfig::new(&at(events)) };
    WorkerConfig { kv_events: Some(kv_events), ..worker_config() }
}

/// An engine without events at this address.
fn silent(url: &str) -> EngineConfig {
    EngineConfig {
        api: Api::OpenAi,
        kv_events: NONE.to_owned(),
        block_size: Some(BLOCK),
        blocks: Some(10_000),
        max_num_seqs: Some(256),
        ..EngineConfig::new(url, profile())
    }
}

/// An engine whose events are followed.
async fn engine(worker: &TestWorker) -> EngineConfig {
    let mut control =
        ControlClient::new(warmpath_proto::transport::channel(&worker.url()).unwrap());
    let sources = within(control.get_kv_event_sources(GetKvEventSourcesRequest {})).await.unwrap();
    let source = sources.into_inner().sources.remove(0);
    let kv_events_replay = Some(source.replay_endpoint);
    EngineConfig { kv_events: source.endpoint, kv_events_replay, ..silent(&worker.http_url()) }
}

fn over(urls: Vec<String>, engines: Vec<EngineConfig>) -> RouterConfig {
    let config = RouterConfig::new(urls, PolicyConfig::KvAware);
    RouterConfig { speedup: SPEEDUP, worker: engines, ..config }
}

async fn start(config: RouterConfig, workers: usize) -> HttpRouter {
    let router = HttpRouter::start(config).await;
    let mut status = router.server.status();
    within(status.wait_for(|status| status.joined.len() == workers)).await.unwrap();
    router
}

/// Waits until the router's index has what the worker says that it holds.
async fn agrees(router: &HttpRouter, number: u32, worker: &TestWorker) {
    let digest = std::sync::Mutex::new(Digest::default());
    wait_load(worker, |report| {
        let idle = report.running == 0 && report.waiting == 0;
        if let Some(told) = report.digest.as_ref().filter(|_| idle) {
            *digest.lock().unwrap() = Digest { blocks: told.blocks, xor: told.xor };
        }
        idle && report.digest.is_some()
    })
    .await;
    let expected = digest.into_inner().unwrap();
    assert!(expected.blocks > 0, "the worker holds something");
    within(async {
        while router.server.indexed(WorkerId(number)).1 != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// An answer that takes some 30 s.
fn endless() -> GenerateRequest {
    request(prompt(5, 40), 60_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_by_http_answers_as_by_grpc() {
    let worker = TestWorker::with_http(publishing([0, 0]));
    let router = start(over(Vec::new(), vec![engine(&worker).await]), 1).await;
    for seed in 0..3 {
        let mut asked = request(prompt(seed, 200), 40);
        asked.temperature = Some(0.5);
        asked.sampling = Some(RandomSampling { top_k: Some(0), ..Default::default() });
        asked.response.as_mut().unwrap().prompt_token_ids = true;
        let (all, place) = ask(client(&router.grpc), asked).await.unwrap();
        assert_eq!((all.finish.finish_reason(), &*place), (FinishReason::Length, "w0"));
        assert_eq!(all.finish.num_cached_tokens, Some(0));
    }
    // What a request finds is what its predecessor left, answer and all.
    let mut longer = prompt(2, 200);
    longer.extend(answer(&longer.clone(), 40));
    longer.extend(prompt(9, 100));
    let (all, _) = ask(client(&router.grpc), request(longer, 10)).await.unwrap();
    assert_eq!(all.finish.num_cached_tokens, Some(239 / BLOCK * BLOCK));
    agrees(&router, 0, &worker).await;
    assert_eq!(router.server.counts().resyncs, 0);
    // The same by the router's other front.
    let ids = prompt(1, 200);
    let body = json!({"prompt": ids, "max_tokens": 9, "return_token_ids": true});
    let whole = post(router.at, COMPLETION, &body.to_string()).await.json();
    assert_eq!(whole["choices"][0]["token_ids"], json!(answer(&ids, 9)), "{whole}");
    assert_eq!(cached(&whole), u64::from(199 / BLOCK * BLOCK));
    let models = get(router.at, "/v1/models").await;
    assert_eq!(models.header("x-warmpath-speedup"), Some("20"));
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_client_waits_for_ends_on_the_engine() {
    let worker = TestWorker::with_http(worker_config());
    let router = start(over(Vec::new(), vec![silent(&worker.http_url())]), 1).await;
    // The client leaves.
    let mut stream = within(client(&router.grpc).generate_stream(endless())).await.unwrap();
    assert!(within(stream.get_mut().message()).await.unwrap().is_some());
    drop(stream);
    wait_idle(&worker).await;
    // Its deadline passes.
    let mut call = tonic::Request::new(endless());
    call.set_timeout(Duration::from_millis(200));
    let mut stream = within(client(&router.grpc).generate_stream(call)).await.unwrap();
    let late = loop {
        if let Err(status) = within(stream.get_mut().message()).await {
            break status;
        }
    };
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    wait_idle(&worker).await;
    // It aborts the request by its name.
    let named = GenerateRequest { request_id: "mine".into(), ..endless() };
    let mut stream = within(client(&router.grpc).generate_stream(named)).await.unwrap();
    assert!(within(stream.get_mut().message()).await.unwrap().is_some());
    let mut control = ControlClient::new(warmpath_proto::transport::channel(&router.grpc).unwrap());
    let request_ids = vec!["mine".to_owned()];
    within(control.abort(AbortRequest { request_ids })).await.unwrap();
    let mut last = None;
    while let Some(part) = within(stream.get_mut().message()).await.unwrap() {
        last = part.outputs.and_then(|outputs| outputs.finish_info);
    }
    assert_eq!(last.unwrap().finish_reason(), FinishReason::Aborted);
    router.idle().await;
    wait_idle(&worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_elsewhere_when_its_engine_dies() {
    let mut workers = [(); 2].map(|()| TestWorker::with_http(worker_config()));
    let engines = workers.iter().map(|worker| silent(&worker.http_url())).collect();
    let router = start(over(Vec::new(), engines), 2).await;
    let ids = prompt(1, 100);
    let mut client = client(&router.grpc);
    let stream = within(client.generate_stream(request(ids.clone(), 600))).await.unwrap();
    let busy = match stream.metadata().get("x-warmpath-worker").unwrap().to_str().unwrap() {
        "w0" => 0,
        _ => 1,
    };
    let (mut stream, mut tokens) = (stream.into_inner(), Vec::new());
    while let Some(part) = within(stream.message()).await.unwrap() {
        if tokens.is_empty() {
            workers[busy].kill();
        }
        tokens.extend(part.outputs.unwrap().token_ids);
    }
    assert_eq!(tokens, answer(&ids, 600));
    let resumed = within(stream.trailers()).await.unwrap().unwrap();
    let resumed = resumed.get("x-warmpath-resumed").unwrap().to_str().unwrap();
    assert!(resumed.starts_with(&format!("w{} after ", 1 - busy)), "{resumed}");
    let mut status = router.server.status();
    within(status.wait_for(|status| status.joined.len() == 1)).await.unwrap();
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_by_http_and_by_grpc_make_one_fleet() {
    let workers = [TestWorker::start(worker_config()), TestWorker::with_http(publishing([0, 0]))];
    let engines = vec![engine(&workers[1]).await];
    let router = start(over(vec![workers[0].url()], engines), 2).await;
    let mut homes = Vec::new();
    for seed in 0..8 {
        let (_, home) = ask(client(&router.grpc), request(prompt(seed, 640), 4)).await.unwrap();
        homes.push(home);
    }
    assert!(homes.iter().any(|home| *home != homes[0]), "both serve: {homes:?}");
    for (number, worker) in workers.iter().enumerate() {
        agrees(&router, number as u32, worker).await;
    }
    for (seed, home) in homes.iter().enumerate() {
        let again = request(prompt(seed as u64, 640), 4);
        let (all, worker) = ask(client(&router.grpc), again).await.unwrap();
        assert_eq!((&worker, all.finish.num_cached_tokens), (home, Some(639 / BLOCK * BLOCK)));
    }
}

/// So many ports in a row, twice.
fn ports(ranks: u16) -> [u16; 2] {
    let mut all = Vec::new();
    for first in (20_000..30_000).step_by(16) {
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let first = first + (std::process::id() % 10_000) as u16;
        if (first..first + ranks).all(free) {
            all.push(first);
        }
        if let [events, replay] = all[..] {
            return [events, replay];
        }
    }
    panic!("no free ports")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_data_parallel_rank_is_a_worker() {
    let [events, replay] = ports(2);
    let workers = [0, 1].map(|rank| {
        let mut config = publishing([events + rank, replay + rank]);
        config.kv_events.as_mut().unwrap().data_parallel_rank = rank.into();
        TestWorker::with_http(config)
    });
    let engines = workers.iter().map(|worker| worker.http.unwrap()).collect();
    let (url, connections) = ranked(engines).await;
    let engine = EngineConfig {
        data_parallel_ranks: 2,
        name: "gpu".to_owned(),
        kv_events: format!("tcp://127.0.0.1:{events}"),
        kv_events_replay: Some(format!("tcp://127.0.0.1:{replay}")),
        ..silent(&url)
    };
    let router = start(over(Vec::new(), vec![engine]), 2).await;
    let joined = router.server.status().borrow().joined.clone();
    assert_eq!(joined, [format!("{url}#0"), format!("{url}#1")]);
    let mut homes = Vec::new();
    for seed in 0..8 {
        let (_, home) = ask(client(&router.grpc), request(prompt(seed, 640), 4)).await.unwrap();
        homes.push(home);
    }
    assert!(homes.iter().any(|home| *home != homes[0]), "both ranks serve: {homes:?}");
    // A rank that got another's requests would hold other blocks than its events say.
    for (number, worker) in workers.iter().enumerate() {
        agrees(&router, number as u32, worker).await;
    }
    for (seed, home) in homes.iter().enumerate() {
        let again = request(prompt(seed as u64, 640), 4);
        let (all, worker) = ask(client(&router.grpc), again).await.unwrap();
        assert_eq!((&worker, all.finish.num_cached_tokens), (home, Some(639 / BLOCK * BLOCK)));
    }
    // 16 completions, and two questions for the model.
    assert!(connections.load(Ordering::Relaxed) < 18, "connections are used again");
}

#[tokio::test]
async fn events_of_another_rank_are_refused() {
    let mut config = publishing([0, 0]);
    config.kv_events.as_mut().unwrap().data_parallel_rank = 3;
    let worker = TestWorker::with_http(config);
    let router = HttpRouter::start(over(Vec::new(), vec![engine(&worker).await])).await;
    let mut direct = client(&worker.url());
    within(direct.generate(request(prompt(1, 100), 4))).await.unwrap();
    let mut status = router.server.status();
    let status = within(status.wait_for(|status| !status.refused.is_empty())).await.unwrap();
    let why = "KV events 0: they come from data-parallel rank 3, expected rank 0 here";
    assert_eq!(status.refused[0].1, why);
}

/// What a client is told of an engine that answers so.
async fn told(
    completion: Vec<u8>,
    change: impl FnOnce(&mut EngineConfig),
) -> (Status, Vec<String>) {
    let said = Said::start(completion).await;
    let mut engine = silent(&said.url);
    change(&mut engine);
    let mut config = RouterConfig { speedup: 1.0, ..over(Vec::new(), vec![engine]) };
    config.reliability.retry = Part::On(false);
    let router = start(config, 1).await;
    let sent = within(client(&router.grpc).generate_stream(request(prompt(1, 100), 4))).await;
    let status = match sent {
        Err(status) => status,
        Ok(stream) => match within(stream.into_inner().collect::<Vec<_>>()).await.pop() {
            Some(Err(status)) => status,
            last => panic!("{last:?}"),
        },
    };
    router.idle().await;
    let heads = said.heads.lock().unwrap().clone();
    (status, heads)
}

fn events(events: &str) -> Vec<u8> {
    response("200 OK", "text/event-stream; charset=utf-8", events).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_engine_says_instead_of_an_answer_reaches_the_client() {
    let json = |status: &str, body: &str| response(status, "application/json", body).into_bytes();
    let error = |text: &str| format!(r#"{{"error": {{"message": "{text}", "code": 400}}}}"#);
    let token = r#"data: {"choices": [{"text": "a", "token_ids": [7], "finish_reason": null}]}"#;
    let endless = format!("data: {}", "x".repeat(2 << 20));
    let cases = [
        (json("400 Bad Request", &error("too long")), Code::InvalidArgument, "too long"),
        (json("429 Too Many Requests", ""), Code::ResourceExhausted, "HTTP status 429"),
        (json("404 Not Found", &error("no such model")), Code::NotFound, "no such model"),
        (json("503 Service Unavailable", "busy"), Code::Unavailable, "busy"),
        (json("401 Unauthorized", r#"{"error": "key"}"#), Code::Unavailable, "key"),
        (json("500 Internal Server Error", "<b>"), Code::Unavailable, "<b>"),
        (json("200 OK", "{}"), Code::Unavailable, "its answer is 'application/json'"),
        (b"no HTTP\r\n\r\n".to_vec(), Code::Unavailable, "invalid HTTP"),
        (events(&format!("data: {}\n\n", error("bad"))), Code::InvalidArgument, "bad"),
        (events(&format!("{token}\n\n")), Code::Unavailable, "the stream ended after 1 tokens"),
        (events(&format!("{token}\n\ndata: [DONE]\n\n")), Code::Unavailable, "without saying why"),
        (events("data: no JSON\n\n"), Code::Unavailable, "an event that cannot be read"),
        (events(&endless), Code::Unavailable, "an event of more than 1049776 bytes"),
        (
            events("data: {\"choices\": [{\"text\": \"a\", \"finish_reason\": null}]}\n\n"),
            Code::Unavailable,
            "it sends text without token_ids",
        ),
    ];
    for (completion, code, why) in cases {
        let shown = String::from_utf8_lossy(&completion[..completion.len().min(200)]).into_owned();
        let (status, _) = told(completion, |_| ()).await;
        assert_eq!(status.code(), code, "{status}\n{shown}");
        assert!(status.message().starts_with("worker w0 ("), "{status}\n{shown}");
        assert!(status.message().contains(why), "{status}\n{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_told_the_key_and_the_requests_name() {
    let key = |engine: &mut EngineConfig| engine.api_key = Some(Secret::new("k-123"));
    let (_, heads) = told(events(""), key).await;
    let [head] = &heads[..] else { panic!("{heads:?}") };
    assert!(head.starts_with("POST /v1/completions HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "authorization"), Some("Bearer k-123"));
    assert!(header(head, "x-request-id").is_some_and(|id| !id.is_empty()), "{head}");
    let mut engine = silent("http://h:1");
    key(&mut engine);
    let shown = format!("{engine:?} {}", serde_json::to_string(&engine).unwrap());
    assert!(!shown.contains("k-123"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_reached_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Authority::new(folder.path(), "fleet");
    let tls = Some(fleet.listener("engine", Some(&fleet)));
    let worker = TestWorker::with_http(WorkerConfig { tls, ..worker_config() });
    let engine = silent(&worker.http_url().replace("http:", "https:"));
    let mut config = over(Vec::new(), vec![engine]);
    config.upstream_tls = Some(fleet.reach(Some((&fleet, "router"))));
    let router = start(config, 1).await;
    ask(client(&router.grpc), request(prompt(1, 100), 4)).await.unwrap();
    router.idle().await;
}

/// An operator takes a rank out and puts it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rank_is_removed_and_added_by_its_url() {
    let worker = TestWorker::with_http(worker_config());
    let (url, _) = ranked(vec![worker.http.unwrap(); 2]).await;
    let engine = EngineConfig { data_parallel_ranks: 2, ..silent(&url) };
    let router = start(over(Vec::new(), vec![engine]), 2).await;
    let admin = router.server.admin();
    let removed = RemoveWorkerRequest { number: 1, ..Default::default() };
    within(admin.remove_worker(tonic::Request::new(removed))).await.unwrap();
    let add = async |url: String| {
        let added = admin.add_worker(tonic::Request::new(AddWorkerRequest { url })).await;
        added.map_err(|status| status.message().to_owned())
    };
    let wrong = add(url.clone()).await.unwrap_err();
    assert_eq!(
        wrong,
        format!("url: '{url}' has several ranks, expected one of them, such as {url}#0")
    );
    let wrong = add(format!("{url}#2")).await.unwrap_err();
    assert_eq!(
        wrong,
        format!("url: '{url}#2', expected a rank of an engine that [[worker]] names")
    );
    let known = add(format!("{url}#0")).await.unwrap_err();
    assert_eq!(known, format!("url: '{url}#0' is in the fleet already, as w0"));
    add(format!("{url}#1")).await.unwrap();
    let mut status = router.server.status();
    within(status.wait_for(|status| status.joined.len() == 2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_word_in_openais_http_is_refused_by_name() {
    let worker = TestWorker::with_http(worker_config());
    let router = start(over(Vec::new(), vec![silent(&worker.http_url())]), 1).await;
    let mut asked = request(prompt(1, 100), 4);
    asked.watermarking = Some(false);
    let refused = ask(client(&router.grpc), asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("watermarking: OpenAI's HTTP"), "{refused}");
    let mut asked = request(prompt(1, 100), 4);
    let logit_bias = [(3, 0.5)].into();
    asked.decoding = Some(DecodingParameters { logit_bias, ..Default::default() });
    ask(client(&router.grpc), asked).await.unwrap();
    router.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_is_what_the_metrics_say_where_the_table_does_not() {
    let worker = TestWorker::with_http(worker_config());
    let told = "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"500\"} 1\n";
    let page = Said::start(response("200 OK", "text/plain", told).into_bytes()).await;
    let metrics = Some(format!("{}/metrics", page.url));
    let untold = EngineConfig { block_size: None, blocks: None, ..silent(&worker.http_url()) };
    let router = start(over(Vec::new(), vec![EngineConfig { metrics, ..untold.clone() }]), 1).await;
    let admin = router.server.admin();
    let listed = admin.list_workers(tonic::Request::new(ListWorkersRequest {})).await.unwrap();
    let listed = &listed.get_ref().workers[0];
    assert_eq!((listed.block_size, listed.total_blocks), (16, Some(500)));
    // A page that cannot be read says nothing.
    let metrics = Some(worker.http_url() + "/nowhere");
    let router =
        HttpRouter::start(over(Vec::new(), vec![EngineConfig { metrics, ..untold }])).await;
    let mut status = router.server.status();
    let status = within(status.wait_for(|status| !status.refused.is_empty())).await.unwrap();
    let why =
        "it does not say how many tokens its blocks have, expected block_size in its [[worker]]";
    assert_eq!(status.refused[0].1, why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_does_not_serve_the_model_says_so() {
    let worker = TestWorker::with_http(worker_config());
    let engine = EngineConfig { model: Some("other".to_owned()), ..silent(&worker.http_url()) };
    let router = HttpRouter::start(over(Vec::new(), vec![engine])).await;
    let mut status = router.server.status();
    let status = within(status.wait_for(|status| !status.refused.is_empty())).await.unwrap();
    assert_eq!(status.refused[0].1, "its model is 'simulated', expected 'other'");
}
