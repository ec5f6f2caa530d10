//! The control surface: workers come and go, the policy changes, decisions are explained, and no
//! request suffers for it.

use crate::common::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::record::{Entry, replay};
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{
    AddWorkerRequest, DrainWorkerRequest, ExplainRequest, ExplainResponse, GetPolicyRequest,
    ListShadowsRequest, ListShadowsResponse, ListWorkersRequest, RemoveWorkerRequest,
    SetPolicyRequest, UndrainWorkerRequest, Worker, WorkerStanding,
};
use warmpath_proto::{admin, transport};
use warmpath_router::RouterConfig;

/// A router with its admin service on a socket of its own.
struct Fleet {
    router: TestRouter,
    admin: RouterAdminClient<Channel>,
}

impl Fleet {
    async fn start(config: RouterConfig) -> Self {
        let workers = config.workers.len();
        let router = TestRouter::start(config).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = router.server.clone();
        tokio::spawn(async move { server.serve_admin(listener, std::future::pending()).await });
        router.wait(|status| status.joined.len() == workers).await;
        let admin = RouterAdminClient::new(transport::channel(&url).unwrap());
        Self { router, admin }
    }

    async fn workers(&self) -> Vec<Worker> {
        let listed = self.admin.clone().list_workers(ListWorkersRequest {}).await.unwrap();
        listed.into_inner().workers
    }

    async fn standing(&self, number: u32) -> Option<WorkerStanding> {
        let workers = self.workers().await;
        workers.iter().find(|worker| worker.number == number).map(Worker::standing)
    }

    async fn wait_standing(&self, number: u32, standing: WorkerStanding) {
        within(async {
            while self.standing(number).await != Some(standing) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn explain(&self, about: About) -> Result<ExplainResponse, tonic::Status> {
        let request = ExplainRequest { about: Some(about), ..Default::default() };
        self.admin.clone().explain(request).await.map(tonic::Response::into_inner)
    }
}

/// Requests one after another on several clients, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn on(router: &TestRouter) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for i in 0..8u64 {
            let (client, stop) = (router.client(), Arc::clone(&stop));
            clients.spawn(async move {
                let mut workers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let text = prompt(i * 10_000 + workers.len() as u64, 60);
                    let (_, worker) = ask(client.clone(), request(text, 20)).await.unwrap();
                    workers.push(worker);
                }
                workers
            });
        }
        Self { stop, clients }
    }

    /// Which workers answered how each request; every one of them was answered well.
    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        within(self.clients.join_all()).await.into_iter().flatten().collect()
    }
}

fn used(workers: &[String]) -> BTreeSet<&str> {
    workers.iter().map(String::as_str).collect()
}

