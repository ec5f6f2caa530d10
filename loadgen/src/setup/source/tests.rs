use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use warmpath_core::block::ScopePlan;
use warmpath_core::request::Work;

fn args(file: PathBuf) -> TraceArgs {
    TraceArgs { files: vec![file], ..TraceArgs::default() }
}

fn pace() -> Pace {
    Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None }
}

fn scope(block_size: u32) -> Scopes {
    Scopes::from(&ScopePlan::new("", "", "", block_size))
}

/// Every request of a workload whose answers take no time, in the order of sending.
fn play(mut workload: Workload, mut each: impl FnMut(Work)) {
    while let Some(at) = workload.next_send() {
        let (_, work) = workload.send(at).expect("it is due");
        workload.on_ended(at, work.request.id);
        each(work);
    }
}

/// The hits of a cache with unlimited memory.
#[derive(Default)]
struct Forever {
    seen: BTreeMap<u128, BTreeSet<u64>>,
    tokens: u64,
    hit_tokens: u64,
    /// Hit blocks that a request of the same session had before, and the other hit blocks.
    within: u64,
    across: u64,
}

impl Forever {
    fn request(&mut self, work: &Work) {
        let prompt = &work.request.prompt;
        let session = work.request.session.map_or(0, |session| session.0);
        self.tokens += u64::from(prompt.tokens());
        let name = |block| prompt.chain().hash(block).to_wire();
        let hits = (0..prompt.reusable_blocks())
            .take_while(|&block| match self.seen.get(&name(block)) {
                Some(had) if had.contains(&session) => {
                    self.within += 1;
                    true
                }
                Some(_) => {
                    self.across += 1;
                    true
                }
                None => false,
            })
            .count();
        self.hit_tokens += hits as u64 * u64::from(prompt.block_size());
        for block in 0..prompt.blocks() {
            self.seen.entry(name(block)).or_default().insert(session);
        }
    }

    fn rate(&self) -> f64 {
        self.hit_tokens as f64 / self.tokens as f64
    }
}

#[test]
fn every_built_in_workload_is_what_its_name_says() {
    let mut rates = BTreeMap::new();
    for (name, _) in WORKLOADS {
        let source = Source::workload(name, Path::new("")).unwrap();
        assert_eq!(source.name(), *name);
        let scope = scope(512);
        let prepared = source.prepare(&scope);
        let mut prompts = Vec::new();
        let mut forever = Forever::default();
        let mut sessions = BTreeSet::new();
        play(prepared.workload(pace()), |work| {
            prompts.push(work.request.prompt.tokens());
            sessions.insert(work.request.session);
            forever.request(&work);
        });
        prompts.sort_unstable();
        let turns = prompts.len() as f64 / sessions.len() as f64;
        let median = prompts[prompts.len() / 2];
        let across = forever.across as f64 / (forever.across + forever.within).max(1) as f64;
        println!(
            "{name}: {} requests, median prompt {median}, {turns:.1} turns, hit rate {:.3}, {:.3} \
             of it across sessions",
            prompts.len(),
            forever.rate(),
            across
        );
        rates.insert(*name, (median, turns, forever.rate(), across));
    }
    let (median, turns, ..) = rates["chat"];
    assert!(median < 4_000 && turns > 5.0);
    let (median, _, _, across) = rates["enterprise-kb"];
    assert!(median > 5_000 && across > 0.2);
    let (median, turns, rate, across) = rates["coding-agents"];
    assert!(median > 40_000 && turns > 20.0 && rate > 0.9 && across > 0.001);
    let (median, .., across) = rates["research-agents"];
    assert!(median > 100_000 && across > 0.01);
    let (median, turns, rate, _) = rates["commodity-qa"];
    assert!(median < 1_000 && turns == 1.0 && rate == 0.0);
    let (median, turns, rate, across) = rates["tree-search"];
    assert!(median < 8_000 && turns > 30.0 && rate > 0.6 && across < 0.2);
    let (median, turns, rate, across) = rates["multi-agent"];
    assert!(median > 15_000 && turns > 30.0 && rate > 0.8 && across > 0.001);
    let (median, turns, rate, across) = rates["always-on-monitor"];
    assert!(median > 15_000 && turns > 40.0 && rate > 0.9 && across < 0.1);
    let (median, turns, ..) = rates["code-completion"];
    assert!(median < 3_000 && turns > 8.0);
}

const MOONCAKE: &str =
    r#"{"timestamp": 0, "input_length": 600, "output_length": 4, "hash_ids": [1, 2]}"#;
