//! What operators do to a fleet in staging, while `loadgen run` sends requests to it: a worker is
//! drained and removed, another joins, the policy changes and changes back. No request may fail. Router
//! and workers are the code of the binaries on real sockets.

use parquet::file::reader::SerializedFileReader;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use warmpath_core::engine::profile::Profile;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::siblings::Sharing;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::v1::{
    AddWorkerRequest, DrainWorkerRequest, ListSiblingsRequest, ListWorkersRequest,
    RemoveWorkerRequest, SetPolicyRequest, Worker, WorkerStanding,
};
use warmpath_router::config::Part;
use warmpath_router::secret::Secret;
use warmpath_router::tenants::TenantConfig;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::WorkerConfig;

const PROFILE: &str = include_str!("../../../deploy/profiles/lab-tp2.toml");
const SPEEDUP: f64 = 20.0;
const LIMIT: Duration = Duration::from_secs(60);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    (listener, address)
}

/// The URL of a new worker. The worker ends with the test's runtime.
async fn worker() -> String {
    let (listener, address) = listen().await;
    let profile: Profile = toml::from_str(PROFILE).expect("a profile");
    let mut config = WorkerConfig::new(profile);
    config.speedup = SPEEDUP;
    tokio::spawn(warmpath_worker_sim::serve(listener, config, std::future::pending()));
    format!("http://{address}")
}

struct Staging {
    target: String,
    admin_target: String,
    admin: RouterAdminClient<Channel>,
    folder: tempfile::TempDir,
}

impl Staging {
    /// Returns when all workers have joined.
    async fn start(workers: usize) -> Self {
        Self::start_with(workers, |_| {}).await
    }

    async fn start_with(workers: usize, change: impl FnOnce(&mut RouterConfig)) -> Self {
        let mut urls = Vec::new();
        for _ in 0..workers {
            urls.push(worker().await);
        }
        let mut config = RouterConfig::new(urls, PolicyConfig::KvAware);
        config.speedup = SPEEDUP;
        change(&mut config);
        let server = RouterServer::new(config).expect("a router");
        let (admin_listener, admin_address) = listen().await;
        let (listener, address) = listen().await;
        let admin_server = server.clone();
        tokio::spawn(async move {
            admin_server.serve_admin(admin_listener, std::future::pending()).await
        });
        tokio::spawn(server.serve(listener, std::future::pending()));
        let admin_target = format!("http://{admin_address}");
        let admin = RouterAdminClient::connect(admin_target.clone()).await.expect("an admin");
        let folder = tempfile::tempdir().expect("a folder for files");
        let mut staging = Self { target: format!("http://{address}"), admin_target, admin, folder };
        staging.wait_for(|all| all.iter().filter(|w| is_joined(w)).count() == workers).await;
        staging
    }

