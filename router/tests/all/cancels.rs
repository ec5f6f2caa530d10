//! Clients that cancel, many at once: no other client of the same connection is harmed, and nothing is left behind.

use crate::common::*;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Status;
use warmpath_core::routing::policy::PolicyConfig;

/// Cancels on one connection, `at_once` at a time, beside 20 requests on the same connection. Gives what these end
/// with.
async fn burst(
    pending_resets: usize,
    cancels: u64,
    at_once: u64,
) -> Vec<Result<(Collected, String), Status>> {
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.listener.pending_resets = pending_resets;
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let client = router.client();
    let mut answers = Vec::new();
    for begin in (0..cancels).step_by(at_once as usize) {
        let mut bystanders = JoinSet::new();
        for i in 0..20 {
            bystanders.spawn(ask(client.clone(), request(prompt(i, 30), 600)));
        }
        let mut burst = JoinSet::new();
        for i in begin..cancels.min(begin + at_once) {
            let mut client = client.clone();
            let request = request(prompt(100 + i % 1_000, 30), 60_000);
            burst.spawn(async move {
                // Some are cut off before the router has seen them, some after.
                let call = client.generate_stream(request);
                let _ = tokio::time::timeout(Duration::from_micros(i * 37 % 5_000), call).await;
            });
        }
        within(burst.join_all()).await;
        answers.extend(within(bystanders.join_all()).await);
    }
    let counts = router.wait_counts(|counts| counts.in_flight == 0).await;
    assert_eq!((counts.booked, counts.held), (0, 0));
    wait_idle(&workers[0]).await;
    answers
}

/// With h2's default of 20 pending resets this ends every stream of the connection. Strangers get that default.
/// Clients that are known to cancel in bursts, as a gateway does, get more; workers always do. `WARMPATH_SOAK=1` makes
/// it 100,000 cancels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_cancels_harm_no_bystander() {
    let cancels = if std::env::var_os("WARMPATH_SOAK").is_some() { 100_000 } else { 4_000 };
    let begun = std::time::Instant::now();
    let bystanders = burst(100_000, cancels, 1_000).await;
    println!("{cancels} cancels, {} bystanders, {:?}", bystanders.len(), begun.elapsed());
    let lost: Vec<_> = bystanders.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(lost.len(), 0, "{:?}", lost.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_few_resets_may_wait_a_burst_ends_the_bystanders() {
    // A router that keeps up has none waiting, so it may take more than one burst.
    for _ in 0..20 {
        let bystanders = burst(1, 1_000, 1_000).await;
        let lost = bystanders.iter().filter(|answer| answer.is_err()).count();
        println!("{lost} of {} bystanders are lost", bystanders.len());
        if lost > 0 {
            return;
        }
    }
    panic!("no bystander was lost");
}
