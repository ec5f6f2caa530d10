//! The script of `docs/staging.md`, run as it is printed: a reader with the binaries and no checkout.
//! Only the ports differ, since a machine may use them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PAGE: &str = include_str!("../../docs/staging.md");
/// The script takes some 30 s.
const LIMIT: Duration = Duration::from_secs(150);

/// The blocks of commands between the two marks, as one script.
fn script(page: &str) -> String {
    let (_, after) = page.split_once("<!-- script:").expect("the start of the script");
    let (inside, _) = after.split_once("<!-- end of the script -->").expect("its end");
    let blocks: Vec<&str> = inside
        .split("```bash\n")
        .skip(1)
        .map(|block| block.split_once("```").expect("a block has an end").0)
        .collect();
    assert!(blocks.len() > 3, "{} blocks", blocks.len());
    blocks.concat()
}

/// The same script on ports that are free now.
fn on_free_ports(script: &str) -> String {
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    let mut held = Vec::new();
    let mut out = String::new();
    let mut rest = script;
    while let Some(at) = rest.find("70") {
        let (before, after) = rest.split_at(at);
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        out.push_str(before);
        let whole = port.len() == 4 && !before.ends_with(|c: char| c.is_ascii_digit());
        let port_or_text = if whole {
            let free = *ports.entry(port.clone()).or_insert_with(|| {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                let free = listener.local_addr().expect("it listens").port();
                held.push(listener);
                free
            });
            free.to_string()
        } else {
            port.clone()
        };
        out.push_str(&port_or_text);
        rest = &after[port.len()..];
    }
    assert!(ports.len() > 4, "{ports:?}");
    out + rest
}

/// The folder of the binaries. Those of the other crates are built if they are not there.
fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_loadgen")).parent().expect("a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline", "-p", "warmpath-router", "-p", "warmpath-worker-sim"]);
    build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let is_there = |name: &str| folder.join(name).is_file();
    if !["router", "worker-sim"].into_iter().all(is_there) {
        assert!(build.status().expect("cargo starts").success(), "the binaries are built");
    }
    folder.to_owned()
}

#[cfg(unix)]
#[test]
fn the_script_of_the_page_runs_as_it_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n");
    write!(text, "{}", on_free_ports(&script(PAGE))).expect("a string");
    // The last `wait` gives the status of processes that were told to end.
    let text = text.replace("; wait\n", "; wait || true\n");
    std::fs::write(folder.path().join("script.sh"), &text).expect("a script");
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
    let child = Command::new("timeout")
        .args(["--kill-after=10", &LIMIT.as_secs().to_string(), "bash", "script.sh"])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("bash starts");
    let (said, complaints) =
        (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    let log = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let run_log = log("staging/run.log");
    assert!(
        child.status.success(),
        "{said}\n{complaints}\n{run_log}\n{}",
        log("staging/router.log")
    );
    for expected in [
        "gpu-a",
        "Phases of the run",
        "2x..4x",
        "Intervals of the run",
        "In the fleet meanwhile",
        "drained gpu-b (w1)",
        "policy least-loaded",
        "joined gpu-d (w3)",
        "kind,phase,from_s,to_s",
        "by warmpath",
        "undrained",
    ] {
        assert!(said.contains(expected), "no '{expected}' in\n{said}\n{complaints}");
    }
    let series = log("staging/series.csv");
    assert_eq!(series.lines().count(), 1 + 4 + 7, "a head, 4 phases, 7 intervals: {series}");
}

#[test]
fn a_page_may_have_more_blocks() {
    let page = "x\n<!-- script: a -->\n```bash\na\n```\ntext\n```bash\nb 7001\n```\n```text\nno\n```\n\
                ```bash\nc\n```\n```bash\nd\n```\n<!-- end of the script -->\n```bash\nno\n```\n";
    assert_eq!(script(page), "a\nb 7001\nc\nd\n");
}
