//! The request traces of NVIDIA Dynamo (`dynamo.request.trace.v1`). Each line is one record, bare or in
//! the field `event` of a wrapper. A request is a record of type `request_end` with a `replay` object.
//! Records of other types (tools, payloads) are skipped. The example is wrapped for reading.
//!
//! ```text
//! {"schema": "dynamo.request.trace.v1", "event_type": "request_end", "event_time_unix_ms": 1800,
//!  "agent_context": {"session_id": "a:0", "parent_session_id": "a"},
//!  "request": {"request_id": "r1", "request_received_ms": 1000, "total_time_ms": 800.5,
//!    "output_tokens": 20, "replay":
//!      {"trace_block_size": 16, "input_length": 40, "input_sequence_hashes": [7, 9, 4]}}}
//! ```
//!
//! Each hash covers a block of the prompt and all blocks before it. The last block may be partial. Equal
//! hashes mean equal text, across sessions too.
//!
//! Requests without `agent_context` are played at their recorded times. If all requests have one, they
//! are sessions, and the times tell what each request waited for. A request waits for the latest answer
//! of its session that had ended when it came, and for the sub-agents that had ended since the request
//! before. A sub-agent's first request waits for the latest answer of the session that called it. The
//! think time starts at the last of those ends. A trace with both kinds of requests is rejected, as in
//! Dynamo's own replay.

use super::error::TraceError;
use super::line::{Fields, MAX_MS, brief, numbered, parse_object};
use super::recording::Content;
use super::replay::TimedRequest;
use super::session_replay::{RecordedRequest, RecordedSession};
use crate::hash::Map;
use crate::rng::hash_words;
use crate::time::Duration;
use crate::tokens::Segment;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The start of the schema names of all versions.
pub const FAMILY: &str = "dynamo.request.trace.";
const SCHEMA: &str = "dynamo.request.trace.v1";
const MAX_BLOCK: u64 = 1 << 16;
/// The year 3000, in milliseconds since 1970.
const MAX_UNIX_MS: u64 = 32_503_680_000_000;

/// Reads all lines. The error is the first bad line. Returns requests or sessions, and their block size
/// in tokens.
pub fn read<S: AsRef<str>>(lines: impl Iterator<Item = S>) -> Result<(Content, u32), TraceError> {
    let mut requests: Vec<ReadRequest> = Vec::new();
    let mut common: Option<(u32, bool)> = None;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for text in numbered(lines) {
        let line = text.number;
        let object = parse_object(line, text.text())?;
        let fields = Fields::new(line, &object);
        let record = if fields.has("schema") { fields } else { fields.object("event")? };
        let Some(request) = read_record(line, &record, &mut common)? else { continue };
        if let Some(before) = names.insert(request.name.clone(), line) {
            let why = format!("{:?} is on line {before} too, expected a unique id", request.name);
            return Err(record.err("request.request_id", why));
        }
        requests.push(request);
    }
    let (block, in_sessions) = common.ok_or(TraceError::Empty)?;
    // A stable sort: requests of equal times stay in the order of their lines.
    requests.sort_by_key(|request| request.at_ms);
    let origin = requests.first().map_or(0, |request| request.at_ms);
    if let Some(last) = requests.last().filter(|last| last.at_ms - origin > MAX_MS) {
        let why = format!("{} ms after the first, expected at most {MAX_MS}", last.at_ms - origin);
        let field = "request.request_received_ms".into();
        return Err(TraceError::Field { line: last.line, field, why });
    }
    let content = if in_sessions {
        Content::Sessions(sessions(&requests, block)?)
    } else {
        Content::Requests(requests.iter().map(|request| request.recorded(origin, block)).collect())
    };
    Ok((content, block))
}

/// A request as its line has it.
#[derive(Debug)]
struct ReadRequest {
    line: usize,
    name: String,
    session: String,
    /// The session that called this one.
    parent: Option<String>,
    at_ms: u64,
    ended_ms: u64,
    input: u32,
    output: u32,
    hashes: Vec<u64>,
}

