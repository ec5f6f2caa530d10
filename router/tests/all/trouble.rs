//! Workers in trouble: clients lose nothing, and the worker leaves rotation. Each promise has its control:
//! without the mechanism it is broken.

use crate::common::fake::Fake;
use crate::common::faulty::{Faulty, Passing, Trouble};
use crate::common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use warmpath_core::routing::attempt::TimeLimits;
use warmpath_core::routing::policy::{LeastLoaded, PolicyConfig, Warmpath};
use warmpath_core::routing::retry::{RetryBudget, RetryLimits};
use warmpath_proto::listening;
use warmpath_proto::raw;
use warmpath_proto::transport;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{ListWorkersRequest, WorkerStanding};
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::vllm::{
    GenerateRequest, GenerateResponse, RandomSampling, ResponseOptions, SequenceOutput,
};
use warmpath_router::RouterConfig;
use warmpath_router::config::{Part, ReliabilityConfig};

async fn fleet(of: usize) -> Vec<Faulty> {
    let mut workers = Vec::new();
    for _ in 0..of {
        workers.push(Faulty::start(worker_config()).await);
    }
    workers
}

fn config(workers: &[Faulty], policy: PolicyConfig) -> RouterConfig {
    let urls = workers.iter().map(|worker| worker.url.clone()).collect();
    RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(urls, policy) }
}

/// With another limit between two tokens.
fn with_gap(config: RouterConfig, gap_s: f64) -> RouterConfig {
    let time = TimeLimits { gap_s, ..TimeLimits::default() };
    let reliability = ReliabilityConfig { time: Part::With(time), ..Default::default() };
    RouterConfig { reliability, ..config }
}

async fn over(config: RouterConfig) -> TestRouter {
    let workers = config.workers.len();
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == workers).await;
    router
}

/// Asks so many questions, one each so often. Gives what became of each, and how long it took.
async fn ask_all(
    router: &TestRouter,
    questions: u64,
    every: Duration,
    tokens: u32,
) -> Vec<(Result<String, Status>, Duration)> {
    let client = router.client();
    let mut asked = JoinSet::new();
    for i in 0..questions {
        let client = client.clone();
        asked.spawn(async move {
            let begun = Instant::now();
            let answer = ask(client, request(prompt(i, 200), tokens)).await;
            (answer.map(|(_, worker)| worker), begun.elapsed())
        });
        tokio::time::sleep(every).await;
    }
    within(asked.join_all()).await
}

