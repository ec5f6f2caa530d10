//! Workers that die or are told to stop, one after the other, while clients ask. Each promise has its control: with
//! the mechanism switched off, clients see errors.

use crate::common::*;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use warmpath_core::routing::policy::Warmpath;
use warmpath_router::RouterConfig;
use warmpath_router::config::{Part, ReliabilityConfig};
use warmpath_worker_sim::WorkerConfig;

async fn over(workers: &[TestWorker], reliability: ReliabilityConfig) -> TestRouter {
    let plain = router_config(workers, Warmpath::DEFAULT.into());
    let router = TestRouter::start(RouterConfig { reliability, ..plain }).await;
    router.wait(|status| status.joined.len() == workers.len()).await;
    router
}

/// A router that tries nothing again and resumes nothing.
fn no_tries() -> ReliabilityConfig {
    ReliabilityConfig { retry: Part::On(false), ..ReliabilityConfig::default() }
}

/// Deaths of workers, without a word. Each comes back empty at once.
#[derive(Clone, Copy)]
struct Deaths {
    number: usize,
    every_ms: u64,
    requests: u64,
}

impl Deaths {
    /// What clients see as errors. A wrong, lost or doubled token is a panic.
    async fn errors(self, reliability: ReliabilityConfig) -> Vec<Status> {
        let mut workers: Vec<_> = (0..8).map(|_| TestWorker::start(worker_config())).collect();
        let router = over(&workers, reliability).await;
        let client = router.client();
        let span = Duration::from_millis(self.number as u64 * self.every_ms);
        let questions = tokio::spawn(async move {
            let mut asked = JoinSet::new();
            for i in 0..self.requests {
                // One second each: 2,000 tokens of 10 ms at 20 times the speed.
                asked.spawn(ask(client.clone(), request(prompt(i % 40, 300), 2_000)));
                tokio::time::sleep(span / self.requests as u32).await;
            }
            asked.join_all().await
        });
        for death in 0..self.number {
            tokio::time::sleep(Duration::from_millis(self.every_ms)).await;
            // Each worker in turn, in an order that is not that of their numbers.
            let worker = &mut workers[death * 3 % 8];
            worker.kill();
            let address = worker.address;
            *worker = TestWorker::start_at(address, worker_config());
        }
        let answers = tokio::time::timeout(Duration::from_secs(60), questions).await;
        let answers = answers.expect("no request hangs").unwrap();
        assert_eq!(router.wait_counts(|counts| counts.in_flight == 0).await.booked, 0);
        answers.into_iter().filter_map(Result::err).collect()
    }
}

/// `WARMPATH_SOAK=1` makes it 30 deaths in 60 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deaths_of_workers_lose_no_token() {
    let deaths = match std::env::var_os("WARMPATH_SOAK") {
        Some(_) => Deaths { number: 30, every_ms: 2_000, requests: 5_000 },
        None => Deaths { number: 12, every_ms: 500, requests: 600 },
    };
    let lost = deaths.errors(ReliabilityConfig::default()).await;
    assert_eq!(lost.len(), 0, "of {}: {:?}", deaths.requests, lost.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_further_tries_deaths_of_workers_lose_answers() {
    let deaths = Deaths { number: 4, every_ms: 500, requests: 200 };
    let lost = deaths.errors(no_tries()).await;
    println!("{} of {} answers are lost", lost.len(), deaths.requests);
    // A worker has an eighth of the 100 answers that are under way.
    assert!(lost.len() >= 10, "{} of {}", lost.len(), deaths.requests);
    assert!(lost.iter().all(|status| status.code() == Code::Unavailable), "{:?}", lost.first());
}

/// Each worker is told to stop and is started again when it has stopped. What clients see as errors.
async fn rolling_restart(drain_timeout_ms: u64, reliability: ReliabilityConfig) -> Vec<Status> {
    let config = || WorkerConfig { drain_timeout_ms, ..worker_config() };
    let mut workers: Vec<_> = (0..8).map(|_| TestWorker::start(config())).collect();
    let router = over(&workers, reliability).await;
    let client = router.client();
    let questions = tokio::spawn(async move {
        let mut asked = JoinSet::new();
        for i in 0..600 {
            asked.spawn(ask(client.clone(), request(prompt(i % 40, 300), 200)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        asked.join_all().await
    });
    for worker in &mut workers {
        worker.stop();
        worker.stopped().await;
        let address = worker.address;
        worker.kill();
        *worker = TestWorker::start_at(address, config());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within(questions).await.unwrap().into_iter().filter_map(Result::err).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_costs_no_client_an_error() {
    let drain_timeout_ms = worker_config().drain_timeout_ms;
    let lost = rolling_restart(drain_timeout_ms, ReliabilityConfig::default()).await;
    assert_eq!(lost.len(), 0, "{:?}", lost.first());
}

/// A worker that gives its requests no time to end breaks them off. Further tries would hide that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_drain_a_rolling_restart_breaks_answers_off() {
    let lost = rolling_restart(0, no_tries()).await;
    println!("{} of 600 answers are lost", lost.len());
    assert!(lost.len() >= 8, "{} of 600", lost.len());
    let drained = rolling_restart(worker_config().drain_timeout_ms, no_tries()).await;
    println!("{} of 600 with a drain", drained.len());
    assert!(drained.len() * 2 < lost.len(), "{} with a drain, {}", drained.len(), lost.len());
}
