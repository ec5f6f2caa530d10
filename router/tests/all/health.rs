//! What probes hear: whether the process lives, and whether requests may come.

use crate::common::{SPEEDUP, TestRouter, TestWorker, prompt, request, within, worker_config};
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::transport;
use warmpath_router::RouterConfig;

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

async fn asked(url: &str, service: &str) -> i32 {
    let mut health = HealthClient::new(transport::channel(url).unwrap());
    let request = HealthCheckRequest { service: service.to_owned() };
    within(health.check(request)).await.unwrap().into_inner().status
}

/// Returns when all that says whether requests may come has this answer. The process lives all the time.
async fn until_ready_is(url: &str, expected: i32) {
    within(async {
        for service in ["", "readiness", "vllm.Inference", "vllm.Control"] {
            while asked(url, service).await != expected {
                assert_eq!(asked(url, "liveness").await, SERVING);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    assert_eq!(asked(url, "liveness").await, SERVING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_is_ready_with_a_worker_and_not_while_it_drains() {
    let nowhere = vec!["http://127.0.0.1:1".to_owned()];
    let config =
        RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(nowhere, PolicyConfig::KvAware) };
    let mut router = TestRouter::start(config).await;
    until_ready_is(&router.url, NOT_SERVING).await;
    let mut worker = TestWorker::start(worker_config());
    let add = |url: String| {
        let admin = router.server.admin();
        async move {
            use warmpath_proto::v1::router_admin_server::RouterAdmin;
            let request = warmpath_proto::v1::AddWorkerRequest { url };
            admin.add_worker(tonic::Request::new(request)).await.unwrap();
        }
    };
    add(worker.url()).await;
    until_ready_is(&router.url, SERVING).await;
    // A stream keeps the router draining.
    let stream = within(router.client().generate_stream(request(prompt(1, 64), 10_000))).await;
    let mut stream = stream.unwrap().into_inner();
    within(stream.next()).await.unwrap().unwrap();
    router.stop();
    until_ready_is(&router.url, NOT_SERVING).await;
    // Another worker joins meanwhile, which is no reason to be ready again.
    let other = TestWorker::start(worker_config());
    add(other.url()).await;
    router.wait(|status| status.joined.len() == 2).await;
    until_ready_is(&router.url, NOT_SERVING).await;
    worker.kill();
    drop(stream);
    router.stopped().await;
}