    async fn wait_for(&mut self, is_so: impl Fn(&[Worker]) -> bool) {
        let waiting = async {
            loop {
                let answer = self.admin.list_workers(ListWorkersRequest {}).await;
                if is_so(&answer.expect("the workers").get_ref().workers) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("it comes true in time");
    }

    /// About 0.7 requests per model second, of the default workload.
    fn run(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .current_dir(self.folder.path())
            .args(["run", "--target", &self.target, "--json", "run.json"])
            .args(if args.contains(&"--rate-scale") { &[][..] } else { &["--rate-scale", "0.4"] })
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("loadgen starts")
    }

    fn report(&self) -> Value {
        let text = std::fs::read(self.folder.path().join("run.json")).expect("a report");
        serde_json::from_slice(&text).expect("a report is JSON")
    }
}

fn is_joined(worker: &Worker) -> bool {
    worker.standing() == WorkerStanding::Joined
}

async fn ended(child: Child) -> Output {
    let waiting = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = tokio::time::timeout(LIMIT, waiting).await.expect("loadgen ends in time");
    output.expect("a thread").expect("its output")
}

/// Number of requests of each worker.
fn served(path: &Path) -> BTreeMap<i64, usize> {
    let file = std::fs::File::open(path).expect("rows were written");
    let mut served = BTreeMap::new();
    for row in SerializedFileReader::new(file).expect("it is Parquet") {
        let row = row.expect("a row");
        let worker = row.get_column_iter().find(|(name, _)| *name == "worker").expect("a column");
        let parquet::record::Field::Long(worker) = worker.1 else { panic!("a number: {row}") };
        *served.entry(*worker).or_default() += 1;
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_to_a_running_fleet_fail_no_request() {
    let mut staging = Staging::start(4).await;
    let flags = ["--requests", "100", "--nonce", "7", "--check-tokens", "--parquet", "run.parquet"];
    let run = staging.run(&flags);
    staging
        .wait_for(|all| all.iter().filter(|worker| worker.active_requests > 0).count() > 1)
        .await;

    staging.admin.drain_worker(DrainWorkerRequest { number: 1 }).await.expect("a drain");
    let url = worker().await;
    let added = staging.admin.add_worker(AddWorkerRequest { url }).await.expect("one more");
    assert_eq!(added.get_ref().number, 4);
    staging.wait_for(|all| all.iter().any(|worker| worker.number == 4 && is_joined(worker))).await;
    let request = RemoveWorkerRequest { number: 1, timeout_ms: Some(30_000) };
    let removed = staging.admin.remove_worker(request).await.expect("it goes");
    assert_eq!(removed.get_ref().left, 0);

    for (policy, before) in [("least-loaded", "kv-aware"), ("kv-aware", "least-loaded")] {
        let request = SetPolicyRequest { policy: policy.to_owned() };
        let set = staging.admin.set_policy(request).await.expect("a policy");
        assert_eq!(set.get_ref().before, before);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let output = ended(run).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let report = staging.report();
    let run = &report["runs"][0];
    assert_eq!((&run["requests"], &run["errors"]), (&100.into(), &0.into()), "{said}");
    assert_eq!(
        (&report["config"]["speedup"], &report["config"]["nonce"]),
        (&20.0.into(), &7.into())
    );
    let served = served(&staging.folder.path().join("run.parquet"));
    assert_eq!(served.values().sum::<usize>(), 100);
    assert!(served.contains_key(&4), "the new worker got something: {served:?}");

    // Explain a request that just ran, by its id in the report.
    let name = run["live"]["slowest"]["request_id"].as_str().expect("a name");
    assert!(name.starts_with("lg-7-") && said.contains(name), "{said}");
    let explain = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["explain", "--target", &staging.admin_target, name])
        .output()
        .expect("loadgen starts");
    let receipt = String::from_utf8_lossy(&explain.stdout);
    assert!(explain.status.success() && receipt.starts_with(name), "{receipt}");
    assert!(receipt.contains("prefill s") && receipt.contains("w0"), "{receipt}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_reports_its_answers_so_far() {
    let mut staging = Staging::start(2).await;
    let run = staging.run(&["--requests", "1000", "--parquet", "run.parquet"]);
    staging.wait_for(|all| all.iter().any(|worker| worker.active_requests > 0)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let pid = run.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill starts").success());
    let output = ended(run).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not valid: interrupted: "), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ctrl-c again ends at once"));
    let report = staging.report();
    let run = &report["runs"][0];
    assert_eq!((&run["live"]["interrupted"], &run["valid"]), (&true.into(), &false.into()));
    let offered = run["offered"].as_u64().expect("a count");
    assert!((1..1_000).contains(&offered), "{offered}");
    let rows = served(&staging.folder.path().join("run.parquet"));
    assert_eq!(rows.values().sum::<usize>() as u64, offered, "what was sent has a row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speedup_other_than_the_fleets_is_refused() {
    let staging = Staging::start(1).await;
    let output = ended(staging.run(&["--speedup", "3"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("--speedup: 3, ") && said.contains("run at 20"), "{said}");
}

/// What the router refuses is counted by its reason, as in a simulated run, and each reason is printed
/// once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_a_full_queue_are_counted_by_reason() {
    let staging = Staging::start_with(1, |config| {
        config.policy = "wait-for-room(max_active=1)".parse().expect("a rule");
        config.queue.requests = 1;
    })
    .await;
    let output = ended(staging.run(&["--requests", "30", "--rate-scale", "20"])).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report = staging.report();
    let run = &report["runs"][0];
    let errors = run["errors_by_reason"].as_object().expect("reasons");
    let full = errors["queue full"].as_u64().expect("a count");
    assert!(full > 5 && errors.len() == 1, "{errors:?}");
    assert_eq!((&run["errors"], &run["requests"]), (&full.into(), &(30 - full).into()));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("Requests failed: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("Requests failed: queue full (first: lg-"), "{said}");
    let all = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        all.contains("the queue is full: ") && all.contains(&format!("{full} of 30")),
        "{said}"
    );
}

/// A router with tokens serves clients that have one, and each request belongs to its token's tenant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenants_requests_carry_its_token() {
    let token = |name: &str| format!("the-token-of-{name}");
    let staging = Staging::start_with(2, |config| {
        let tenant = |name: &str| TenantConfig {
            name: name.to_owned(),
            token: Secret::new(token(name)),
            group: None,
        };
        config.tenants = vec![tenant("first"), tenant("second")];
        config.secret = Some(Secret::new("secret"));
    })
    .await;
    let table = |name: &str, token: String| {
        format!("[[tenants]]\nname = \"{name}\"\ntoken = \"{token}\"\n")
    };
    let both = table("first", token("first")) + &table("second", token("second"));
    std::fs::write(staging.folder.path().join("tenants.toml"), both).expect("a file");
    let flags = ["--requests", "40", "--tenants-file", "tenants.toml"];
    let output = ended(staging.run(&flags)).await;
    // On a busy machine the times are not valid, which is status 1. What is counted here is.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    let report = staging.report();
    let run = &report["runs"][0];
    assert_eq!((&run["requests"], &run["errors"]), (&40.into(), &0.into()), "{said}");
    let tenants = run["tenants"].as_array().expect("several tenants");
    let requests: u64 = tenants.iter().filter_map(|tenant| tenant["requests"].as_u64()).sum();
    assert_eq!((tenants.len(), requests), (2, 40), "{tenants:?}");
    assert!(!report.to_string().contains("the-token"), "no report shows a token");

    let output = ended(staging.run(&["--requests", "4"])).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("authorization: expected one `Bearer TOKEN`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_routers_get_the_requests_in_turn() {
    let tells = |config: &mut RouterConfig| config.siblings.share = Some(Sharing::Bookings);
    let mut routers = [Staging::start_with(1, tells).await, Staging::start_with(1, tells).await];
    let second = routers[1].target.clone();
    let run = routers[0].run(&["--target", &second, "--requests", "20", "--rate-scale", "2"]);
    let said = ended(run).await;
    let report = routers[0].report();
    let targets = format!("{}, {second}", routers[0].target);
    assert_eq!(report["config"]["target"], targets, "{said:?}");
    assert_eq!(report["runs"][0]["requests"], 20);
    for router in &mut routers {
        let answer = router.admin.list_siblings(ListSiblingsRequest {}).await.expect("an answer");
        assert_eq!(answer.get_ref().news_told, 30, "sent, first token and end of ten requests");
    }
}

/// Capture, replay: the trace of a live run meets the same caches in a simulated one. A session stays on
/// its worker, which has memory for all its sessions. So a busy machine, which delays requests and lets
/// them overtake each other, changes nearly nothing of what they find. Admission is off, as it is in the
/// simulation: it would place the requests that it held by who has room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_captured_replays_to_the_same_hit_rate() {
    let (live, replay) = captured_and_replayed().await;
    assert!(live > 60.0, "there is something to hit: {live}");
    assert!((live - replay).abs() < 0.3, "live {live:.2} %, replayed {replay:.2} %");
}

/// The hit rates of a live run and of its capture, which is replayed in a simulation, in percent.
async fn captured_and_replayed() -> (f64, f64) {
    const POLICY: &str = "sticky-session";
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_owned();
    let capturing = |config: &mut RouterConfig| {
        config.policy = POLICY.parse().expect("a rule");
        config.capture = Some(path.clone());
        config.admission = Part::On(false);
    };
    let staging = Staging::start_with(4, capturing).await;
    let flags = ["--rate-scale", "2", "--requests", "400", "--nonce", "7"];
    // The run need not be on time for what is compared here.
    let output = ended(staging.run(&flags)).await;
    let live = staging.report();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(live["runs"][0]["errors"], 0, "{said}");
    let written = async {
        while std::fs::read_to_string(&path).expect("a trace").lines().count() < 400 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, written).await.expect("the rows are written in a second");
    let replayed = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .current_dir(staging.folder.path())
        .args(["sim", "--profile", "lab-tp2", "--workers", "4", "--policies", POLICY])
        .args(["--json", "replay.json", "--trace"])
        .arg(&path)
        .output()
        .expect("loadgen starts");
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{said}");
    let text = std::fs::read(staging.folder.path().join("replay.json")).expect("a report");
    let replay: Value = serde_json::from_slice(&text).expect("a report is JSON");
    let hit = |report: &Value| report["runs"][0]["hit_rate"].as_f64().expect("a hit rate") * 100.0;
    let tokens = |report: &Value| report["runs"][0]["prompt_tokens"].clone();
    assert_eq!(tokens(&live), tokens(&replay), "the same prompts");
    (hit(&live), hit(&replay))
}