/// Reads a record. None: it is a record of another type. `common` has the block size of all
/// requests, and whether they are in sessions.
fn read_record(
    line: usize,
    record: &Fields<'_>,
    common: &mut Option<(u32, bool)>,
) -> Result<Option<ReadRequest>, TraceError> {
    let schema = record.text("schema")?;
    if schema != SCHEMA {
        return Err(record.err("schema", format!("{schema:?}, expected {SCHEMA:?}")));
    }
    if record.text("event_type")? != "request_end" {
        return Ok(None);
    }
    let in_session = record.is_set("agent_context");
    let request = record.object("request")?;
    let replay = request.object("replay")?;
    let block = replay.number("trace_block_size", 1, MAX_BLOCK)? as u32;
    let &mut (expected, in_sessions) = common.get_or_insert((block, in_session));
    if block != expected {
        let why = format!("{block}, expected {expected} as in the records before");
        return Err(replay.err("trace_block_size", why));
    }
    if in_session != in_sessions {
        let why = if in_sessions { "missing, expected one" } else { "present, expected none" };
        return Err(record.err("agent_context", format!("{why} as in the requests before")));
    }
    let at_ms = request.number("request_received_ms", 0, MAX_UNIX_MS)?;
    let ended_ms = if request.is_set("total_time_ms") {
        at_ms + request.rounded("total_time_ms", 0, MAX_MS)?
    } else {
        record.number("event_time_unix_ms", at_ms, MAX_UNIX_MS)?
    };
    let (session, parent) = if in_session {
        let agent = record.object("agent_context")?;
        let parent = agent.is_set("parent_session_id").then(|| agent.text("parent_session_id"));
        (agent.text("session_id")?.to_owned(), parent.transpose()?.map(str::to_owned))
    } else {
        (String::new(), None)
    };
    let input = replay.length("input_length")?;
    Ok(Some(ReadRequest {
        line,
        name: request.text("request_id")?.to_owned(),
        session,
        parent,
        at_ms,
        ended_ms,
        input,
        output: request.length("output_tokens")?,
        hashes: hashes(&replay, input, block)?,
    }))
}

fn hashes(replay: &Fields<'_>, input: u32, block: u32) -> Result<Vec<u64>, TraceError> {
    const FIELD: &str = "input_sequence_hashes";
    let values = replay.list(FIELD, "hashes")?;
    let needed = input.div_ceil(block) as usize;
    if values.len() != needed {
        let why = format!(
            "{} hashes, expected {needed} for {input} input tokens in blocks of {block}",
            values.len()
        );
        return Err(replay.err(FIELD, why));
    }
    let hash = |value: &serde_json::Value| {
        let why = || format!("{}, expected a whole number from 0 to 2^64 - 1", brief(value));
        value.as_u64().ok_or_else(|| replay.err(FIELD, why()))
    };
    values.iter().map(hash).collect()
}

fn text(hash: u64, tokens: u32) -> Segment {
    Segment::Text { seed: hash_words(&[0x4479_6e61, hash]), tokens }
}

impl ReadRequest {
    /// The prompt in segments that end after these numbers of blocks.
    fn prompt(&self, block: u32, ends: impl Iterator<Item = usize>) -> Vec<Segment> {
        let mut from = 0;
        let segment = |to: usize| {
            let tokens = (to as u32 * block).min(self.input) - from as u32 * block;
            text(self.hashes[std::mem::replace(&mut from, to)], tokens)
        };
        ends.map(segment).collect()
    }

    fn recorded(&self, origin: u64, block: u32) -> TimedRequest {
        TimedRequest {
            at_ms: self.at_ms - origin,
            prompt: self.prompt(block, 1..=self.hashes.len()),
            output_tokens: self.output,
        }
    }
}

/// The blocks after which prompts differ or end. The blocks between two of them are one segment, so a
/// long prompt in small blocks is a few segments.
struct Forks(BTreeSet<u64>);

impl Forks {
    fn of(requests: &[ReadRequest]) -> Self {
        let mut next: Map<u64, u64> = Map::default();
        let mut forks = BTreeSet::new();
        for request in requests {
            for pair in request.hashes.windows(2) {
                if *next.entry(pair[0]).or_insert(pair[1]) != pair[1] {
                    forks.insert(pair[0]);
                }
            }
            forks.extend(request.hashes.last());
        }
        Self(forks)
    }

