//! The binary: what it says when it can't start, and that it stops when told to.

use crate::common::{SPEEDUP, TestWorker, ask, client, prompt, request, worker_config};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use warmpath_core::engine::transfers::KvTransferLink;
use warmpath_core::event::Role;
use warmpath_worker_sim::WorkerConfig;

pub fn router(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_router"));
    command.current_dir(folder).args(args).env("RUST_LOG", "info").env("NO_COLOR", "1");
    command
}

/// The one line it ends with, and its exit status is 2.
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let line = text.lines().last().unwrap_or_default();
    assert!(text.lines().all(|other| other == line || other.contains("INFO")), "{text}");
    line.to_owned()
}

#[test]
fn a_bad_configuration_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("workers = [\"http://127.0.0.1:1\"]\n", "policy: missing, expected --policy NAME"),
        ("policy = \"best\"\n", "r.toml:1: policy: unknown policy 'best', expected one of"),
        (
            "policy = \"wait-for-room(max_active=x)\"\n",
            "r.toml:1: policy: policy wait-for-room: max_active is 'x', expected a whole number",
        ),
        (
            "policy = \"kv-aware\"\nworkers = [\"http://h:1\"]\n[queue]\nlongest_wait_s = 0\n",
            "r.toml:4: queue.longest_wait_s: 0, expected 0.001 to 86400 s",
        ),
        (
            "policy = \"kv-aware\"\nworkers = [\"http://h:1\"]\n[queue]\nlength = 3\n",
            "r.toml:4: queue.length: unknown field `length`; known are requests, prompt_tokens",
        ),
        ("policy = \"kv-aware\"\n", "r.toml: workers: none, expected at least 1"),
        (
            "policy = \"kv-aware\"\nworkers = [\"localhost:1\"]\n",
            "r.toml:2: workers[0]: 'localhost",
        ),
        (
            "wrokers = []\n",
            "r.toml:1: wrokers: unknown field `wrokers`, perhaps you meant workers or worker or workers_at; known are",
        ),
        (
            "policy = \"kv-aware\"\nsharing = \"world\"\n",
            "r.toml:2: sharing: \"world\" is unknown; expected",
        ),
        (
            "policy = \"kv-aware\"\nworkers = [\"http://127.0.0.1:1\"]\n[[tenants]]\nname = \"a\"\n\
             token = \"a-token-of-some-length\"\n",
            "r.toml: secret: none, expected one with [[tenants]]",
        ),
        (
            "policy = \"kv-aware\"\n[[tenants]]\nname = \"a\"\ntoken_file = \"none\"\n",
            "r.toml:4: tenants[0].token_file: none: No such file",
        ),
        (
            "policy = \"kv-aware\"\ntenant = \"x\"\n[[tenants]]\nname = \"a\"\ntoken = \"y\"\n",
            "tenant: given with [[tenants]], expected only one of the two",
        ),
        (
            "policy = \"kv-aware\"\n[[public_prefixes]]\nname = \"s\"\nfile = \"ids.json\"\n\
             tokens = 4\n",
            "r.toml:5: public_prefixes[0].tokens: 4, but ids.json has 3",
        ),
        (
            "policy = \"kv-aware\"\n[[public_prefixes]]\nname = \"s\"\nfile = \"r.toml\"\n\
             tokens = 4\n",
            "r.toml:4: public_prefixes[0].file: r.toml: expected value at line 1 column 1, expected a",
        ),
        (
            "policy = \"kv-aware\"\n[[worker]]\nurl = \"http://h:1\"\nkv_events = \"h:2\"\n\
             profile = \"llama-70b-fp8-2xh100\"\n",
            "r.toml:4: worker[0].kv_events: 'h:2', expected tcp://host:port, \"auto\" or \"none\"",
        ),
        (
            "policy = \"kv-aware\"\n[[worker]]\nurl = \"http://h:1\"\nkv_events = \"auto\"\n\
             profile = \"llama-7b\"\n",
            "r.toml:5: worker[0].profile: ",
        ),
        (
            "policy = \"kv-aware\"\n[[worker]]\nurl = \"http://h:1\"\nkv_events = \"auto\"\n\
             profile = \"llama-70b-fp8-2xh100\"\n[[public_prefixes]]\nname = \"s\"\n\
             file = \"ids.json\"\ntokens = 3\n",
            "r.toml:6: public_prefixes: given with [[worker]], expected only one of the two",
        ),
    ];
    let reliability = "policy = \"kv-aware\"\nworkers = [\"http://h:1\"]\n[reliability]\n";
    let health = format!("{reliability}retry = false\nhealth = {{ failures = 0 }}\n");
    let time = format!("{reliability}time = 3\n");
    let admission = "policy = \"kv-aware\"\nworkers = [\"http://h:1\"]\n[admission]\n";
    let ttft = format!("{admission}ttft_s = 0.0\n");
    let weights = format!("{admission}weights = {{ gold = 2.0 }}\n");
    let cases = cases.into_iter().chain([
        (&*ttft, "r.toml:4: admission.ttft_s: 0, expected more than 0, at most 1000000"),
        (&*weights, "r.toml:4: admission.weights.gold: no such tenant, expected one of"),
        (&*health, "r.toml:5: reliability.health.failures: 0, expected 1 to 1000"),
        (&*time, "r.toml:4: reliability.time: expected true, false or a table of limits"),
    ]);
    std::fs::write(folder.path().join("ids.json"), "[1, 2, 3]").unwrap();
    for (text, expected) in cases {
        std::fs::write(folder.path().join("r.toml"), text).unwrap();
        let output = router(folder.path(), &["--config", "r.toml"]).output().unwrap();
        let line = complaint(&output);
        assert!(line.starts_with(expected), "'{line}' for {text:?}, expected '{expected}'");
    }
}

