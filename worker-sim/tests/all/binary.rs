//! The binaries: what they say when they can't start, and that they stop when told to.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROFILE: &str = "name = \"tiny\"
validated = false
block_size = 16
kv_bytes_per_token = 1000
max_num_seqs = 8
max_num_batched_tokens = 512

[step]
base_ns = 1e6
weights_ns = 1e6
ns_per_token = 1e3
ns_per_pair = 0.0
ns_per_context_token = 0.0
ns_per_seq = 0.0
";

fn worker(folder: &Path, args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_worker-sim"), folder, args)
}

fn pool(folder: &Path, args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_pool"), folder, args)
}

fn program(path: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.current_dir(folder).args(args).env("RUST_LOG", "info").env("NO_COLOR", "1");
    command
}

/// The one line it ends with, and its exit status is 2.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), PROFILE).unwrap();
    folder
}

#[test]
fn a_bad_configuration_is_one_line() {
    let folder = folder();
    let cases = [
        ("profile = \"tiny.toml\"\nsped = 1.0\n", "w.toml:2: sped: unknown field `sped`"),
        (
            "profile = \"tiny.toml\"\n[kv_events]\nendpoint = \"h\"\n",
            "w.toml:3: kv_events.endpoint: 'h', expected tcp://address:port",
        ),
        (
            "profile = \"tiny.toml\"\n[kv_events]\nendpoint = \"tcp://*:5557\"\n",
            "kv_events.endpoint: 0.0.0.0:5557 is not a loopback address, expected one or --insecure-bind",
        ),
        (
            "profile = \"tiny.toml\"\nspeedup = \"x\"\n",
            "w.toml:2: speedup: \"x\", expected a number",
        ),
        (
            "speedup = 2.0\nprofile = 3\n",
            "w.toml:2: profile: 3, expected a profile's path or a table",
        ),
        (
            "model = \"m\"\n",
            "profile: missing, expected --profile NAME or FILE, or one in --config",
        ),
        ("profile = \"none.toml\"\n", "none.toml: No such file"),
        ("profile = \"tiny.toml\"\nspeedup = 0.0\n", "w.toml:2: speedup: 0, expected 0.001 to"),
        ("profile = \"bad.toml\"\n", "bad.toml:5: max_num_seqs: 0, expected at least 1"),
    ];
    let bad = PROFILE.replace("max_num_seqs = 8", "max_num_seqs = 0");
    std::fs::write(folder.path().join("bad.toml"), bad).unwrap();
    for (text, expected) in cases {
        std::fs::write(folder.path().join("w.toml"), text).unwrap();
        let output = worker(folder.path(), &["--config", "w.toml"]).output().unwrap();
        let line = complaint(&output);
        assert!(line.starts_with(expected), "'{line}' for {text:?}, expected '{expected}'");
    }
}

#[test]
fn an_address_that_can_not_be_had_is_one_line() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        worker(folder.path(), &["--profile", "tiny.toml", "--listen", &address]).output().unwrap();
    assert!(complaint(&output).starts_with(&format!("listen: {address}: ")));
    let output = worker(folder.path(), &["--profile", "tiny.toml", "--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    let line = complaint(&output);
    assert!(
        line.ends_with("is not a loopback address, expected one, TLS or --insecure-bind"),
        "{line}"
    );
}

#[test]
fn completions_and_manual_name_what_there_is() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let args = ["completions", shell];
        assert!(printed(worker(folder.path(), &args)).contains("hbm-tokens"), "{shell}");
        assert!(printed(pool(folder.path(), &args)).contains("tenant-quota"), "{shell}");
    }
    assert!(printed(worker(folder.path(), &["man"])).contains(".TH worker-sim 1"));
    assert!(printed(pool(folder.path(), &["man"])).contains(".TH pool 1"));
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn output_that_cannot_be_written_is_one_line_and_status_1() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let folder = folder();
    let all: [&[&str]; 4] = [&["--help"], &["--version"], &["completions", "bash"], &["man"]];
    for args in all {
        for mut command in [worker(folder.path(), args), pool(folder.path(), args)] {
            let output = command.stdout(full.try_clone().unwrap()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
            assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
            assert!(text.starts_with("standard output: "), "{args:?}: {text}");
        }
    }
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    let folder = folder();
    let args = ["--profile", "tiny.toml", "--hbm-tokens", "unlimited", "--speedup", "20"];
    serves_and_stops(worker(folder.path(), &args));
}

/// The tiny profile, and the way to a pool.
fn sharing() -> String {
    let link = "gb_s = 1.0\nlatency_us = 1.0\nfill = \"write-through\"\nloads = \"always\"\n";
    format!("{PROFILE}\n[pool]\n{link}timeout_ms = 1.0\n")
}

#[test]
fn a_pool_says_in_one_line_what_is_wrong_and_serves_until_it_is_told_to_stop() {
    let folder = folder();
    std::fs::write(folder.path().join("sharing.toml"), sharing()).unwrap();
    let spec = "[pool]\ntokens = 1600\ngb_s = 1.0\nstore_gb_s = 1.0\neviction = \"lru\"\n";
    let cases = [
        (format!("profile = \"tiny.toml\"\n{spec}"), "p.toml:1: profile: it has no [pool]"),
        (format!("profile = \"none.toml\"\n{spec}"), "none.toml: No such file"),
        ("profile = \"sharing.toml\"\n".to_owned(), "tokens: missing, expected --tokens N or"),
        (spec.to_owned(), "profile: missing, expected --profile NAME or FILE or one in --config"),
        (
            format!("profile = \"sharing.toml\"\n{}", spec.replace("1600", "15")),
            "p.toml:3: pool.tokens: 15, expected at least one block of 16",
        ),
        (
            format!("profile = \"sharing.toml\"\n{}", spec.replace("lru", "fifo")),
            "p.toml:6: pool.eviction: \"fifo\" is unknown; expected lru, arc",
        ),
        (
            format!("profile = \"sharing.toml\"\n{spec}tenant_quota = 1.5\n"),
            "p.toml:7: pool.tenant_quota: 1.5, expected a share of the room: more than 0, at most 1",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(folder.path().join("p.toml"), &text).unwrap();
        let output = pool(folder.path(), &["--config", "p.toml"]).output().unwrap();
        let line = complaint(&output);
        assert!(line.starts_with(expected), "'{line}' for {text:?}, expected '{expected}'");
    }
    let args =
        ["--profile", "sharing.toml", "--tokens", "1600", "--gb-s", "1", "--store-gb-s", "1"];
    serves_and_stops(pool(folder.path(), &args));
    // A worker says that it lacks one.
    let output = worker(folder.path(), &["--profile", "sharing.toml"]).output().unwrap();
    let line = complaint(&output);
    assert_eq!(line, "pool: missing, expected http://host:port because the profile has a [pool]");
}

fn serves_and_stops(mut command: Command) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("no address in '{line}'"));
    assert!(std::net::TcpStream::connect(address).is_ok(), "{address} answers");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("draining"), "{rest}");
}
