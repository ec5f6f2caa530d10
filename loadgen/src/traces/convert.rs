//! A trace written in another format.

use super::played::{Sent, each};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{self, Write};
use warmpath_core::block::{ScopePlan, hash_segments};
use warmpath_core::rng::hash_words;
use warmpath_core::time::Duration;
use warmpath_core::tokens::Segment;
use warmpath_core::workload::trace::{Content, RecordedSession, Recording, TimedRequest};

/// The block size of Mooncake's release.
const MOONCAKE_BLOCK: u32 = 512;
const SMALL_BLOCK: u32 = 16;

/// A format that traces are written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Target {
    Mooncake,
    Dynamo,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    pub requests: usize,
    pub block_size: u32,
    /// What the format cannot say.
    pub lost: Vec<String>,
}

/// Writes a trace. `block_size`: the one that is asked for.
pub fn write(
    recording: &Recording,
    target: Target,
    block_size: Option<u32>,
    to: &mut impl Write,
) -> io::Result<Written> {
    let own = block_size.or(recording.own_block_size);
    let block_size = own.unwrap_or(match target {
        Target::Mooncake if !recording.shares => MOONCAKE_BLOCK,
        _ => SMALL_BLOCK,
    });
    let mut names = Names { block_size, ids: HashMap::new() };
    let lost = match target {
        Target::Mooncake => mooncake(recording, &mut names, to)?,
        Target::Dynamo => dynamo(recording, &names, to)?,
    };
    Ok(Written { requests: recording.requests(), block_size, lost })
}

/// Names of the blocks of prompts.
struct Names {
    block_size: u32,
    /// Numbers in the order in which blocks come.
    ids: HashMap<u64, u64>,
}

impl Names {
    /// A hash for each block of a prompt, over the block and all before it. The last may be partial.
    fn hashes(&self, prompt: &[Segment]) -> Vec<u64> {
        let chain = hash_segments(&ScopePlan::new("", "", "", self.block_size), prompt);
        let mut hashes: Vec<u64> =
            (0..chain.blocks()).map(|block| chain.hash(block).to_wire() as u64).collect();
        let full = chain.blocks() * self.block_size;
        if full < chain.tokens() {
            hashes.push(tail(hashes.last().copied(), prompt, full));
        }
        hashes
    }

    fn numbers(&mut self, prompt: &[Segment]) -> Vec<u64> {
        let hashes = self.hashes(prompt);
        let number = |hash| {
            let next = self.ids.len() as u64;
            *self.ids.entry(hash).or_insert(next)
        };
        hashes.into_iter().map(number).collect()
    }
}

/// A hash of the tokens from `full` on, after the block with the hash `before`.
fn tail(before: Option<u64>, prompt: &[Segment], full: u32) -> u64 {
    let mut words = vec![0x7461_696c, before.unwrap_or(0)];
    let mut at = 0;
    for segment in prompt {
        let end = at + segment.tokens();
        if end > full {
            let (kind, seed) = match *segment {
                Segment::Text { seed, .. } => (1, seed),
                Segment::Answer { .. } => (2, 0),
            };
            let from = full.saturating_sub(at);
            words.extend([kind, seed, u64::from(from), u64::from(segment.tokens())]);
        }
        at = end;
    }
    hash_words(&words)
}

fn line(to: &mut impl Write, row: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *to, row)?;
    to.write_all(b"\n")
}

fn ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// A whole number of milliseconds without a fraction, as readers of the release expect.
fn number(ms: f64) -> Value {
    if ms.fract() == 0.0 { json!(ms as u64) } else { json!(ms) }
}

fn mooncake(
    recording: &Recording,
    names: &mut Names,
    to: &mut impl Write,
) -> io::Result<Vec<String>> {
    match &recording.content {
        Content::Requests(requests) => {
            let mut all: Vec<&TimedRequest> = requests.iter().collect();
            all.sort_by_key(|request| request.at_ms);
            for request in all {
                let ids = names.numbers(&request.prompt);
                let input: u32 = request.prompt.iter().map(Segment::tokens).sum();
                line(
                    to,
                    &json!({
                        "timestamp": request.at_ms,
                        "input_length": input,
                        "output_length": request.output_tokens,
                        "hash_ids": ids,
                    }),
                )?;
            }
            Ok(Vec::new())
        }
        Content::Sessions(sessions) => {
            mooncake_sessions(sessions, recording.has_starts(), names, to)
        }
    }
}

