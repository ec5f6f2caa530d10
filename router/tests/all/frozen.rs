//! A worker's process is frozen by SIGSTOP while it answers. Its connections stay open, and nothing says that it is
//! stuck except that it says nothing.

use crate::common::*;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::vllm::GenerateRequest;
use warmpath_router::RouterConfig;
use warmpath_router::config::ReliabilityConfig;

/// Set in the process that is a worker.
const IS_WORKER: &str = "WARMPATH_TEST_IS_WORKER";

/// A worker in a process of its own, which is this program once more.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "frozen::as_a_worker", "--nocapture"]);
        command.env(IS_WORKER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut urls =
            lines.filter_map(|line| Some(line.unwrap().split_once("serves ")?.1.to_owned()));
        let url = urls.next().expect("where it serves");
        Self { child, url }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    /// This ends a frozen process too.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "a process that another test starts"]
async fn as_a_worker() {
    if std::env::var_os(IS_WORKER).is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("serves http://{}", listener.local_addr().unwrap());
    // It ends with the process that started it.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let ended = async move { drop(ended.await) };
    warmpath_worker_sim::serve(listener, worker_config(), ended).await.unwrap();
}

/// The longest time without a message of an answer. Every token of the answer is checked.
async fn longest_gap(
    mut client: Client,
    asked: GenerateRequest,
    text: &[u32],
) -> Result<Duration, Status> {
    let tokens = asked.stopping.as_ref().unwrap().max_new_tokens;
    let mut stream = within(client.generate_stream(asked)).await?.into_inner();
    let (mut got, mut longest, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
    while let Some(part) = within(stream.message()).await? {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        got.extend(part.outputs.expect("outputs").token_ids);
    }
    assert_eq!(got, answer(text, tokens), "tokens were lost, doubled or moved");
    Ok(longest)
}

/// Freezes one of three workers while each of them answers. Gives the longest gap of each answer.
async fn freeze(reliability: ReliabilityConfig) -> Vec<Result<Duration, Status>> {
    let workers: Vec<_> = (0..3).map(|_| Process::start()).collect();
    let urls = workers.iter().map(|worker| worker.url.clone()).collect();
    let config = RouterConfig::new(urls, PolicyConfig::RoundRobin);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, reliability, ..config }).await;
    router.wait(|status| status.joined.len() == 3).await;
    let mut asked = JoinSet::new();
    for i in 0..30 {
        let (client, text) = (router.client(), prompt(i, 100));
        // Some 2 s each: 4,000 tokens of 10 ms at 20 times the speed.
        asked.spawn(async move { longest_gap(client, request(text.clone(), 4_000), &text).await });
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    workers[1].signal("-STOP");
    let answers = within(asked.join_all()).await;
    workers[1].signal("-CONT");
    router.wait(|status| status.joined.len() == 3).await;
    // What it was asked before is not asked for any more.
    assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
    wait_idle_at(&workers[1].url).await;
    for i in 0..6 {
        ask(router.client(), request(prompt(100 + i, 40), 20)).await.unwrap();
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_a_frozen_process_go_on_elsewhere() {
    let answers = freeze(ReliabilityConfig::default()).await;
    let gaps: Result<Vec<_>, _> = answers.into_iter().collect();
    let mut gaps = gaps.unwrap();
    gaps.sort();
    println!("gaps from {:?} to {:?}", gaps[0], gaps[29]);
    let moved = gaps.iter().filter(|gap| **gap > Duration::from_secs(1)).count();
    assert_eq!(moved, 10, "each worker has a third of the answers: {gaps:?}");
    // After 1.75 s of silence, of the feed and of the answer.
    assert!(gaps[29] < Duration::from_millis(2_400), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_mechanism_answers_of_a_frozen_process_break_off() {
    let answers = freeze(ReliabilityConfig::OFF).await;
    let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(lost.len(), 10, "{:?}", lost.first());
    assert!(lost.iter().all(|status| status.code() == Code::Unavailable), "{:?}", lost.first());
}
