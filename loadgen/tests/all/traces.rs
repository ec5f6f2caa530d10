//! `loadgen trace`, and traces in the shapes in which people have them.

use std::path::Path;
use std::process::{Command, Output};

fn loadgen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.current_dir(folder).args(args).output().expect("loadgen runs")
}

fn printed(folder: &Path, args: &[&str]) -> String {
    let output = loadgen(folder, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(folder: &Path, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&printed(folder, args)).expect("JSON")
}

/// Rows of 40 sessions: whole prompts, or what is new in each.
fn rows(new: bool) -> String {
    let mut text = String::new();
    let mut next = 0;
    for session in 0..40 {
        let mut ids: Vec<u32> = Vec::new();
        for turn in 0..6 {
            let before = ids.len();
            let more = if turn == 0 { 2 } else { 1 };
            ids.extend(next..next + more);
            next += more;
            let shown = if new { &ids[before..] } else { &ids[..] };
            let (at, input) = (session * 700 + turn * 9_000, shown.len() * 512);
            let name = if new { format!(r#""session_id": "s{session}", "#) } else { String::new() };
            text += &format!(
                r#"{{{name}"timestamp": {at}, "input_length": {input}, "output_length": 200, "hash_ids": {shown:?}}}"#
            );
            text += "\n";
        }
    }
    text
}

#[test]
fn what_is_new_in_a_session_holds_the_same_as_whole_prompts() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (new, whole) = (rows(true), rows(false));
    std::fs::write(here.join("new.jsonl"), &new).expect("written");
    std::fs::write(here.join("whole.jsonl"), whole).expect("written");
    // Two files are one trace, in any order.
    let cut = new.match_indices('\n').nth(99).map_or(0, |(at, _)| at + 1);
    std::fs::write(here.join("a.jsonl"), &new[..cut]).expect("written");
    std::fs::write(here.join("b.jsonl"), &new[cut..]).expect("written");
    for files in [&["new.jsonl"][..], &["whole.jsonl"], &["b.jsonl", "a.jsonl"]] {
        let args = [&["trace", "check"], files, &["--json"]].concat();
        let holds = json(here, &args);
        assert_eq!(holds["prompt_tokens"]["total"], 552_960, "{files:?}");
        let rate = holds["reuse"]["hit_rate"].as_f64().expect("a number");
        assert!((rate - 0.7407).abs() < 1e-4, "{files:?}: {rate}");
    }
}

#[test]
fn a_trace_is_checked_and_converted() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let table = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                 5,ChatGPT,410,22,432,Conversation log\n6.5,ChatGPT,900,0,900,API log\n";
    std::fs::write(here.join("burst.csv"), table).expect("written");
    let page = printed(here, &["trace", "check", "burst.csv"]);
    assert!(page.contains("burstgpt trace, 2 requests, 1.500 s"), "{page}");
    assert!(page.contains("no cache can hit") && page.contains("Model"), "{page}");
    for to in ["mooncake", "dynamo"] {
        printed(here, &["trace", "convert", "burst.csv", "--to", to, "--out", "out.jsonl"]);
        let holds = json(here, &["trace", "check", "out.jsonl", "--json"]);
        assert_eq!((&holds["format"], &holds["requests"]), (&to.into(), &2.into()));
        assert_eq!(holds["output_tokens"]["total"], 23);
    }
    let list = printed(here, &["trace", "formats"]);
    assert!(list.contains("qwen-bailian") && list.contains("hash_ids"), "{list}");
}

#[test]
fn a_file_that_ends_in_a_line_is_checked_but_not_played() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let text = rows(false);
    std::fs::write(here.join("cut.jsonl"), &text[..text.len() - 9]).expect("written");
    let holds = json(here, &["trace", "check", "cut.jsonl", "--json"]);
    assert_eq!((&holds["requests"], &holds["tails"]["lines_cut_off"]), (&239.into(), &1.into()));
    let output = loadgen(here, &["sim", "--trace", "cut.jsonl"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("cut.jsonl: line 240: cut off"), "{errors}");
}

#[test]
fn flags_of_another_format_and_files_of_two_formats_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    std::fs::write(here.join("a.csv"), "arrived_at,num_prefill_tokens,num_decode_tokens\n1,2,3\n")
        .expect("written");
    std::fs::write(here.join("m.jsonl"), rows(true)).expect("written");
    for (args, expected) in [
        (
            &["a.csv", "--trace-block-size", "16"][..],
            "--trace-block-size does not apply to a vidur",
        ),
        (&["a.csv", "--trace-rows", "new"], "--trace-rows does not apply"),
        (&["a.csv", "m.jsonl"], "m.jsonl: a mooncake trace, expected vidur as in the files before"),
        (&["m.jsonl", "--block-size", "48"], "--block-size: block size 48, expected a divisor"),
        (&["/dev/zero"], "/dev/zero: line 1: a zero byte"),
    ] {
        let output = loadgen(here, &[&["trace", "check"], args].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}
