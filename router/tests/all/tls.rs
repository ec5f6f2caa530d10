//! TLS: which process may connect to which, and what is said where a file cannot be used.

use crate::common::certificates::Authority;
use crate::common::*;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::tls::UpstreamFiles;
use warmpath_proto::transport;
use warmpath_proto::v1::ListWorkersRequest;
use warmpath_proto::v1::router_admin_client::RouterAdminClient;
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_router::RouterConfig;
use warmpath_worker_sim::WorkerConfig;

fn channel(url: &str, files: &UpstreamFiles) -> Channel {
    transport::channel_with(url, &Some(files.load().unwrap()).into()).unwrap()
}

/// Whether the worker joins a router that reaches it like this.
async fn joins(worker: &str, upstream_tls: Option<UpstreamFiles>) -> bool {
    let base = RouterConfig::new(vec![worker.to_owned()], PolicyConfig::RoundRobin);
    let router = TestRouter::start(RouterConfig { speedup: SPEEDUP, upstream_tls, ..base }).await;
    let mut status = router.server.status();
    let joined = status.wait_for(|status| !status.joined.is_empty());
    tokio::time::timeout(Duration::from_millis(700), joined).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_crosses_tls_from_client_to_worker() {
    let folder = tempfile::tempdir().unwrap();
    let [edge, fleet] = ["edge", "fleet"].map(|name| Authority::new(folder.path(), name));
    let tls = Some(fleet.listener("worker", Some(&fleet)));
    let worker = TestWorker::start(WorkerConfig { tls, ..worker_config() });
    let base = RouterConfig::new(vec![worker.tls_url()], PolicyConfig::KvAware);
    let config = RouterConfig {
        speedup: SPEEDUP,
        tls: Some(edge.listener("router", None)),
        upstream_tls: Some(fleet.reach(Some((&fleet, "router-to-worker")))),
        ..base
    };
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let url = router.url.replace("http:", "https:");
    let client = |files: &UpstreamFiles| InferenceClient::new(channel(&url, files));
    ask(client(&edge.reach(None)), request(prompt(1, 100), 3)).await.unwrap();
    let stranger = client(&fleet.reach(None)).generate_stream(request(prompt(1, 100), 3)).await;
    assert!(stranger.is_err(), "the client knows another CA");
    let plain = router.client().generate_stream(request(prompt(1, 100), 3)).await;
    assert!(plain.is_err(), "plain text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn router_and_worker_know_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let [fleet, other] = ["fleet", "other"].map(|name| Authority::new(folder.path(), name));
    let with = |tls| TestWorker::start(WorkerConfig { tls: Some(tls), ..worker_config() });
    let strict = with(fleet.listener("strict", Some(&fleet)));
    let lax = with(fleet.listener("lax", None));
    let own = |authority, name| fleet.reach(Some((authority, name)));
    let cases = [
        (&strict, Some(own(&fleet, "r1")), true),
        (&strict, Some(own(&other, "r2")), false),
        (&strict, Some(fleet.reach(None)), false),
        (&lax, Some(fleet.reach(None)), true),
        (&lax, Some(other.reach(None)), false),
        (
            &lax,
            Some(UpstreamFiles { server_name: Some("w".to_owned()), ..fleet.reach(None) }),
            false,
        ),
        (
            &lax,
            Some(UpstreamFiles { server_name: Some("localhost".to_owned()), ..fleet.reach(None) }),
            true,
        ),
    ];
    for (i, (worker, files, expected)) in cases.into_iter().enumerate() {
        assert_eq!(joins(&worker.tls_url(), files).await, expected, "case {i}");
    }
    assert!(!joins(&lax.url(), None).await, "plain text to a worker with TLS");
    let open = TestWorker::start(worker_config());
    assert!(!joins(&open.tls_url(), Some(fleet.reach(None))).await, "TLS to one without");
    assert!(joins(&open.url(), Some(fleet.reach(None))).await, "http:// stays plain text");
}

/// Blocks get into the index by a feed alone, and a router reads a feed only of who proves to be a worker. The last case
/// is the control: the same blocks, by a worker that does prove it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_impostor_announces_is_not_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let [fleet, other] = ["fleet", "other"].map(|name| Authority::new(folder.path(), name));
    let cases = [
        ("a certificate of another CA", Some(other.listener("forged", None)), 0),
        ("plain text", None, 0),
        ("a certificate of the fleet's CA", Some(fleet.listener("worker", None)), 1),
    ];
    for (what, tls, joined) in cases {
        let (scheme, files) = match &tls {
            None => ("http", None),
            Some(_) if joined == 1 => ("https", Some(fleet.reach(None))),
            Some(_) => ("https", Some(other.reach(None))),
        };
        let worker = TestWorker::start(WorkerConfig { tls, ..worker_config() });
        let direct = format!("{scheme}://{}", worker.address);
        let direct = match files {
            None => transport::channel(&direct).unwrap(),
            Some(files) => channel(&direct, &files),
        };
        ask(InferenceClient::new(direct), request(prompt(1, 100), 3)).await.unwrap();
        let base = RouterConfig::new(vec![worker.tls_url()], PolicyConfig::KvAware);
        let upstream_tls = Some(fleet.reach(None));
        let router =
            TestRouter::start(RouterConfig { speedup: SPEEDUP, upstream_tls, ..base }).await;
        let mut status = router.server.status();
        let comes = status.wait_for(|status| !status.joined.is_empty());
        let came = tokio::time::timeout(Duration::from_millis(1_000), comes).await.is_ok();
        assert_eq!(usize::from(came), joined, "{what}");
        if joined == 1 {
            router.wait_counts(|counts| counts.runs > 0).await;
        }
        assert_eq!(router.server.counts().runs > 0, joined == 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_knows_its_operators() {
    let folder = tempfile::tempdir().unwrap();
    let [operators, other] = ["operators", "other"].map(|name| Authority::new(folder.path(), name));
    let base = RouterConfig::new(vec!["http://127.0.0.1:1".to_owned()], PolicyConfig::RoundRobin);
    let admin_tls = Some(operators.listener("admin", Some(&operators)));
    let router = TestRouter::start(RouterConfig { admin_tls, ..base }).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = router.server.clone();
    tokio::spawn(async move { server.serve_admin(listener, std::future::pending()).await });
    for (own, expected) in [(Some(&operators), true), (Some(&other), false), (None, false)] {
        let files = operators.reach(own.map(|own| (own, "operator")));
        let mut admin = RouterAdminClient::new(channel(&url, &files));
        assert_eq!(admin.list_workers(ListWorkersRequest {}).await.is_ok(), expected);
        let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
        command.args(["admin", "--target", &url, "--tls-ca"]).arg(&files.ca);
        if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
            command.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        }
        let output = tokio::task::spawn_blocking(move || command.arg("workers").output());
        let output = output.await.unwrap().unwrap();
        assert_eq!(
            output.status.success(),
            expected,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The last line that the router says with this file. Its exit status is 2.
fn complaint(folder: &Path, lines: &str, args: &[&str]) -> String {
    let file = format!("policy = \"random\"\nworkers = [\"http://127.0.0.1:1\"]\n{lines}");
    std::fs::write(folder.join("r.toml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
    command.current_dir(folder).env("NO_COLOR", "1").args(["--config", "r.toml"]).args(args);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_file_that_cannot_be_used_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "fleet");
    authority.issue("a");
    authority.issue("b");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("empty.pem", "");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let tls = |cert: &str, key: &str| format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    let reach = "[upstream_tls]\nca = \"fleet-ca.pem\"\n";
    let cases = [
        (tls("none.pem", "a.key"), "r.toml:4: tls.cert: none.pem: No such file"),
        (tls("a.pem", "none.key"), "r.toml:5: tls.key: none.key: No such file"),
        (tls("a.key", "a.key"), "r.toml:4: tls.cert: a.key: no certificate, expected one in PEM"),
        (tls("empty.pem", "a.key"), "r.toml:4: tls.cert: empty.pem: no certificate"),
        (tls("a.pem", "a.pem"), "r.toml:5: tls.key: a.pem: no private key, expected one in PEM"),
        (tls("a.pem", "b.key"), "r.toml:5: tls.key: b.key: not usable with a.pem: "),
        (tls("broken.pem", "a.key"), "r.toml:5: tls.key: a.key: not usable with broken.pem: "),
        (
            tls("a.pem", "a.key") + "client_ca = \"empty.pem\"\n",
            "r.toml:6: tls.client_ca: empty.pem: no certificate",
        ),
        (
            tls("a.pem", "a.key") + "client_ca = \"broken.pem\"\n",
            "r.toml:6: tls.client_ca: broken.pem: ",
        ),
        ("[tls]\ncert = \"a.pem\"\n".to_owned(), "r.toml:3: tls.key: missing"),
        (
            tls("a.pem", "a.key").replace("[tls]", "[admin_tls]"),
            "r.toml:3: admin_tls.client_ca: missing, expected the CA of the operators' certificates",
        ),
        ("[upstream_tls]\nca = \"a.key\"\n".to_owned(), "r.toml:4: upstream_tls.ca: a.key: no"),
        (
            format!("{reach}cert = \"a.pem\"\n"),
            "r.toml:3: upstream_tls.key: missing, expected the key of cert",
        ),
        (
            format!("{reach}server_name = \"a b\"\n"),
            "r.toml:5: upstream_tls.server_name: 'a b', expected a host name or an IP address",
        ),
        (
            "pools = [\"https://127.0.0.1:1\"]\n".to_owned(),
            "r.toml:3: pools[0]: 'https://127.0.0.1:1' is https, but there is no [upstream_tls]",
        ),
    ];
    for (lines, expected) in cases {
        let line = complaint(folder.path(), &lines, &[]);
        assert!(line.starts_with(expected), "'{line}' for {lines:?}, expected '{expected}'");
    }
    let open = "listen = \"0.0.0.0:0\"\n";
    let line = complaint(folder.path(), open, &[]);
    assert!(line.ends_with("expected one, TLS or --insecure-bind"), "{line}");
    let metrics = format!("{open}metrics_listen = \"0.0.0.0:0\"\n{}", tls("a.pem", "a.key"));
    let line = complaint(folder.path(), &metrics, &[]);
    let expected =
        "metrics_listen: 0.0.0.0:0 is not a loopback address, expected one or --insecure-bind";
    assert_eq!(line, expected, "TLS opens the listener, not its metrics");
}

/// Files are looked at again for a new connection, at most once a second.
const LOOK: Duration = Duration::from_millis(1_100);

/// Certificates run out and are replaced while the processes run. Here a whole CA is replaced by another one, at the
/// worker's listener, at the router's and in what the router shows the worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_replaced_are_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let old = Authority::new(folder.path(), "ca");
    let listens = old.listener("worker", Some(&old));
    let worker = TestWorker::start(WorkerConfig { tls: Some(listens), ..worker_config() });
    let base = RouterConfig::new(vec![worker.tls_url()], PolicyConfig::KvAware);
    let config = RouterConfig {
        speedup: SPEEDUP,
        tls: Some(old.listener("router", None)),
        upstream_tls: Some(old.reach(Some((&old, "router-to-worker")))),
        ..base
    };
    let first = TestRouter::start(config.clone()).await;
    first.wait(|status| status.joined.len() == 1).await;
    let asks = |router: &TestRouter, files: &UpstreamFiles| {
        let channel = channel(&router.url.replace("http:", "https:"), files);
        ask(InferenceClient::new(channel), request(prompt(1, 40), 3))
    };
    let of_old = folder.path().join("old-ca.pem");
    std::fs::copy(&old.ca, &of_old).unwrap();
    let trusts_old = UpstreamFiles { ca: of_old, ..old.reach(None) };
    asks(&first, &trusts_old).await.unwrap();
    // The same names of files, other contents.
    let new = Authority::new(folder.path(), "ca");
    for name in ["worker", "router", "router-to-worker"] {
        new.issue(name);
    }
    tokio::time::sleep(LOOK).await;
    asks(&first, &new.reach(None)).await.unwrap();
    assert!(asks(&first, &trusts_old).await.is_err(), "the old certificate is shown no more");
    // The connections that were open are open still. New ones to the worker are made with the new files, by a router
    // that has read the old ones too: it finds the worker again after its death.
    let mut worker = worker;
    worker.kill();
    first.wait(|status| status.joined.is_empty()).await;
    let tls = Some(new.listener("worker", Some(&new)));
    worker = TestWorker::start_at(worker.address, WorkerConfig { tls, ..worker_config() });
    first.wait(|status| status.joined.len() == 1).await;
    // A router that still has files of the old CA is refused.
    let other = tempfile::tempdir().unwrap();
    let stale = Authority::new(other.path(), "ca");
    assert!(!joins(&worker.tls_url(), Some(stale.reach(Some((&stale, "r"))))).await);
    assert!(joins(&worker.tls_url(), Some(new.reach(Some((&new, "r"))))).await);
}

/// A key without its certificate cannot be used: the listener goes on with what it has, until the other file is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_do_not_belong_together_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Authority::new(folder.path(), "fleet");
    let tls = Some(fleet.listener("worker", None));
    let worker = TestWorker::start(WorkerConfig { tls, ..worker_config() });
    assert!(joins(&worker.tls_url(), Some(fleet.reach(None))).await);
    let other = Authority::new(folder.path(), "other");
    let (cert, key) = other.issue("next");
    std::fs::copy(key, folder.path().join("worker.key")).unwrap();
    tokio::time::sleep(LOOK).await;
    assert!(joins(&worker.tls_url(), Some(fleet.reach(None))).await, "the old pair");
    std::fs::copy(cert, folder.path().join("worker.pem")).unwrap();
    tokio::time::sleep(LOOK).await;
    assert!(joins(&worker.tls_url(), Some(other.reach(None))).await, "the new pair");
    assert!(!joins(&worker.tls_url(), Some(fleet.reach(None))).await, "of another CA");
}