#[test]
fn an_unusable_address_or_file_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let base = ["--policy", "kv-aware", "--worker", "http://127.0.0.1:1", "--listen"];
    let with = |listen: &str, more: &[&str]| {
        let args = [&base[..], &[listen], more].concat();
        complaint(&router(folder.path(), &args).output().unwrap())
    };
    assert!(with(&address, &[]).starts_with(&format!("listen: {address}: ")));
    let line = with("0.0.0.0:0", &[]);
    assert!(
        line.ends_with("is not a loopback address, expected one, TLS or --insecure-bind"),
        "{line}"
    );
    let line = with("127.0.0.1:0", &["--record", "no/such/folder"]);
    assert!(line.starts_with("record: 'no/such/folder': No such file"), "{line}");
    let line = with("127.0.0.1:0", &["--metrics-listen", &address]);
    assert!(line.starts_with(&format!("metrics_listen: {address}: ")), "{line}");
}

#[test]
fn completions_and_manual_name_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    for (args, word) in [
        (&["completions", "bash"][..], "--admin-listen"),
        (&["completions", "zsh"], "undrain"),
        (&["completions", "fish"], "queue-requests"),
        (&["man"], ".TH router 1"),
    ] {
        let output = router(folder.path(), args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(word), "{args:?}: {output:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_one_line_and_status_1() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let admin = ["admin", "--target", &running.admin, "workers"];
    let json = [&admin[..], &["--json"]].concat();
    let all: [&[&str]; 7] = [
        &["--help"],
        &["--version"],
        &["admin", "--help"],
        &["completions", "bash"],
        &["man"],
        &admin,
        &json,
    ];
    for args in all {
        let mut command = router(folder.path(), args);
        let output = command.stdout(full.try_clone().unwrap()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(text.starts_with("standard output: "), "{args:?}: {text}");
    }
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = free_port();
    let args = ["--policy", "kv-aware", "--worker", "http://127.0.0.1:1", "--record", "run.jsonl"];
    let args = [&args[..], &["--metrics-listen", &metrics]].concat();
    let mut child = router(folder.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it listened");
    }
    assert!(line.contains("tenant=\"default\""), "{line}");
    let page = page_with(&metrics, "warmpath_router_index_runs");
    assert!(page.contains("warmpath_router_speedup "), "{page}");
    assert!(page.starts_with("HTTP/1.0 200"), "{page}");
    assert!(page.contains("\nwarmpath_router_worker_takes_requests{worker=\"w0\"} 0\n"), "{page}");
    assert!(page.contains("\nwarmpath_router_worker_active_requests{worker=\"w0\"} 0\n"), "{page}");
    documented(&page);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let record = std::fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
    assert!(
        record.starts_with("{\"schema\":\"warmpath.record.v2\",\"policy\":\"kv-aware\""),
        "{record}"
    );
}

/// The predicted and the real hit are counted for the same worker: the one that computes the
/// prompt, even if another one decodes.
#[test]
fn overlap_and_hit_are_counted_where_the_prompt_is_computed() {
    let link = KvTransferLink { gb_s: 100.0, latency_us: 50.0, timeout_ms: 20_000.0, hold_ms: 1e9 };
    let sharing = |role| WorkerConfig { role, kv_transfer: Some(link), ..worker_config() };
    let workers = [Role::Prefill, Role::Decode].map(|role| TestWorker::start(sharing(role)));
    let [prefills, decodes] = workers.each_ref().map(TestWorker::url);
    let (folder, metrics, listen) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let speedup = SPEEDUP.to_string();
    let more = [
        "--listen",
        &listen,
        "--metrics-listen",
        &metrics,
        "--speedup",
        &speedup,
        "--worker",
        &prefills,
        "--worker",
        &decodes,
    ];
    let _running = Running::over(folder.path(), &more);
    for worker in ["w0", "w1"] {
        page_with(
            &metrics,
            &format!("warmpath_router_worker_takes_requests{{worker=\"{worker}\"}} 1\n"),
        );
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = client(&format!("http://{listen}"));
        for _ in 0..2 {
            ask(client.clone(), request(prompt(1, 330), 3)).await.expect("an answer");
        }
    });
    // Twenty blocks of 16 in the second prompt.
    let page = page_with(&metrics, "warmpath_router_hit_blocks_total{worker=\"w0\"} 20\n");
    assert!(page.contains("\nwarmpath_router_overlap_blocks_total{worker=\"w0\"} 20\n"), "{page}");
    assert!(page.contains("\nwarmpath_router_hit_blocks_total{worker=\"w1\"} 0\n"), "{page}");
}

/// The metrics, when they have come to `name`.
pub fn page_with(address: &str, name: &str) -> String {
    let mut last = String::new();
    for _ in 0..100 {
        let mut scrape = std::net::TcpStream::connect(address).unwrap();
        scrape.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        scrape.read_to_string(&mut page).unwrap();
        if page.contains(name) {
            return page;
        }
        last = page;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no {name} in 5 s: {last}");
}

/// Each metric has a HELP line and an entry in docs/metrics.md.
pub fn documented(page: &str) {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));
    let docs = docs.unwrap();
    let mut names = 0;
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(page.contains(&format!("# HELP {name} ")), "no HELP for {name}");
        assert!(docs.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
        names += 1;
    }
    assert!(names >= 4, "{page}");
}

