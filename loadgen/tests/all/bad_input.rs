//! Bad input gets one line that says where and what was expected, exit status 2, and no partial
//! files.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn loadgen(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .current_dir(folder)
        .args(args)
        .output()
        .expect("loadgen starts")
}

/// Checks that the command is refused with one line that contains all of `parts`.
fn assert_refused(folder: &Path, args: &[&str], parts: &[&str]) {
    let output = loadgen(folder, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?} said: {text}");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{args:?} said more than one line: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?} said {text} without {part}");
    }
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for files")
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file can be written");
}

const AGENTS: &str = r#"{"session":"a","bs":64,"scope":"local","requests":[{"t_ms":0,"in":100,"out":2,"think_ms":0,"api_ms":9,"runs":[[5,1]]}]}"#;
const GOOD: &str =
    r#"{"timestamp": 0, "input_length": 600, "output_length": 4, "hash_ids": [1, 2]}"#;

#[test]
fn traces_are_refused_by_file_line_and_field() {
    let folder = folder();
    let here = folder.path();
    let cases: [(&str, &[&str]); 6] = [
        ("{oops", &["t.jsonl", "line 2", "not a JSON object"]),
        (r#"{"timestamp": 0}"#, &["t.jsonl", "line 2", "input_length", "missing"]),
        (
            r#"{"timestamp": -5, "input_length": 1, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "timestamp", "-5", "expected a number of 0 or more"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 99999999999, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "input_length", "99999999999"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [1]}"#,
            &["line 2", "hash_ids", "expected 2"],
        ),
        (
            r#"{"timestamp": 0, "input_length": 600, "output_length": -1, "hash_ids": [1, 2]}"#,
            &["line 2", "output_length", "-1"],
        ),
    ];
    for (bad, parts) in cases {
        write(here, "t.jsonl", &format!("{GOOD}\n{bad}\n"));
        assert_refused(here, &["sim", "--trace", "t.jsonl"], parts);
    }
    write(here, "empty.jsonl", "\n");
    assert_refused(here, &["sim", "--trace", "empty.jsonl"], &["empty.jsonl", "no requests"]);
    assert_refused(here, &["sim", "--trace", "missing.jsonl"], &["missing.jsonl"]);
    write(here, "t.jsonl", GOOD);
    assert_refused(
        here,
        &["sim", "--trace", "t.jsonl", "--block-size", "48"],
        &["t.jsonl", "48", "512"],
    );
    assert_eq!(loadgen(here, &["sim", "--trace", "t.jsonl"]).status.code(), Some(0));
}

/// Faults of several files are said together, each once and at its line; a flag's fault is said alone.
#[test]
fn errors_of_several_files_are_said_once_and_at_their_lines() {
    let folder = folder();
    let here = folder.path();
    let group = "[[group]]\nworkers = 1\nprofile = \"p.toml\"\n";
    let top = "name = \"s\"\nworkload = \"w.toml\"\nseed = 1\n";
    write(here, "s.toml", &format!("{top}{group}{group}"));
    std::fs::write(here.join("p.toml"), b"name = \"p\"\nmodel = \"\xff\"\n").expect("a file");
    write(here, "w.toml", "name = \"w\"\nrequests = 5 5\n");
    let output = loadgen(here, &["sim", "--scenario", "s.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let places: Vec<&str> = said.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(places, ["p.toml:2:", "w.toml:2:", "s.toml:1:"], "{said}");
    let flags = ["sim", "--scenario", "s.toml", "--workers", "4294967295"];
    write(here, "s.toml", &format!("{top}workers = 2\nprofile = \"p.toml\"\n"));
    assert_refused(here, &flags, &["--workers: 4294967295"]);
    // A line break in a value begins no line.
    write(here, "s.toml", &format!("{top}workers = 2\n\"a\\nb\" = 1\n"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:5: a\\nb: unknown field"]);
    assert_refused(here, &["sim", "--baseline", "a\nb"], &["--baseline: 'a\\nb'"]);
}

/// A file without an end is refused before it fills the memory, whatever it is given as.
#[test]
fn files_without_an_end_are_refused() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.toml", "[[tenants]]\nname = \"a\"\ntoken_file = \"/dev/zero\"\n");
    let all: [&[&str]; 8] = [
        &["sim", "--workload", "/dev/zero"],
        &["sim", "--scenario", "/dev/zero"],
        &["sim", "--profile", "/dev/zero"],
        &["sim", "--cost", "--prices", "/dev/zero"],
        &["sim", "--trace", "/dev/zero"],
        &["replay", "/dev/zero"],
        &["rank", "/dev/zero"],
        &["run", "--target", "http://127.0.0.1:1", "--tenants-file", "t.toml"],
    ];
    for args in all {
        let limited = "ulimit -v 1048576; exec \"$0\" \"$@\"";
        let mut command = Command::new("bash");
        let command = command.args(["-c", limited, env!("CARGO_BIN_EXE_loadgen")]).args(args);
        let output = command.current_dir(here).output().expect("bash starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{args:?}: {said}");
        assert!(said.contains("expected") && !said.contains("memory"), "{args:?}: {said}");
    }
}

#[test]
fn configuration_is_refused_by_file_line_and_key() {
    let folder = folder();
    let here = folder.path();
    let scenario = include_str!("../../../deploy/scenarios/default.toml");
    write(here, "s.toml", &scenario.replace("seed = 1", "sead = 1"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:7", "sead", "seed"]);
    write(here, "s.toml", &scenario.replace("workers = 16", "workers = 0"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:3", "workers", "0"]);
    write(here, "s.toml", &scenario.replace("ttft_s = 2.0", "ttft_s = -2.0"));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:14", "slo.ttft_s", "-2"]);
    for (good, bad, why) in [
        (
            "ttft_s = 2.0",
            "ttft_s = 2000",
            "slo.ttft_s: 2000, expected seconds, at most 120; are these milliseconds? then it is 2",
        ),
        (
            "tpot_s = 0.1",
            "tpot_s = 100.0",
            "slo.tpot_s: 100, expected seconds, at most 10; are these milliseconds? then it is 0.1",
        ),
    ] {
        write(here, "s.toml", &scenario.replace(good, bad));
        assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:1", why]);
    }
    write(here, "s.toml", &scenario.replace("\"dynamo\"", "\"magic\""));
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:6", "magic", "kv-aware"]);
    write(here, "s.toml", "workers = = 3");
    assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:1"]);

    let profile = include_str!("../../../deploy/profiles/lab-tp2.toml");
    write(here, "p.toml", &profile.replace("max_num_seqs", "max_num_sequences"));
    assert_refused(here, &["sim", "--profile", "p.toml"], &["p.toml", "max_num_sequences"]);
    write(here, "p.toml", &profile.replace("block_size = 16", "block_size = 0"));
    assert_refused(here, &["sim", "--profile", "p.toml"], &["p.toml:6", "block_size", "0"]);

    let workload = include_str!("../../../deploy/workloads/assistant.toml");
    write(here, "w.toml", &workload.replace("system_prompts = 4", "system_prompts = 0"));
    assert_refused(here, &["sim", "--workload", "w.toml"], &["w.toml:5", "system_prompts", "0"]);
}

#[test]
fn flags_are_refused_by_name() {
    let folder = folder();
    let here = folder.path();
    assert_refused(here, &["sim", "--policies", "magic"], &["magic", "round-robin", "kv-aware"]);
    assert_refused(here, &["sim", "--workers", "0"], &["workers", "0"]);
    assert_refused(here, &["sim", "--workload", "nonsense"], &["nonsense", "assistant"]);
    assert_refused(here, &["sim", "--profile", "nonsense"], &["nonsense", "lab-tp2"]);
    assert_refused(here, &["run", "--target", "localhost:1"], &["--target", "http://"]);
    write(here, "t.jsonl", GOOD);
    write(here, "a.jsonl", AGENTS);
    let scale = "expected a number from 0.000001 to 1000000";
    let cases: [(&str, &[&str]); 57] = [
        ("sim --hbm-tokens 0", &["--hbm-tokens", "'0'", "above 0 or \"unlimited\""]),
        ("sim --hbm-tokens 99999999999999999999", &["--hbm-tokens", "whole number"]),
        ("sim --hbm-tokens 5", &["hbm_tokens: 5", "one block of 16"]),
        ("sim --block-size 0", &["block_size: 0", "1 to 65536"]),
        ("sim --block-size -16", &["--block-size", "'-16'", "expected a whole number"]),
        ("sim --workers x", &["--workers", "'x'", "expected a whole number"]),
        ("sim --workers 70000", &["--workers: 70000", "65535"]),
        ("sim --rate-scale -1", &["--rate-scale", "'-1'", scale]),
        ("sim --rate-scale NaN", &["--rate-scale", "'NaN'", scale]),
        ("sim --rate-scale 1e-300", &["--rate-scale", scale]),
        ("sim --rates 1,,2", &["--rates", "''", scale]),
        ("sim --rates 1,1.0", &["--rates: 1 is given twice"]),
        ("sim --rates 1 --rate-scale 2", &["--rates", "cannot be used with", "--rate-scale"]),
        ("sim --seed -1", &["--seed", "'-1'", "whole number"]),
        (
            "sim --seed 18446744073709551615 --seeds 2",
            &["--seeds: 2 seeds from 18446744073709551615"],
        ),
        ("sim --seeds 0", &["--seeds", "0 is not in 1..=10000"]),
        ("sim --policies all,random", &["--policies: policy label 'random' is used twice"]),
        ("sim --policies everything", &["--policies: unknown policy 'everything'", "round-robin"]),
        ("sim --policies naive+late", &["--policies: policy 'naive+late'", "'late'", "hold"]),
        ("sim --policies random,random", &["--policies: policy label 'random' is used twice"]),
        (
            "sim --baseline random",
            &["--baseline: 'random', expected one of: round-robin, session-affinity"],
        ),
        ("sim --unheard-of", &["--unheard-of", "unexpected argument"]),
        ("sim --json", &["--json <FILE>", "value is required"]),
        ("sim --json x --csv x", &["--csv: x is used by another flag"]),
        ("sim --csv x --parquet x", &["--parquet: x is used by another flag"]),
        ("sim --record t.jsonl", &["t.jsonl", "exists"]),
        ("sim --seeds 2 --record logs", &["--record", "one seed and one rate"]),
        ("sim --tick-jitter", &["--tick-jitter: only a trace"]),
        (
            "sim --trace t.jsonl --tick-jitter --arrivals poisson",
            &["--tick-jitter: --arrivals poisson"],
        ),
        ("sim --trace a.jsonl --tick-jitter", &["--tick-jitter: ", "closed loop"]),
        ("sim --trace a.jsonl --sessions 0", &["--sessions", "'0'", "whole number above 0"]),
        ("sim --trace a.jsonl --think-cap -1", &["--think-cap", "'-1'", "seconds, 0 or more"]),
        ("sim --trace t.jsonl --arrivals gamma:0", &["--arrivals", "cv: 0", "0.01 to 10"]),
        ("sim --trace t.jsonl --format csv", &["--format", "'csv'", "mooncake", "dynamo"]),
        ("sim --trace t.jsonl --workload chat", &["--trace", "cannot be used with", "--workload"]),
        ("sim --sessions 3", &["required", "--trace <FILE>"]),
        ("compare --speedup 1e5 --live-requests 1", &["--speedup", "0.001 to 10000"]),
        ("compare --live-requests -3", &["--live-requests", "'-3'", "whole number"]),
        ("compare --live-requests 1 --record t.jsonl", &["t.jsonl", "exists"]),
        ("compare --live-requests 0 --speedup 3", &["--speedup: there is no live leg"]),
        ("compare --target x=http://h", &["--target", "NAME=grpc://HOST:PORT", "'x=http://h'"]),
        ("compare --target x=http://h:1", &["--target: ", "expected --worker-http"]),
        ("compare --worker-http http://h:1", &["--worker-http: ", "expected --target"]),
        (
            "compare --target x=http://h:1 --target x=grpc://h:2 --worker-http http://h:3",
            &["--target: two are called x"],
        ),
        (
            "compare --target x=http://h:1 --worker-http h:3",
            &["--worker-http: 'h:3'", "http://HOST:PORT"],
        ),
        (
            "compare --target x=http://h:1 --worker-http http://h:3 --worker-http http://h:3",
            &["--worker-http: http://h:3 is given twice"],
        ),
        ("sim --json -", &["-: expected a file's path"]),
        ("run", &["required", "--target <URL>"]),
        ("run --target http://", &["--target: 'http://'", "http://HOST:PORT"]),
        ("run --target http://127.0.0.1:99999", &["--target", "http://HOST:PORT"]),
        ("run --target https://127.0.0.1:1", &["--target", "http://HOST:PORT"]),
        ("run --target http://127.0.0.1:1 --requests 0", &["--requests", "above 0"]),
        ("run --target http://127.0.0.1:1 --nonce 4294967296", &["--nonce", "whole number"]),
        ("run --target http://127.0.0.1:1 --tick-jitter", &["--tick-jitter: only a trace"]),
        (
            "run --target http://127.0.0.1:1 --json x --parquet x",
            &["--parquet: x is used by another flag"],
        ),
        ("explain --target nowhere lg-1", &["--target: 'nowhere'", "http://HOST:PORT"]),
        ("explain --target http://127.0.0.1:1", &["required", "<REQUEST_ID>"]),
    ];
    for (args, parts) in cases {
        assert_refused(here, &args.split(' ').collect::<Vec<_>>(), parts);
    }
    let empty = ["explain", "--target", "http://127.0.0.1:1", ""];
    assert_refused(here, &empty, &["<REQUEST_ID>", "value is required"]);
    // No router answers there, which is not the input's fault.
    for args in ["run --target http://127.0.0.1:1", "explain --target http://127.0.0.1:1 a"] {
        let output = loadgen(here, &args.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains("http://127.0.0.1:1") && text.contains("refused"), "{text}");
    }
}

const VLLM_LOG: &[u8] =
    b"INFO 01-05 09:00:00 [logger.py:39] Received request cmpl-1: prompt: 'a', \
    params: SamplingParams(n=1, max_tokens=16), prompt_token_ids: None\n";

/// Files that are damaged, binary, of another kind, too deep or too long.
#[test]
fn files_of_another_kind_are_refused_in_one_line() {
    let folder = folder();
    let here = folder.path();
    let zipped = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    };
    let many = zipped(&format!("{GOOD}\n").repeat(2_000));
    let behind = [zipped(GOOD).as_slice(), b"and more"].concat();
    let second = [GOOD.as_bytes(), b"\n\xc3\x28"].concat();
    // A few hundred lines of spaces behind a good row, and a line that does not end.
    let bomb = zipped(&format!("{GOOD}\n{}", " ".repeat(1 << 20).repeat(31) + "\n").repeat(2));
    let long = [b"{".as_slice(), &vec![b' '; 40 << 20]].concat();
    let deep = format!("{{\"hash_ids\": {}1{}}}", "[".repeat(300), "]".repeat(300));
    let cases: [(&str, &[u8], &[&str]); 16] = [
        ("torn.jsonl.gz", &many[..60], &["gzip", "expected a whole archive"]),
        ("head.jsonl.gz", &many[..5], &["gzip", "expected a whole archive"]),
        ("behind.jsonl.gz", &behind, &["gzip", "expected a whole archive"]),
        ("no.jsonl.gz", b"\x1f\x8bnothing of the kind", &["gzip", "expected a whole archive"]),
        ("none.jsonl.gz", &zipped(""), &["no requests"]),
        ("bytes.jsonl", b"\xff\xfe\x00\x01", &["line 1", "expected a text"]),
        ("second.jsonl", &second, &["line 2", "UTF-8"]),
        ("bomb.jsonl.gz", &bomb, &["gzip", "unpacks to more than 300 times"]),
        ("line.jsonl", &long, &["line 1", "longer than"]),
        ("log.txt", VLLM_LOG, &["vLLM", "lengths of answers"]),
        ("mark.jsonl", b"\xef\xbb\xbf", &["no requests"]),
        ("long.jsonl", &[b'x'; 3_000_000], &["line 1", "known format", "dynamo"]),
        ("deep.jsonl", deep.as_bytes(), &["line 1", "recursion"]),
        ("nan.jsonl", b"{\"timestamp\": NaN, \"hash_ids\": [1]}", &["line 1", "not a JSON object"]),
        ("other.csv", b"a,b\r\n1,2\r\n", &["line 1: header", "TIMESTAMP"]),
        (
            "dynamo.jsonl",
            b"{\"event\": {\"schema\": \"dynamo.request.trace.v2\"}}",
            &["line 1: event.schema", "dynamo.request.trace.v1"],
        ),
    ];
    for (name, bytes, parts) in cases {
        std::fs::write(here.join(name), bytes).expect("a file can be written");
        assert_refused(here, &["sim", "--trace", name], &[&[name], parts].concat());
        for args in [["sim", "--workload"], ["sim", "--profile"], ["sim", "--scenario"]] {
            assert_refused(here, &[args[0], args[1], name], &[name]);
        }
        assert_refused(here, &["replay", name], &[name]);
    }
    write(here, "crlf.jsonl", &format!("\u{feff}{GOOD}\r\n\r\n{GOOD}\r\n"));
    assert_eq!(loadgen(here, &["sim", "--trace", "crlf.jsonl"]).status.code(), Some(0));
}

#[test]
fn workloads_are_refused_by_line_and_field() {
    let folder = folder();
    let here = folder.path();
    let good = include_str!("../../../deploy/workloads/tree-search.toml");
    let line = |part: &str| {
        let at = good.lines().position(|line| line.contains(part)).expect("it is there");
        format!("w.toml:{}: ", at + 1)
    };
    let cases = [
        ("branches = 5", "branches = 0", "branching: branches: 0, expected 1 to 1024"),
        ("branches = 5", "branches = -5", "branching.branches: -5, expected a whole number"),
        ("branches = 5, ", "", "branching.branches: missing, expected a whole number"),
        ("keep = 4", "keeps = 4", "branching.keeps: unknown field `keeps`, perhaps you meant keep"),
        ("requests = 6000", "requests = 6000.5", "requests: 6000.5, expected a whole number"),
        ("requests = 6000", "requests = 1000000000", "requests: 1000000000, expected 1 to"),
        ("mean = 6.0", "mean = nan", "turns: mean NaN"),
        ("mean = 6.0", "mean = inf", "turns: mean inf"),
        ("mean = 350.0, cv = 0.6", "mean = 350.0, cv = -1", "output_tokens: mean 350 and cv -1"),
        ("zipf = 0.0", "zipf = 11", "documents: zipf: 11, expected 0 to 10"),
        ("name = \"tree-search\"", "name = \"\"", "name: empty"),
    ];
    for (from, to, expected) in cases {
        write(here, "w.toml", &good.replacen(from, to, 1));
        let expected = format!("{}{expected}", line(from));
        assert_refused(here, &["sim", "--workload", "w.toml"], &[&expected]);
    }
    let scenario = include_str!("../../../deploy/scenarios/default.toml");
    let cases = [
        ("report_every_ms = 1000", "report_every_ms = 99999999999", "network.report_every_ms"),
        ("hop_us = 100.0", "hop_us = nan", "network.hop_us: NaN"),
        ("speedup = 5.0", "speedup = 1e5", "live.speedup: 100000, expected"),
        ("\"warmpath\"]", "\"round-robin\"]", "policies: policy label 'round-robin' is used twice"),
        (
            "policies = [\"round-robin\", \"session-affinity\", \"dynamo\", \"llm-d-weighted\", \"warmpath\"]",
            "policies = []",
            "policies: none, expected at least one",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(scenario.contains(from), "{from}");
        write(here, "s.toml", &scenario.replacen(from, to, 1));
        assert_refused(here, &["sim", "--scenario", "s.toml"], &["s.toml:", expected]);
    }
}

#[test]
fn nothing_is_left_half_written() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.jsonl", "{oops");
    assert_refused(here, &["sim", "--trace", "t.jsonl", "--json", "out.json"], &["line 1"]);
    assert_refused(here, &["sim", "--json", "no/such/folder/out.json"], &["out.json"]);
    // A path that is not a regular file is not replaced.
    #[cfg(unix)]
    {
        let output = loadgen(here, &["sim", "--workload", "commodity-qa", "--csv", "/dev/stdout"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("\npolicy,variant,mode"), "{text}");
    }
    let left: Vec<_> = std::fs::read_dir(here).expect("the folder is there").collect();
    assert_eq!(left.len(), 1, "only the trace is left: {left:?}");
}

#[test]
fn a_changed_record_does_not_replay() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.jsonl", &format!("{GOOD}\n{GOOD}\n"));
    let output =
        loadgen(here, &["sim", "--trace", "t.jsonl", "--policies", "kv-aware", "--record", "logs"]);
    assert!(output.status.success());
    let whole = loadgen(here, &["replay", "logs/kv-aware.jsonl"]);
    assert_eq!((whole.status.code(), whole.stderr.len()), (Some(0), 0));
    let log = std::fs::read_to_string(here.join("logs/kv-aware.jsonl")).expect("a log");
    let lines: Vec<_> = log.lines().collect();
    write(here, "cut.jsonl", &lines[..lines.len() - 3].join("\n"));
    let output = loadgen(here, &["replay", "cut.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "what is there is replayed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("cut.jsonl: no end line") && said.lines().count() == 1, "{said}");
    let (before, after) = log.split_once("\"decision\":{\"worker\":").expect("a decision");
    let worker: u32 = after[..1].parse().expect("one digit");
    let other = (worker + 1) % 8;
    write(
        here,
        "changed.jsonl",
        &format!("{before}\"decision\":{{\"worker\":{other}{}", &after[1..]),
    );
    let output = loadgen(here, &["replay", "changed.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "a difference is a failure, not bad input");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line"));
    write(here, "torn.jsonl", &log[..log.len() - 50]);
    assert_refused(here, &["replay", "torn.jsonl"], &["torn.jsonl", "line"]);
    write(here, "none.jsonl", "");
    assert_refused(here, &["replay", "none.jsonl"], &["none.jsonl", "empty"]);
}

#[test]
fn scopes_and_tenants_are_refused_by_flag_and_field() {
    let folder = folder();
    let here = folder.path();
    write(here, "t.jsonl", GOOD);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--sharing", "everybody"], &["--sharing", "everybody", "none, session, tenant"]),
        (&["--sharing", "group"], &["--sharing", "group:N"]),
        (&["--tenants", "0"], &["--tenants", "expected 1 to 100000"]),
        (&["--sharing", "all+public", "--trace", "t.jsonl"], &["--sharing", "operator"]),
        (&["--sharing", "tenant", "--tenants", "x"], &["--tenants", "'x'"]),
    ];
    for (flags, parts) in cases {
        assert_refused(here, &[&["sim"], flags].concat(), parts);
    }
    let scenario = include_str!("../../../deploy/scenarios/default.toml");
    let tables: [(&str, &[&str]); 4] = [
        ("scope = \"group\"", &["sharing", "groups = N"]),
        ("groups = 3", &["sharing.groups", "scope = \"group\""]),
        ("scope = \"world\"", &["world", "session"]),
        ("scopes = \"all\"", &["scopes"]),
    ];
    for (lines, parts) in tables {
        write(here, "s.toml", &format!("{scenario}\n[sharing]\n{lines}\n"));
        assert_refused(here, &["sim", "--scenario", "s.toml"], &[&["s.toml:"], parts].concat());
    }
    let run = |flags: &[&str], parts: &[&str]| {
        assert_refused(here, &[&["run", "--target", "http://127.0.0.1:1"], flags].concat(), parts);
    };
    write(
        here,
        "w.toml",
        &include_str!("../../../deploy/workloads/chat.toml").replacen(
            "turns =",
            "tenants = 3\nturns =",
            1,
        ),
    );
    run(&["--workload", "./w.toml"], &["--tenants-file", "3 tenants"]);
    run(&["--tenants-file", "none.toml"], &["none.toml"]);
    let files = [
        ("tenants = []", "tenants: none"),
        ("[[tenants]]\nname = \"a\"", "tenants[0].token: expected one of token, token_file"),
        (
            "[[tenants]]\nname = \"a\"\ntoken = \"short\"",
            "i.toml:3: tenants[0].token: 5 characters",
        ),
        ("[[tenants]]\nname = \"a\"\ntoken_env = \"WARMPATH_NONE\"", "WARMPATH_NONE"),
        ("[[tenants]]\nname = \"a\"\npassword = \"x\"", "i.toml:3:"),
    ];
    for (text, part) in files {
        write(here, "i.toml", text);
        run(&["--tenants-file", "i.toml"], &["i.toml", part]);
    }
}

/// At several rates a closed loop would be the same run under several names.
#[test]
fn rates_are_refused_where_there_is_no_arrival_rate() {
    let folder = folder();
    let here = folder.path();
    write(here, "agents.jsonl", AGENTS);
    write(here, "at-once.jsonl", &format!("{GOOD}\n{GOOD}\n"));
    let chat = include_str!("../../../deploy/workloads/chat.toml");
    let begin = chat.find("[arrivals").expect("arrivals");
    let end = chat[begin + 1..].find("\n\n").map_or(chat.len(), |at| begin + 1 + at);
    let closed = format!("{}{}\n[arrivals.closed]\nsessions = 4\n", &chat[..begin], &chat[end..]);
    write(here, "closed.toml", &closed);
    let sources = [
        (["--trace", "agents.jsonl"], "closed loop, which has no arrival rate; --sessions N"),
        (
            ["--workload", "closed.toml"],
            "closed loop, which has no arrival rate; [arrivals] closed",
        ),
        (["--trace", "at-once.jsonl"], "have the same time, so there is no arrival rate"),
    ];
    for (source, why) in sources {
        for flag in [["--rates", "1,3"].as_slice(), &["--rate-scale", "2"], &["--capacity"]] {
            for command in ["sim", "compare"] {
                let args = [&[command], source.as_slice(), flag].concat();
                assert_refused(here, &args, &[flag[0], why]);
            }
        }
        let run = ["run", "--target", "http://127.0.0.1:1", "--rate-scale", "3"];
        assert_refused(here, &[&run, source.as_slice()].concat(), &["--rate-scale", why]);
        let plain = ["sim", "--policies", "random", "--rate-scale", "1"];
        let output = loadgen(here, &[&plain, source.as_slice()].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
