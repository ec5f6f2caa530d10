//! The scripts of `docs/first-hour.md` and `docs/staging.md`, run as they are printed: a reader with the
//! binaries and no checkout. Only the ports differ, since a machine may use them, and a failed command ends it.

#[path = "common/binaries.rs"]
mod binaries;

use binaries::binaries;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const FIRST_HOUR: &str = include_str!("../../docs/first-hour.md");
const STAGING: &str = include_str!("../../docs/staging.md");
/// A script takes some 30 s.
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

/// Runs a script in a folder of its own.
fn play(folder: &Path, script: &str) -> Output {
    let mut text = String::from("set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n");
    text.push_str(script);
    std::fs::write(folder.join("script.sh"), &text).expect("a script");
    let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
    Command::new("timeout")
        .args(["--kill-after=10", &LIMIT.as_secs().to_string(), "bash", "script.sh"])
        .current_dir(folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("bash starts")
}

#[cfg(unix)]
#[test]
fn the_first_hour_runs_as_it_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = play(folder.path(), &script(FIRST_HOUR));
    let (said, complaints) =
        (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{said}\n{complaints}");
    for expected in [
        "llama-70b-fp8-2xh100",
        "131072 bytes of KV a token",
        "my-workload, 8 workers of profile mine",
        "trace.jsonl: mooncake trace, 60 requests",
        "trace, 2 workers of profile mine",
        "Means over 5 seeds",
        "Over 2 cells",
    ] {
        assert!(said.contains(expected), "no '{expected}' in\n{said}\n{complaints}");
    }
}

#[cfg(unix)]
#[test]
fn a_fleet_in_staging_runs_as_it_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    // The last `wait` gives the status of processes that were told to end.
    let script = on_free_ports(&script(STAGING)).replace("; wait\n", "; wait || true\n");
    // A busy machine may make the run not valid, which its exit status says.
    let script = script.replace("wait $load;", "wait $load || true;");
    let child = play(folder.path(), &script);
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
        " prompt tokens, at ",
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