const AGENTS: &str = r#"{"session":"a","bs":64,"scope":"local","requests":[{"t_ms":0,"in":100,"out":2,"think_ms":0,"api_ms":9,"runs":[[5,1]]}]}"#;
const DYNAMO: &str = r#"{"event":{"schema":"dynamo.request.trace.v1","event_type":"request_end","request":{"request_id":"a","request_received_ms":5,"total_time_ms":2.5,"output_tokens":1,"replay":{"trace_block_size":16,"input_length":20,"input_sequence_hashes":[1,2]}}}}"#;
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.68,374,44\r\n";

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn formats_are_detected_from_the_file_gzipped_or_not() {
    let cases = [
        (MOONCAKE, "m.jsonl", Format::Mooncake, Some(512)),
        (AGENTS, "m.jsonl", Format::CodingAgents, Some(64)),
        (AZURE, "m.csv", Format::Azure, None),
        (DYNAMO, "m.jsonl", Format::Dynamo, Some(16)),
    ];
    for (text, name, format, block) in cases {
        let zipped = gzipped(&format!("\u{feff}{text}\n"));
        let with_gz = format!("{name}.gz");
        for (bytes, name) in [(text.as_bytes(), name), (&zipped, with_gz.as_str())] {
            let (_folder, path) = written(name, bytes);
            let source = Source::trace(&args(path)).unwrap();
            assert_eq!((source.name().as_str(), source.own_block_size()), ("m", block));
            let Source::Trace(trace) = &source else { panic!("a trace") };
            assert_eq!(trace.format, format);
            let prepared = source.prepare(&scope(16));
            assert_eq!(prepared.workload(pace()).total(), 1);
            assert_eq!(prepared.arrivals_within(1.0, pace()), Some(1));
        }
    }
}

#[test]
fn bad_files_are_refused_in_one_line() {
    let whole = gzipped(&AGENTS.repeat(50));
    let torn = [&whole[..40], &[0; 20]].concat();
    let cases: [(&str, &[u8], &str); 10] = [
        ("t.jsonl.gz", &whole[..whole.len() / 2], "gzip: "),
        ("t.jsonl.gz", &whole[..whole.len() - 4], "gzip: "),
        ("t.jsonl.gz", &torn, "gzip: "),
        ("t.jsonl", b"", "no requests"),
        ("t.csv", b"\xef\xbb\xbf \r\n", "no requests"),
        ("t.jsonl", b"{\"a\": 1}\n", "line 1: not a JSON object of a known format, expected"),
        ("t.jsonl", b"{\"hash_ids\": 1}\n\xff\n", "line 1: input_length: missing"),
        ("t.jsonl", &[MOONCAKE.as_bytes(), b"\n\xff\n"].concat(), "line 2: not UTF-8"),
        ("t.csv", b"time,in,out\n", "line 1: header: \"time,in,out\", expected TIMESTAMP"),
        ("t.csv.gz", &gzipped("time,in,out\n"), "line 1: header: "),
    ];
    for (name, bytes, expected) in cases {
        let (_folder, path) = written(name, bytes);
        let error = Source::trace(&args(path.clone())).unwrap_err();
        assert!(error.is::<crate::files::BadInput>());
        let error = error.to_string();
        let why = error.strip_prefix(&format!("{}: ", path.display())).unwrap();
        assert!(why.contains(expected), "{why}\n not {expected}");
        assert!(!why.contains('\n'));
    }
}

#[test]
fn flags_that_do_not_apply_are_refused() {
    let (_folder, agents) = written("a.jsonl", AGENTS.as_bytes());
    let (_folder2, mooncake) = written("m.jsonl", MOONCAKE.as_bytes());
    let poisson = "poisson".parse().ok();
    let bad = [
        TraceArgs { arrivals: poisson, ..args(agents.clone()) },
        TraceArgs { sessions: 3.try_into().ok(), ..args(mooncake.clone()) },
        TraceArgs { think_cap: Some(3.0), ..args(mooncake.clone()) },
        TraceArgs { format: Some(Format::Azure), ..args(mooncake.clone()) },
    ];
    for args in bad {
        assert!(Source::trace(&args).is_err(), "{args:?}");
    }
    let good = [
        TraceArgs { sessions: 3.try_into().ok(), think_cap: Some(0.0), ..args(agents) },
        TraceArgs { arrivals: poisson, format: Some(Format::Mooncake), ..args(mooncake) },
    ];
    for args in good {
        let source = Source::trace(&args).unwrap();
        let shown = serde_json::to_value(&source).unwrap();
        assert_eq!(shown["trace"]["requests"], 1, "{shown}");
    }
}