/// The entries of a record, between its header and its end.
fn entries(record: &str) -> Vec<Entry> {
    let lines: Vec<_> = record.lines().collect();
    let [_, entries @ .., _] = &lines[..] else { panic!("a record of {} lines", lines.len()) };
    entries.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_fails_no_request_and_can_be_undone() {
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let mut fleet = Fleet::start(router_config(&workers, PolicyConfig::LeastLoaded)).await;
    let load = Load::on(&fleet.router);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let drained = fleet.admin.drain_worker(DrainWorkerRequest { number: 1 }).await.unwrap();
    let drained = drained.into_inner().worker.unwrap();
    assert_eq!((drained.standing(), &*drained.why), (WorkerStanding::Draining, "by the operator"));
    within(async {
        while fleet.workers().await[1].active_requests > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // What was there is done, and nothing new comes.
    for _ in 0..20 {
        assert_eq!(fleet.workers().await[1].active_requests, 0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = load.end().await;
    assert_eq!(used(&before).len(), 3, "{:?}", used(&before));
    let load = Load::on(&fleet.router);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(used(&load.end().await), BTreeSet::from(["w0", "w2"]));

    let load = Load::on(&fleet.router);
    fleet.admin.undrain_worker(UndrainWorkerRequest { number: 1 }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(used(&load.end().await).len(), 3, "it takes requests again");
    assert_eq!(fleet.standing(1).await, Some(WorkerStanding::Joined));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_drain_outlives_a_restart() {
    let mut workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let mut fleet = Fleet::start(router_config(&workers, PolicyConfig::RoundRobin)).await;
    fleet.admin.drain_worker(DrainWorkerRequest { number: 0 }).await.unwrap();
    workers[0].kill();
    fleet.wait_standing(0, WorkerStanding::Lost).await;
    let away = fleet.workers().await.remove(0);
    assert!(away.drained && !away.why.is_empty(), "{away:?}");
    let again = TestWorker::start_at(workers[0].address, worker_config());
    fleet.wait_standing(0, WorkerStanding::Draining).await;
    let (_, worker) = ask(fleet.router.client(), request(prompt(1, 20), 3)).await.unwrap();
    assert_eq!(worker, "w1");

    // It drains by itself while it has requests: the operator cannot undo that.
    let endless = request(prompt(5, 40), 60_000);
    fleet.admin.undrain_worker(UndrainWorkerRequest { number: 0 }).await.unwrap();
    fleet.admin.drain_worker(DrainWorkerRequest { number: 1 }).await.unwrap();
    let busy = within(fleet.router.client().generate_stream(endless)).await.unwrap();
    fleet.admin.undrain_worker(UndrainWorkerRequest { number: 1 }).await.unwrap();
    again.stop();
    fleet.wait_standing(0, WorkerStanding::Draining).await;
    let undrained = fleet.admin.undrain_worker(UndrainWorkerRequest { number: 0 }).await.unwrap();
    let worker = undrained.into_inner().worker.unwrap();
    assert_eq!((worker.standing(), &*worker.why), (WorkerStanding::Draining, "by itself"));
    drop(busy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_and_go_under_load_and_numbers_never_return() {
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let mut fleet = Fleet::start(router_config(&workers[..2], PolicyConfig::LeastLoaded)).await;
    let load = Load::on(&fleet.router);
    let url = workers[2].url();
    let added = fleet.admin.add_worker(AddWorkerRequest { url: url.clone() }).await.unwrap();
    assert_eq!(added.into_inner().number, 2);
    fleet.wait_standing(2, WorkerStanding::Joined).await;
    let twice = fleet.admin.add_worker(AddWorkerRequest { url: url.clone() }).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists, "{twice}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let removed = RemoveWorkerRequest { number: 0, timeout_ms: None };
    assert_eq!(within(fleet.admin.remove_worker(removed)).await.unwrap().into_inner().left, 0);
    assert!(used(&load.end().await).contains("w2"), "a worker that came gets requests");

    let load = Load::on(&fleet.router);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(used(&load.end().await), BTreeSet::from(["w1", "w2"]));
    let numbers: Vec<_> = fleet.workers().await.iter().map(|worker| worker.number).collect();
    assert_eq!(numbers, [1, 2]);
    let url = workers[0].url();
    let again = fleet.admin.add_worker(AddWorkerRequest { url: url.clone() }).await.unwrap();
    assert_eq!(again.into_inner().number, 3, "a new number for an old worker");
    let status = fleet.router.wait(|status| status.joined.len() == 3).await;
    assert_eq!(status.joined.last(), Some(&url), "in the order of the numbers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_does_not_wait_lets_streams_go_on() {
    let workers: Vec<_> = (0..2).map(|_| TestWorker::start(worker_config())).collect();
    let mut fleet = Fleet::start(router_config(&workers, PolicyConfig::RoundRobin)).await;
    let text = prompt(3, 40);
    let long = tokio::spawn(ask(fleet.router.client(), request(text, 2_000)));
    fleet.router.wait_counts(|counts| counts.booked == 1).await;
    let removed = RemoveWorkerRequest { number: 0, timeout_ms: Some(1) };
    assert_eq!(within(fleet.admin.remove_worker(removed)).await.unwrap().into_inner().left, 1);
    let (_, worker) = within(long).await.unwrap().unwrap();
    assert_eq!(worker, "w0");
    let counts = fleet.router.wait_counts(|counts| counts.in_flight == 0).await;
    assert_eq!(counts.booked, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_changed_under_load_changes_decisions_and_the_record_replays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let mut config = router_config(&workers, PolicyConfig::RoundRobin);
    config.record = Some(path.clone());
    let mut fleet = Fleet::start(config).await;
    let load = Load::on(&fleet.router);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bad = SetPolicyRequest { policy: "best".to_owned() };
    assert_eq!(fleet.admin.set_policy(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let set = SetPolicyRequest { policy: "kv-aware".to_owned() };
    let before = fleet.admin.set_policy(set).await.unwrap().into_inner().before;
    assert_eq!(before, "round-robin");
    let now = fleet.admin.get_policy(GetPolicyRequest {}).await.unwrap().into_inner();
    assert_eq!((&*now.policy, now.known.len()), ("kv-aware", PolicyConfig::ALL.len()));
    fleet.admin.drain_worker(DrainWorkerRequest { number: 2 }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    fleet.admin.undrain_worker(UndrainWorkerRequest { number: 2 }).await.unwrap();
    let removed = RemoveWorkerRequest { number: 1, timeout_ms: None };
    within(fleet.admin.remove_worker(removed)).await.unwrap();
    let answered = load.end().await.len();
    fleet.router.wait_counts(|counts| counts.in_flight == 0).await;
    fleet.router.stop();
    fleet.router.stopped().await;

    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(replay(text.lines()).unwrap().decisions, answered as u64);
    let entries = entries(&text);
    // Round robin does not look; kv-aware does.
    let mut looks = false;
    for entry in entries {
        if let Input::SetPolicy(policy) = entry.input {
            assert_eq!(policy, PolicyConfig::KvAware);
            looks = true;
        }
        for action in &entry.actions {
            let Action::Dispatch { decision, .. } = action else { panic!("{action:?}") };
            assert_eq!(decision.overlap.is_some(), looks);
        }
    }
    assert!(looks, "the change is in the record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_is_the_decision_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let workers: Vec<_> = (0..3).map(|_| TestWorker::start(worker_config())).collect();
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.record = Some(path.clone());
    config.explain_last = 30;
    let mut fleet = Fleet::start(config).await;
    let mut streams = JoinSet::new();
    for i in 0..30u32 {
        let mut named = request(prompt(u64::from(i % 4), 160 + i), 1 + i % 5);
        named.request_id = format!("request-{i}");
        streams.spawn(ask(fleet.router.client(), named));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    within(streams.join_all()).await.into_iter().for_each(|done| drop(done.unwrap()));
    let mut explained = Vec::new();
    for i in 0..30 {
        explained.push(fleet.explain(About::RequestId(format!("request-{i}"))).await.unwrap());
    }

    // One that is only evaluated leaves nothing, and is what the next request gets.
    let next = request(prompt(2, 160), 1);
    let about = About::GenerateRequest(admin::request_to_wire(&next));
    let before = fleet.router.server.counts();
    let would = fleet.explain(about).await.unwrap();
    assert_eq!(fleet.router.server.counts(), before);
    let sent = within(fleet.router.client().generate_stream(next)).await.unwrap();
    let header = |name| sent.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("x-warmpath-worker"), format!("w{}", would.chosen));
    let did = fleet.explain(About::RequestId(header("x-warmpath-request-id"))).await.unwrap();
    let parts = |all: &ExplainResponse| (all.number, all.candidates.clone(), all.margin_s);
    assert_eq!(parts(&did), parts(&would));
    within(collect(sent.into_inner())).await.unwrap();
    // The oldest made room for it.
    let gone = fleet.explain(About::RequestId("request-0".to_owned())).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);

    fleet.router.stop();
    fleet.router.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut decisions = std::collections::BTreeMap::new();
    for entry in entries(&text) {
        for action in entry.actions {
            let Action::Dispatch { id, decision } = action else { panic!("{action:?}") };
            decisions.insert(id.0, decision);
        }
    }
    for explanation in &explained {
        let decision = &decisions[&explanation.number];
        let best = &explanation.candidates[0];
        assert_eq!((explanation.chosen, best.number), (decision.worker.0, decision.worker.0));
        assert_eq!(best.overlap_by_tier, decision.overlap.unwrap());
        assert_eq!((&*explanation.policy, explanation.candidates.len()), ("kv-aware", 3));
        let total = |i: usize| {
            let terms = explanation.candidates[i].terms.unwrap();
            let sum = terms.queue_s + terms.prefill_s + terms.load_s;
            assert!((sum - terms.total_s).abs() < 1e-9);
            terms.total_s
        };
        assert!(total(0) <= total(1) && total(1) <= total(2));
        assert_eq!(explanation.runner_up, Some(explanation.candidates[1].number));
        assert!((explanation.margin_s.unwrap() - (total(1) - total(0))).abs() < 1e-8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_names_are_errors_and_the_public_listener_has_no_admin_service() {
    let workers = [TestWorker::start(worker_config())];
    let mut fleet = Fleet::start(router_config(&workers, PolicyConfig::RoundRobin)).await;
    let codes = [
        fleet.admin.drain_worker(DrainWorkerRequest { number: 9 }).await.unwrap_err(),
        fleet.admin.undrain_worker(UndrainWorkerRequest { number: 9 }).await.unwrap_err(),
        fleet
            .admin
            .remove_worker(RemoveWorkerRequest { number: 9, timeout_ms: None })
            .await
            .unwrap_err(),
        fleet.explain(About::RequestId("missing".to_owned())).await.unwrap_err(),
    ];
    for status in codes {
        assert_eq!(status.code(), Code::NotFound, "{status}");
    }
    let add = |url: &str| AddWorkerRequest { url: url.to_owned() };
    for url in ["localhost:1", "http://", "http://a b"] {
        let status = fleet.admin.add_worker(add(url)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{url}: {status}");
    }
    let status = fleet.explain(About::GenerateRequest(vec![255])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    // A worker that is not there, and a policy without seconds.
    let added = fleet.admin.add_worker(add("http://127.0.0.1:1")).await.unwrap();
    fleet.wait_standing(added.into_inner().number, WorkerStanding::Lost).await;
    let about = About::GenerateRequest(admin::request_to_wire(&request(prompt(1, 20), 1)));
    let explained = fleet.explain(about).await.unwrap();
    assert_eq!(
        (&*explained.policy, explained.chosen, explained.margin_s),
        ("round-robin", 0, None)
    );
    assert_eq!(explained.rule, "Each worker in turn, whatever it holds.");
    assert!(explained.candidates[0].terms.is_none());

    let mut public = RouterAdminClient::new(transport::channel(&fleet.router.url).unwrap());
    let status = public.list_workers(ListWorkersRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_beside_the_policy_are_asked_and_not_obeyed() {
    let workers = [(); 2].map(|()| TestWorker::start(worker_config()));
    let mut config = router_config(&workers, PolicyConfig::RoundRobin);
    config.shadows = vec![PolicyConfig::KvAware, PolicyConfig::RoundRobin];
    let mut fleet = Fleet::start(config).await;
    for _ in 0..6 {
        ask(fleet.router.client(), request(prompt(1, 200), 3)).await.unwrap();
    }
    let answer = fleet.admin.list_shadows(ListShadowsRequest {}).await.unwrap();
    let ListShadowsResponse { policy, shadows } = answer.into_inner();
    assert_eq!(policy, "round-robin");
    let [aware, same] = &shadows[..] else { panic!("{shadows:?}") };
    assert_eq!((aware.policy.as_str(), aware.asked, aware.held), ("kv-aware", 6, 0));
    assert_eq!((same.policy.as_str(), same.same), ("round-robin", 6));
    assert_eq!(same.live_hit_tokens, same.shadow_hit_tokens);
    assert!(aware.shadow_hit_tokens > aware.live_hit_tokens, "{aware:?}");
    assert_eq!(aware.prompt_tokens, 1_200);
}
