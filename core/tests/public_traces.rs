//! Facts about public traces that anyone can check. The traces are not in the repository: a test
//! whose trace is missing is counted as ignored, never as passed.
//!
//! A trace is looked for in the folder that `WARMPATH_TRACES` names, else in `../shared/traces`
//! beside the checkout.

// The core may not read files. These tests must, to read the traces.
#![allow(clippy::disallowed_methods)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::request::Work;
use warmpath_core::sharing::Scopes;
use warmpath_core::time::Duration;
use warmpath_core::workload::Workload;
use warmpath_core::workload::trace::{
    Content, Format, Pace, Recording, SessionReplay, SessionTrace, TimedReplay, Trace,
};

fn main() -> ExitCode {
    let tests = vec![
        test(
            "the_coding_agent_sessions_hit_what_they_should",
            "coding-agent-sessions.jsonl.gz",
            agents,
        ),
        test(
            "the_conversation_trace_has_its_sessions",
            "mooncake-conversation.jsonl",
            conversation,
        ),
        test("the_azure_trace_is_read_whole", "azure-conv-2023.csv", azure),
        test(
            "the_dynamo_sample_has_its_requests_and_hits",
            "agent-requests-sample.jsonl.gz",
            dynamo,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A test on one trace, ignored where the trace is missing.
fn test(name: &str, trace: &str, check: fn(&Recording)) -> Trial {
    let folder = std::env::var_os("WARMPATH_TRACES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces")),
        PathBuf::from,
    );
    let path = folder.join(trace);
    let is_missing = !path.exists();
    let run = move || -> Result<(), Failed> {
        let mut bytes = std::fs::read(&path)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
            bytes = plain;
        }
        let text = String::from_utf8(bytes)?;
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let format = Format::detect(&text, &extension).ok_or("a known format")?;
        check(&format.read(text.lines())?);
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(is_missing)
}

/// Every request of a recording in the order of sending, with answers that take no time.
fn requests(recording: &Recording, block_size: u32, mut each: impl FnMut(Work)) {
    let scopes = Scopes::from(&ScopePlan::new("", "", "", block_size));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let mut workload = match &recording.content {
        Content::Requests(recorded) => {
            let trace = Trace::new(recorded.clone(), &scopes);
            let trace = match recording.own_block_size {
                Some(block) => trace.with_inferred_sessions(block),
                None => trace,
            };
            Workload::Trace(TimedReplay::new(Arc::new(trace), pace))
        }
        Content::Sessions(recorded) => {
            let think_cap = Duration::from_secs_f64(60.0);
            let trace = SessionTrace::new(recorded, &scopes, 64, think_cap);
            Workload::RecordedSessions(SessionReplay::new(Arc::new(trace), pace.limit))
        }
    };
    while let Some(at) = workload.next_send() {
        let (_, work) = workload.send(at).expect("the request is due");
        workload.on_ended(at, work.request.id);
        each(work);
    }
}

/// Hits of a cache that forgets nothing.
#[derive(Default)]
struct Unlimited {
    /// Sessions that had a block, by its name.
    seen: BTreeMap<u128, BTreeSet<u64>>,
    tokens: u64,
    hit_tokens: u64,
    /// Hit blocks that a request of the same session had before, and those that none had.
    within: u64,
    across: u64,
}

impl Unlimited {
    fn request(&mut self, work: &Work) {
        let prompt = &work.request.prompt;
        let session = work.request.session.map_or(0, |session| session.0);
        self.tokens += u64::from(prompt.tokens());
        let name = |block| prompt.chain().hash(block).to_wire();
        let mut hits = 0;
        for block in 0..prompt.reusable_blocks() {
            let Some(sessions) = self.seen.get(&name(block)) else { break };
            let same = sessions.contains(&session);
            *(if same { &mut self.within } else { &mut self.across }) += 1;
            hits += 1;
        }
        self.hit_tokens += hits * u64::from(prompt.block_size());
        for block in 0..prompt.blocks() {
            self.seen.entry(name(block)).or_default().insert(session);
        }
    }

    fn rate(&self) -> f64 {
        self.hit_tokens as f64 / self.tokens as f64
    }
}

/// Prompts are long here, so the first new block is looked for by halves.
fn agents(recording: &Recording) {
    let mut seen = BTreeSet::new();
    let (mut count, mut tokens, mut hits) = (0u64, 0u64, 0u64);
    requests(recording, 64, |work| {
        let prompt = &work.request.prompt;
        let name = |block| prompt.chain().hash(block).to_wire();
        let (mut known, mut new) = (0, prompt.blocks());
        while known < new {
            let middle = known + (new - known) / 2;
            if seen.contains(&name(middle)) { known = middle + 1 } else { new = middle }
        }
        seen.extend((known..prompt.blocks()).map(name));
        count += 1;
        tokens += u64::from(prompt.tokens());
        hits += u64::from(known.min(prompt.reusable_blocks())) * 64;
    });
    let rate = hits as f64 / tokens as f64;
    assert_eq!((count, tokens), (25_849, 3_437_813_158));
    assert!((rate - 0.960_156).abs() < 1e-5, "hit rate {rate}");
}

fn conversation(recording: &Recording) {
    let mut cache = Unlimited::default();
    let mut sessions = BTreeSet::new();
    requests(recording, 512, |work| {
        sessions.insert(work.request.session);
        cache.request(&work);
    });
    let within = cache.within as f64 / (cache.within + cache.across) as f64;
    assert_eq!(sessions.len(), 8_477);
    assert!((within - 0.778).abs() < 1e-3, "{within} of the hits within a session");
    assert!((cache.rate() - 0.3734).abs() < 1e-4, "hit rate {}", cache.rate());
}

fn azure(recording: &Recording) {
    let (mut count, mut tokens) = (0u64, 0u64);
    requests(recording, 16, |work| {
        count += 1;
        tokens += u64::from(work.request.prompt.tokens());
    });
    assert_eq!((count, tokens / count), (19_366, 1_154));
}

/// Computed from the file by other means: prompts of 66,520 tokens, of which a cache that forgets
/// nothing finds 47,680 in full blocks. The deployment that wrote the trace found 50,256: answers come back
/// in prompts, and a trace has no names for what a prompt holds of an answer.
fn dynamo(recording: &Recording) {
    assert_eq!(recording.requests(), 17);
    let mut cache = Unlimited::default();
    let mut sessions = BTreeSet::new();
    requests(recording, 16, |work| {
        sessions.insert(work.request.session);
        cache.request(&work);
    });
    assert_eq!(sessions.len(), 5, "two sessions, one with three sub-agents");
    assert_eq!((cache.tokens, cache.hit_tokens), (66_520, 47_680));
}