pub fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A router that runs with an admin listener, and that listener's URL.
pub struct Running {
    child: std::process::Child,
    pub admin: String,
}

impl Running {
    fn start(folder: &Path) -> Self {
        Self::over(folder, &["--worker", "http://127.0.0.1:1"])
    }

    pub fn over(folder: &Path, more: &[&str]) -> Self {
        Self::with(folder, "kv-aware", more)
    }

    pub fn with(folder: &Path, policy: &str, more: &[&str]) -> Self {
        let base = ["--policy", policy, "--admin-listen"];
        let address = free_port();
        let args = [&base[..], &[&address], more].concat();
        let mut child = router(folder, &args).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.find(|line| line.as_ref().unwrap().contains("admin")).unwrap().unwrap();
        assert!(said.contains(&address), "{said}");
        // Reads on, so that what it says finds room.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, admin: format!("http://{address}") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_operator_queries_and_controls_a_router() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let admin = |args: &[&str]| {
        let args = [&["admin", "--target", &running.admin], args].concat();
        // A secret in the environment is the server's; the client does not use it.
        router(folder.path(), &args).env("WARMPATH_SECRET", "s").output().unwrap()
    };
    let says = |args: &[&str]| {
        let output = admin(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let refuses = |args: &[&str], status: i32| {
        let output = admin(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let table = says(&["workers"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with("w0            lost") && row.contains("http://127.0.0.1:1"), "{table}");
    assert!(says(&["add", "http://127.0.0.1:2"]).starts_with("w1 added"));
    let json: serde_json::Value = serde_json::from_str(&says(&["workers", "--json"])).unwrap();
    assert_eq!(json["workers"][1]["number"], 1);
    assert_eq!(json["workers"][1]["standing"], "lost");
    assert!(says(&["drain", "w1", "--width", "200"]).contains("drained by the operator"));
    assert!(!says(&["undrain", "w1", "--width", "200"]).contains("drained by the operator"));
    assert_eq!(says(&["remove", "w1"]), "removed\n");
    assert!(says(&["policy"]).starts_with("kv-aware: The worker with the least"));
    assert_eq!(says(&["policy", "random"]), "set; kv-aware before\n");
    assert!(says(&["policy"]).starts_with("random: "));

    let line = refuses(&["drain", "w1"], 1);
    assert_eq!(line, format!("{}: number: w1 is no worker of this router\n", running.admin));
    let line = refuses(&["explain", "missing"], 1);
    assert!(line.ends_with("'missing' is not among the last 256 decisions\n"), "{line}");
    assert!(refuses(&["add", "there:1"], 1).contains("expected http://host:port"));
    // It may be a name, so only the router knows.
    assert!(refuses(&["drain", "me"], 1).contains("expected a number such as w3"));
    let line = refuses(&["policy", "best"], 2);
    assert!(line.starts_with("unknown policy 'best', expected one of: round-robin, "), "{line}");
    let waits = "wait-for-room(max_active=3)";
    assert_eq!(says(&["policy", waits]), "set; random before\n");
    assert!(says(&["policy"]).starts_with(&format!("{waits}: The least loaded worker")));
    let line = refuses(&["policy", "wait-for-room(max_active=0)"], 2);
    let expected = "policy wait-for-room: max_active is '0', expected a whole number from 1";
    assert!(line.starts_with(expected) && line.lines().count() == 1, "{line}");
    let line = refuses(&["policy", "wait-for-room(room=1)"], 2);
    assert!(line.contains("has no parameter 'room', expected one of: max_active, r"), "{line}");
    let alone = |target: &str| {
        let args = ["admin", "--target", target, "workers"];
        let output = router(folder.path(), &args).output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        (output.status.code(), line)
    };
    assert_eq!(alone("here"), (Some(2), "--target: 'here', expected http://host:port\n".into()));
    let (status, line) = alone("http://127.0.0.1:1");
    assert!(status == Some(1) && line.contains("refused"), "{line}");
}

#[test]
fn held_requests_are_counted() {
    let worker = TestWorker::start(worker_config());
    let (folder, metrics, listen) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let (speedup, worker_url) = (SPEEDUP.to_string(), worker.url());
    let more = [
        "--listen",
        &listen,
        "--metrics-listen",
        &metrics,
        "--speedup",
        &speedup,
        "--worker",
        &worker_url,
        "--queue-requests",
        "1",
    ];
    let running = Running::over(folder.path(), &more);
    let waits = ["admin", "--target", &running.admin, "policy", "wait-for-room(max_active=1)"];
    let set = router(folder.path(), &waits).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&set.stdout), "set; kv-aware before\n", "{set:?}");
    page_with(&metrics, "warmpath_router_worker_takes_requests{worker=\"w0\"} 1\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let url = format!("http://{listen}");
    let mut first = client(&url);
    let endless = runtime.block_on(first.generate_stream(request(prompt(1, 40), 60_000))).unwrap();
    let second = runtime.spawn(ask(client(&url), request(prompt(2, 70), 3)));
    let page = page_with(&metrics, "warmpath_router_requests_held 1\n");
    assert!(page.contains("warmpath_router_held_prompt_tokens 70\n"), "{page}");
    let refused = runtime.block_on(ask(client(&url), request(prompt(3, 10), 3))).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    drop(endless);
    assert_eq!(runtime.block_on(second).unwrap().unwrap().1, "w0");
    let page = page_with(&metrics, "warmpath_router_requests_held 0\n");
    assert!(page.contains("warmpath_router_held_prompt_tokens 0\n"), "{page}");
    assert!(
        page.contains("warmpath_router_hold_seconds_count{outcome=\"dispatched\"} 1\n"),
        "{page}"
    );
    let refused = "warmpath_router_requests_refused_total{policy=\"wait-for-room(max_active=1)\",\
                   code=\"ResourceExhausted\"} 1\n";
    assert!(page.contains(refused), "{page}");
    documented(&page);
}

#[test]
fn the_admin_service_stays_on_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["--policy", "kv-aware", "--worker", "http://127.0.0.1:1", "--insecure-bind"];
    let with = |address: &str| {
        let args = [&base[..], &["--admin-listen", address]].concat();
        complaint(&router(folder.path(), &args).output().unwrap())
    };
    let line = with("0.0.0.0:0");
    assert_eq!(
        line,
        "admin_listen: 0.0.0.0:0 is not a loopback address, expected one or [admin_tls]"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(with(&address).starts_with(&format!("admin_listen: {address}: ")));
    std::fs::write(
        folder.path().join("r.toml"),
        "policy = \"random\"\nworkers = [\"http://h:1\"]\nexplain_last = 70000\n",
    )
    .unwrap();
    let line = complaint(&router(folder.path(), &["--config", "r.toml"]).output().unwrap());
    assert_eq!(line, "r.toml:3: explain_last: 70000, expected up to 65536");
}