fn errors(answers: &[(Result<String, Status>, Duration)]) -> Vec<&Status> {
    answers.iter().filter_map(|(answer, _)| answer.as_ref().err()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_fails_at_once_gets_few_requests_and_no_client_sees_it() {
    for policy in [PolicyConfig::KvAware, LeastLoaded::DEFAULT.into(), Warmpath::DEFAULT.into()] {
        let workers = fleet(2).await;
        workers[1].set(Trouble::Fails);
        let router = over(config(&workers, policy)).await;
        let answers = ask_all(&router, 200, Duration::from_millis(5), 20).await;
        assert_eq!(errors(&answers).len(), 0, "{policy}: {:?}", errors(&answers).first());
        // Three failures, and the probes of one second.
        assert!(workers[1].calls() <= 6, "{policy}: {} calls", workers[1].calls());
        let listed = router.server.admin().list_workers(Request::new(ListWorkersRequest {})).await;
        let listed = listed.unwrap().into_inner().workers;
        assert_eq!(listed[0].standing(), WorkerStanding::Joined, "{:?}", listed[0]);
        assert_eq!(listed[1].standing(), WorkerStanding::Ejected, "{:?}", listed[1]);
        assert!(listed[1].why.starts_with("calls failed before the first token; "), "{listed:?}");
        // Well again, it comes back.
        workers[1].set(Trouble::None);
        let before = workers[1].calls();
        within(async {
            let mut i = 1_000;
            while workers[1].calls() < before + 20 {
                let mut both = JoinSet::new();
                for _ in 0..4 {
                    both.spawn(ask(router.client(), request(prompt(i, 200), 20)));
                    i += 1;
                }
                both.join_all().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_mechanism_a_failing_worker_takes_most_requests() {
    let workers = fleet(2).await;
    workers[1].set(Trouble::Fails);
    let config = config(&workers, LeastLoaded::DEFAULT.into());
    let router = over(RouterConfig { reliability: ReliabilityConfig::OFF, ..config }).await;
    let answers = ask_all(&router, 200, Duration::from_millis(5), 200).await;
    assert!(errors(&answers).len() > 100, "{} errors", errors(&answers).len());
    assert_eq!(errors(&answers)[0].code(), Code::Unavailable);
}

/// The worker takes calls and answers none, or does not even take them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_is_out_within_two_seconds() {
    for trouble in [Trouble::NoHeaders, Trouble::NoTokens] {
        let workers = fleet(3).await;
        workers[2].set(trouble);
        let router = over(config(&workers, PolicyConfig::RoundRobin)).await;
        let begun = Instant::now();
        let answers = ask_all(&router, 300, Duration::from_millis(10), 20).await;
        assert_eq!(errors(&answers).len(), 0, "{trouble:?}: {:?}", errors(&answers).first());
        let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
        assert!(slowest < Duration::from_secs(3), "{trouble:?}: the slowest took {slowest:?}");
        assert!(begun.elapsed() < Duration::from_secs(7));
        // In 3 s a third of 300 requests would be 100.
        let calls = workers[2].calls();
        assert!(calls < 60, "{trouble:?}: {calls} calls");
        router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_slow_leaves_rotation() {
    let workers = fleet(3).await;
    let router = over(config(&workers, PolicyConfig::RoundRobin)).await;
    ask_all(&router, 30, Duration::from_millis(5), 20).await;
    workers[2].set(Trouble::Late(Duration::from_millis(700)));
    ask_all(&router, 100, Duration::from_millis(20), 20).await;
    let calls = workers[2].calls();
    let answers = ask_all(&router, 100, Duration::from_millis(10), 20).await;
    let more = workers[2].calls() - calls;
    assert!(more <= 3, "{more} of 100 requests went to it");
    assert_eq!(errors(&answers).len(), 0);
}

/// An answer as its client sees it, with the trailing metadata.
async fn read(
    router: &TestRouter,
    request: GenerateRequest,
) -> Result<(Vec<GenerateResponse>, Vec<String>), Status> {
    let mut stream = within(router.client().generate_stream(request)).await?.into_inner();
    let mut parts = Vec::new();
    while let Some(part) = within(stream.message()).await? {
        parts.push(part);
    }
    let trailers = within(stream.trailers()).await?.unwrap_or_default();
    let resumed = trailers.get_all("x-warmpath-resumed").iter();
    Ok((parts, resumed.map(|value| value.to_str().unwrap().to_owned()).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_goes_on_on_another_worker() {
    let workers = fleet(2).await;
    let router = over(with_gap(config(&workers, PolicyConfig::RoundRobin), 0.5)).await;
    let text = prompt(3, 100);
    let troubles = [
        Trouble::BreaksAfter(3),
        Trouble::EndsAfter(3),
        Trouble::StallsAfter(3),
        Trouble::NoTokens,
    ];
    for (i, trouble) in troubles.into_iter().cycle().take(8).enumerate() {
        // The rule alternates, and each round takes two attempts.
        workers[0].set(trouble);
        workers[1].set(Trouble::None);
        let asks_ids = i < 4;
        let options = ResponseOptions { output_token_ids: asks_ids, ..Default::default() };
        let asked = GenerateRequest { response: Some(options), ..request(text.clone(), 60) };
        let (parts, resumed) = read(&router, asked).await.unwrap();
        let outputs: Vec<_> = parts.iter().map(|part| part.outputs.clone().unwrap()).collect();
        let count: u32 = outputs.iter().map(|part| part.num_tokens).sum();
        assert_eq!(count, 60, "{trouble:?}");
        let ids: Vec<u32> = outputs.iter().flat_map(|part| part.token_ids.clone()).collect();
        let expected = if asks_ids { answer(&text, 60) } else { Vec::new() };
        assert_eq!(ids, expected, "{trouble:?}");
        let infos = parts.iter().filter_map(|part| part.prompt_info.as_ref());
        let prompts: Vec<u32> = infos.map(|info| info.num_prompt_tokens).collect();
        assert_eq!(prompts, [100], "{trouble:?}");
        let finish = outputs.last().unwrap().finish_info.as_ref().unwrap();
        assert_eq!(finish.num_output_tokens, 60);
        assert!(finish.num_cached_tokens.unwrap() <= 100, "of the client's own prompt");
        let after = if trouble == Trouble::NoTokens { "w1 after 0" } else { "w1 after " };
        assert!(resumed.len() == 1 && resumed[0].starts_with(after), "{trouble:?}: {resumed:?}");
        router.wait_counts(|counts| counts.in_flight == 0 && counts.booked == 0).await;
        // A good answer from the first worker ends its row of failures.
        workers[0].set(Trouble::None);
        for i in 0..4 {
            ask(router.client(), request(prompt(50 + i, 30), 5)).await.unwrap();
        }
    }
}

/// The host lost its power, so no connection says that the process is gone. But another one took its place, and a
/// request must not wait for what it will not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_a_process_that_was_replaced_goes_on_elsewhere() {
    let (mut behind, other) =
        (TestWorker::start(worker_config()), TestWorker::start(worker_config()));
    let passing = Passing::new(transport::channel(&behind.url()).unwrap(), Arc::new(|feed| feed));
    passing.set(Trouble::NoTokens);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(listening::serve(listener, passing.listening(), std::future::pending()));
    let plain = RouterConfig::new(vec![url, other.url()], PolicyConfig::RoundRobin);
    let reliability = ReliabilityConfig { time: Part::On(false), ..Default::default() };
    let router = over(RouterConfig { speedup: SPEEDUP, reliability, ..plain }).await;
    let asked = tokio::spawn(ask(router.client(), request(prompt(1, 40), 20)));
    router.wait_counts(|counts| counts.in_flight == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let address = behind.address;
    behind.kill();
    behind = TestWorker::start_at(address, worker_config());
    let (_, worker) = within(asked).await.unwrap().unwrap();
    assert_eq!(worker, "w0", "where it was first");
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    drop(behind);
}

/// The client has all of the answer, and only the end of the stream is missing. It must not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stalls_after_its_last_message_holds_up_no_client() {
    let workers = fleet(1).await;
    let router = over(config(&workers, PolicyConfig::RoundRobin)).await;
    workers[0].set(Trouble::StallsAfter(usize::MAX));
    let begun = Instant::now();
    ask(router.client(), request(prompt(1, 40), 20)).await.unwrap();
    let whole = within(router.client().generate(request(prompt(2, 40), 20))).await.unwrap();
    let outputs = whole.into_inner().outputs.unwrap();
    assert_eq!(outputs.token_ids, answer(&prompt(2, 40), 20));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
}

/// What the next worker could not go on with exactly is not resumed: the client hears of the failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_depends_on_more_than_its_tokens_is_not_resumed() {
    let workers = fleet(2).await;
    let router = over(config(&workers, PolicyConfig::RoundRobin)).await;
    workers.iter().for_each(|worker| worker.set(Trouble::BreaksAfter(3)));
    let sampling = Some(RandomSampling { seed: Some(7), ..Default::default() });
    let seeded = GenerateRequest { sampling, ..request(prompt(3, 100), 60) };
    let status = read(&router, seeded.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("the engine is dead"), "{status}");
    // Before its first token it is tried again like any other.
    workers.iter().for_each(|worker| worker.set(Trouble::None));
    workers[0].set(Trouble::Fails);
    for _ in 0..2 {
        assert_eq!(read(&router, seeded.clone()).await.unwrap().1, [""; 0]);
    }
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
}

/// The answer has all its tokens, and only the end is missing. That is known of one answer, not of two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_its_end_is_complete_only_if_it_could_be_resumed() {
    let part = |id| {
        let outputs = SequenceOutput { num_tokens: 1, token_ids: vec![id], ..Default::default() };
        raw::bytes(&GenerateResponse { outputs: Some(outputs), ..Default::default() })
    };
    let fake = Fake { messages: Arc::new((1..=3).map(part).collect()), ..Fake::default() };
    let urls = vec![fake.serve(SPEEDUP).await];
    let plain = RouterConfig::new(urls, PolicyConfig::KvAware);
    let router = over(RouterConfig { speedup: SPEEDUP, ..plain }).await;
    let asked = request(prompt(1, 40), 3);
    let (parts, _) = read(&router, asked.clone()).await.unwrap();
    let last = parts.last().unwrap().outputs.as_ref().unwrap().finish_info.as_ref().unwrap();
    assert_eq!((last.num_output_tokens, last.finish_reason()), (3, FinishReason::Length));
    let sampling = Some(RandomSampling { seed: Some(7), ..Default::default() });
    let status = read(&router, GenerateRequest { sampling, ..asked }).await.unwrap_err();
    assert!(status.message().contains("the stream ended after 3 tokens"), "{status}");
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
}

/// A request that kills its worker must not go through the fleet, and must not cost a second worker its
/// place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_everywhere_is_tried_twice() {
    let workers = fleet(4).await;
    workers.iter().for_each(|worker| worker.set(Trouble::FailsAt(77)));
    let router = over(config(&workers, PolicyConfig::RoundRobin)).await;
    let mut texts = BTreeMap::new();
    for i in 0..2 {
        let status = ask(router.client(), request(prompt(i, 77), 5)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        *texts.entry(status.message().split(';').next_back().unwrap().to_owned()).or_insert(0) += 1;
    }
    let why = " given up after 2 tries: it failed on its workers, so the request may be at fault";
    assert_eq!(texts, BTreeMap::from([(why.to_owned(), 2)]));
    assert_eq!(workers.iter().map(Faulty::calls).sum::<usize>(), 4);
    let answers = ask_all(&router, 40, Duration::from_millis(5), 5).await;
    assert_eq!(errors(&answers).len(), 0);
    let calls: Vec<usize> = workers.iter().map(Faulty::calls).collect();
    assert!(calls.iter().all(|&calls| calls >= 10), "all are in rotation: {calls:?}");
}

/// All workers fail: retries must not multiply the load. Without a budget they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_tries_have_a_budget() {
    let without = RetryBudget { share: 1.0, per_s: 1e6, most: 1e6, at_first: 1e6 };
    for (budget, is_kept) in [(RetryBudget::default(), true), (without, false)] {
        let workers = fleet(4).await;
        workers.iter().for_each(|worker| worker.set(Trouble::Fails));
        let config = config(&workers, LeastLoaded::DEFAULT.into());
        let retry = Part::With(RetryLimits { budget, ..RetryLimits::default() });
        let reliability = ReliabilityConfig { retry, ..Default::default() };
        let router = over(RouterConfig { reliability, ..config }).await;
        let begun = Instant::now();
        let answers = ask_all(&router, 300, Duration::from_millis(3), 5).await;
        assert_eq!(errors(&answers).len(), 300);
        let calls: usize = workers.iter().map(Faulty::calls).sum();
        // 20 % of the requests, and 10 a second of which one second was saved up.
        let most = 300.0 * 1.2 + 10.0 * (begun.elapsed().as_secs_f64() + 1.0) + 1.0;
        assert!(calls >= 300, "{calls} calls");
        assert_eq!(calls <= most as usize, is_kept, "{calls} calls, at most {most}");
    }
}

/// The client reads nothing for a while. That is not its worker's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_its_worker_nothing() {
    let workers = fleet(1).await;
    let router = over(with_gap(config(&workers, PolicyConfig::KvAware), 0.3)).await;
    let text = prompt(1, 40);
    let asked = request(text.clone(), 2_000);
    let stream = within(router.client().generate_stream(asked)).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(within(collect(stream)).await.unwrap().tokens, answer(&text, 2_000));
    assert_eq!(workers[0].calls(), 1);
}
