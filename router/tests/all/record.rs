//! A live run, written down, makes the same decisions again.

use crate::common::*;
use tokio::task::JoinSet;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::replay;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_run_replays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let mut workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.record = Some(path.clone());
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 3).await;
    let mut streams = JoinSet::new();
    for i in 0..60u32 {
        let client = router.client();
        let text = prompt(u64::from(i % 5), 100 + i);
        streams.spawn(async move { ask(client, request(text, 1 + i % 30)).await });
    }
    let mut answered = 0;
    while let Some(done) = within(streams.join_next()).await {
        answered += usize::from(done.unwrap().is_ok());
        if answered == 20 {
            workers[2].kill();
        }
    }
    assert_eq!(answered, 60, "a worker's death loses no request");
    router.wait_counts(|counts| counts.in_flight == 0).await;
    router.stop();
    router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let replayed = replay(text.lines()).unwrap();
    assert!(replayed.decisions > 60, "some were sent twice: {replayed:?}");
    assert!(replayed.complete, "a router that was told to stop says so");
    assert!(replayed.inputs > 180, "{replayed:?}");
    let torn: Vec<_> =
        text.lines().map(|line| line.replacen("\"worker\":0", "\"worker\":1", 1)).collect();
    assert!(replay(torn.iter()).is_err(), "a changed record is noticed");
}