    fn ends(&self, hashes: &[u64]) -> impl Iterator<Item = usize> {
        (1..).zip(hashes).filter(|(_, hash)| self.0.contains(hash)).map(|(end, _)| end)
    }
}

/// The sessions without a parent, each with its sub-agents, in the order of their starts.
fn sessions(requests: &[ReadRequest], block: u32) -> Result<Vec<RecordedSession>, TraceError> {
    let forks = Forks::of(requests);
    let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
    for request in requests {
        if let Some(parent) = &request.parent {
            parents.insert(&request.session, parent);
        }
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for request in requests {
        let place = *places.entry(root(request, &parents)?).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group::default());
        }
        groups[place].push(request, block, &forks);
    }
    Ok(groups
        .into_iter()
        .map(|group| RecordedSession { start: None, requests: group.requests })
        .collect())
}

/// The session without a parent that called this request's session, directly or not.
fn root<'a>(
    request: &'a ReadRequest,
    parents: &BTreeMap<&'a str, &'a str>,
) -> Result<&'a str, TraceError> {
    let mut session = request.session.as_str();
    // More steps than there are callers mean that a session is its own ancestor.
    for _ in 0..=parents.len() {
        match parents.get(session) {
            Some(parent) => session = parent,
            None => return Ok(session),
        }
    }
    let field = "agent_context.parent_session_id".into();
    let session = &request.session;
    let why = format!("{session:?} is its own ancestor, expected a session without a parent");
    Err(TraceError::Field { line: request.line, field, why })
}

/// A session with its sub-agents so far.
#[derive(Default)]
struct Group<'a> {
    requests: Vec<RecordedRequest>,
    /// The session and its sub-agents, by session id.
    agents: BTreeMap<&'a str, Agent<'a>>,
    begun_ms: u64,
}

#[derive(Default)]
struct Agent<'a> {
    number: u32,
    parent: Option<&'a str>,
    /// The arrival of its latest request.
    latest_ms: u64,
    /// Its requests: (end of the answer, index in the group).
    ended: Vec<(u64, u32)>,
}

impl Agent<'_> {
    /// The latest answer that had ended at `at_ms`.
    fn ended_by(&self, at_ms: u64) -> Option<(u64, u32)> {
        self.ended.iter().copied().filter(|&(ended_ms, _)| ended_ms <= at_ms).max()
    }
}

impl<'a> Group<'a> {
    /// Adds the next request by arrival.
    fn push(&mut self, request: &'a ReadRequest, block: u32, forks: &Forks) {
        let index = self.requests.len() as u32;
        if index == 0 {
            self.begun_ms = request.at_ms;
        }
        let awaited = self.awaited(request);
        let from_ms = awaited.iter().map(|&(ended_ms, _)| ended_ms).max().unwrap_or(self.begun_ms);
        let number = self.agents.len() as u32;
        let agent = self.agents.entry(&request.session).or_default();
        if agent.ended.is_empty() {
            (agent.number, agent.parent) = (number, request.parent.as_deref());
        }
        agent.latest_ms = request.at_ms;
        agent.ended.push((request.ended_ms, index));
        self.requests.push(RecordedRequest {
            prompt: request.prompt(block, forks.ends(&request.hashes)),
            output_tokens: request.output,
            service: Duration::from_millis(request.ended_ms - request.at_ms),
            agent: agent.number,
            after: awaited.into_iter().map(|(_, index)| index).collect(),
            think: Duration::from_millis(request.at_ms - from_ms),
            due: Duration::ZERO,
            priority: 0,
        });
    }

    /// The answers that a request waits for: (end, index in the group).
    fn awaited(&self, request: &ReadRequest) -> SmallVec<[(u64, u32); 1]> {
        let by_then = |agent: &Agent<'_>| agent.ended_by(request.at_ms);
        let Some(own) = self.agents.get(request.session.as_str()) else {
            let parent =
                request.parent.as_ref().and_then(|parent| self.agents.get(parent.as_str()));
            return parent.and_then(by_then).into_iter().collect();
        };
        let called =
            self.agents.values().filter(|agent| agent.parent == Some(request.session.as_str()));
        let since = called.filter_map(by_then).filter(|&(ended_ms, _)| ended_ms > own.latest_ms);
        since.chain(by_then(own)).collect()
    }
}

#[cfg(test)]
mod tests;