/// Rows with whole prompts. A sub-agent is a session of its own.
fn mooncake_sessions(
    sessions: &[RecordedSession],
    have_starts: bool,
    names: &mut Names,
    to: &mut impl Write,
) -> io::Result<Vec<String>> {
    let mut rows: Vec<(f64, usize, usize)> = Vec::new();
    for (i, session) in sessions.iter().enumerate() {
        let start = session.start.map_or(0.0, ms);
        let mut latest = start;
        for (j, request) in session.requests.iter().enumerate() {
            latest = f64::max(latest, start + ms(request.due));
            rows.push((latest, i, j));
        }
    }
    if have_starts {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    // The last request of each agent so far.
    let mut last: HashMap<(usize, u32), u32> = HashMap::new();
    let mut other_waits = 0;
    for (_, i, j) in rows {
        let session = &sessions[i];
        let request = &session.requests[j];
        let before = last.insert((i, request.agent), j as u32);
        other_waits += u64::from(!request.after.iter().eq(before.iter()));
        let mut row = Map::new();
        if let Some(start) =
            session.start.filter(|_| before.is_none() || request.due > Duration::ZERO)
        {
            row.insert("timestamp".into(), number(ms(start) + ms(request.due)));
        }
        let name = match request.agent {
            0 => format!("s{i}"),
            agent => format!("s{i}-{agent}"),
        };
        row.insert("session_id".into(), json!(name));
        if before.is_some() && request.think > Duration::ZERO {
            row.insert("delay".into(), number(ms(request.think)));
        }
        // Ids of partial blocks do not tell that a prompt contains the one before it.
        row.insert("message_mode".into(), json!("history"));
        if request.priority != 0 {
            row.insert("priority".into(), json!(request.priority));
        }
        let input: u32 = request.prompt.iter().map(Segment::tokens).sum();
        row.insert("input_length".into(), json!(input));
        row.insert("output_length".into(), json!(request.output_tokens));
        row.insert("hash_ids".into(), json!(names.numbers(&request.prompt)));
        line(to, &Value::Object(row))?;
    }
    let lost = format!(
        "{other_waits} requests wait for other answers than the one before them in their session, \
         which Mooncake's rows cannot say"
    );
    Ok(if other_waits > 0 { vec![lost] } else { Vec::new() })
}

fn dynamo(recording: &Recording, names: &Names, to: &mut impl Write) -> io::Result<Vec<String>> {
    let mut failed = None;
    let mut priorities = 0;
    each_sent(recording, names.block_size, |number, sent| {
        if failed.is_some() {
            return;
        }
        let (prompt, block) = (&sent.work.request.prompt, names.block_size);
        let at_ms = (sent.at.as_secs_f64() * 1e3).round() as u64;
        let service_ms = ms(sent.service());
        priorities += u64::from(sent.work.request.priority != 0);
        let mut row = json!({
            "schema": "dynamo.request.trace.v1",
            "event_type": "request_end",
            "event_time_unix_ms": at_ms + service_ms.ceil() as u64,
            "request": {
                "request_id": format!("r{number}"),
                "request_received_ms": at_ms,
                "total_time_ms": service_ms,
                "output_tokens": sent.work.output_tokens,
                "replay": {
                    "trace_block_size": block,
                    "input_length": prompt.tokens(),
                    "input_sequence_hashes": names.hashes(sent.prompt),
                },
            },
        });
        if let Some((session, request)) = sent.recorded {
            row["agent_context"] = match request.agent {
                0 => json!({"session_id": format!("s{session}")}),
                agent => json!({
                    "session_id": format!("s{session}-{agent}"),
                    "parent_session_id": format!("s{session}"),
                }),
            };
        }
        failed = line(to, &row).err();
    });
    let mut lost = Vec::new();
    if priorities > 0 {
        lost.push(format!(
            "{priorities} requests have a priority, which Dynamo's records cannot say"
        ));
    }
    if matches!(recording.content, Content::Sessions(_)) {
        lost.push(
            "Dynamo's records have no pauses and no starts of sessions: both follow from the times, and \
             sessions run in a closed loop"
                .into(),
        );
    }
    failed.map_or(Ok(lost), Err)
}

fn each_sent(recording: &Recording, block: u32, mut then: impl FnMut(usize, Sent<'_>)) {
    let mut count = 0;
    each(recording, block, |sent| {
        then(count, sent);
        count += 1;
    });
}
