//! Sessions of coding agents, converted from the recordings of kv-cache-tester. Each line is one
//! session; the example is wrapped for reading.
//!
//! ```text
//! {"session": "s1", "bs": 64, "scope": "local", "requests": [
//!   {"t_ms": 0, "in": 150, "out": 20, "think_ms": 0, "api_ms": 900, "runs": [[1, 2]]},
//!   {"sub": "a1", "t_ms": 9000, "duration_ms": 8000, "requests": [{"t_ms": 0, ...}, ...]},
//!   {"t_ms": 9500, "in": 260, "out": 9, "think_ms": 8600, "api_ms": 700, "runs": [[1, 4]]}]}
//! ```
//!
//! `runs` are the ids of the prompt's full blocks of `bs` tokens, as `[first id, count]`. Equal ids
//! mean equal tokens and an equal prefix. Ids are local to the session, so it is not known what two
//! sessions share. The text of an answer is not known either, so the blocks of the next prompt are
//! new text. Other fields (`tool_tokens`, `system_tokens`, `model`, `stop`) are ignored.
//!
//! A sub-agent (`sub`) has requests of its own. With a `duration_ms`, `t_ms` is when the sub-agent
//! returned its result. In the recordings such sub-agents start together, within a second of the
//! answer before them, and the main agent's next request comes after the last of them has ended. So
//! that request waits for them, and its think time starts there. If `duration_ms` is null, `t_ms` is
//! the start of the sub-agent; the main agent continues at once and does not wait for it.

use super::error::TraceError;
use super::line::{Fields, MAX_MS, MAX_TOKENS, brief, numbered, parse_object};
use super::session_replay::{RecordedRequest, RecordedSession};
use crate::rng::hash_words;
use crate::time::Duration;
use crate::tokens::Segment;
use serde_json::Value;
use smallvec::SmallVec;
use std::collections::BTreeMap;

const MAX_BLOCK: u64 = 1 << 16;
const MAX_ID: u64 = 1 << 53;

/// Reads all lines. Returns the sessions and their block size in tokens. An error names the first
/// bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
) -> Result<(Vec<RecordedSession>, u32), TraceError> {
    let mut sessions = Vec::new();
    let mut common = None;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for text in numbered(lines) {
        let line = text.number;
        let object = parse_object(line, text.text())?;
        let fields = Fields::new(line, &object);
        let name = fields.text("session")?;
        if let Some(before) = names.insert(name.to_owned(), line) {
            let why = format!("{name:?} is on line {before} too, expected a unique name");
            return Err(fields.err("session", why));
        }
        let scope = fields.text("scope")?;
        if scope != "local" {
            return Err(fields.err("scope", format!("{scope:?}, expected \"local\"")));
        }
        let block = fields.number("bs", 1, MAX_BLOCK)? as u32;
        let expected = *common.get_or_insert(block);
        if block != expected {
            let why = format!("{block}, expected {expected} as in the lines before");
            return Err(fields.err("bs", why));
        }
        let mut reader = Reader::new(name, block);
        reader.main(&fields)?;
        sessions.push(RecordedSession { start: None, requests: reader.requests });
    }
    Ok((sessions, common.ok_or(TraceError::Empty)?))
}

/// One session so far.
struct Reader {
    block: u32,
    /// A hash of the session's name, so that equal ids of two sessions are different texts.
    seed: u64,
    requests: Vec<RecordedRequest>,
    agents: u32,
}

/// A request, and the end of its answer in the recording.
#[derive(Clone, Copy)]
struct Ended {
    index: u32,
    at_ms: u64,
}

impl Reader {
    fn new(name: &str, block: u32) -> Self {
        let bytes: Vec<u64> = name.bytes().map(u64::from).collect();
        Self { block, seed: hash_words(&bytes), requests: Vec::new(), agents: 0 }
    }

    fn main(&mut self, session: &Fields<'_>) -> Result<(), TraceError> {
        let mut last: Option<Ended> = None;
        let mut earliest_ms = 0;
        // The last requests of the sub-agents that the next request waits for.
        let mut awaited: SmallVec<[u32; 1]> = SmallVec::new();
        let mut awaited_ms = 0;
        for (i, value) in items(session)?.iter().enumerate() {
            let fields = session.item("requests", i, value)?;
            if fields.has("sub") {
                let ended = self.sub_agent(&fields, last)?;
                if let Some(ended) = ended {
                    awaited.push(ended.index);
                    awaited_ms = ended.at_ms.max(awaited_ms);
                }
                continue;
            }
            let at_ms = ascending(&fields, &mut earliest_ms)?;
            let think_ms = fields.number("think_ms", 0, MAX_MS)?;
            let think_ms = match (last, awaited.is_empty()) {
                (None, true) => 0,
                (Some(_), true) => think_ms,
                // The recorded think time includes the time of the sub-agents.
                (_, false) => at_ms.saturating_sub(awaited_ms),
            };
            let mut after = std::mem::take(&mut awaited);
            after.extend(last.map(|ended| ended.index));
            last = Some(self.request(&fields, 0, after, think_ms)?);
        }
        Ok(())
    }

    /// Reads a sub-agent. Returns its last request if the main agent waits for it.
    fn sub_agent(
        &mut self,
        sub: &Fields<'_>,
        parent: Option<Ended>,
    ) -> Result<Option<Ended>, TraceError> {
        self.agents += 1;
        let agent = self.agents;
        let at_ms = sub.number("t_ms", 0, MAX_MS)?;
        let duration_ms = sub.maybe_number("duration_ms", 0, MAX_MS)?;
        let start_ms = at_ms.saturating_sub(duration_ms.unwrap_or(0));
        let mut think_ms = start_ms.saturating_sub(parent.map_or(0, |ended| ended.at_ms));
        let mut after: SmallVec<[u32; 1]> = parent.map(|ended| ended.index).into_iter().collect();
        let mut earliest_ms = 0;
        for (i, value) in items(sub)?.iter().enumerate() {
            let fields = sub.item("requests", i, value)?;
            if fields.has("sub") {
                let why = "a sub-agent of a sub-agent, expected a request".to_owned();
                return Err(fields.err("sub", why));
            }
            ascending(&fields, &mut earliest_ms)?;
            if i > 0 {
                think_ms = fields.number("think_ms", 0, MAX_MS)?;
            }
            let ended = self.request(&fields, agent, after, think_ms)?;
            after = [ended.index].into();
        }
        let ended = after.first().map(|&index| Ended { index, at_ms });
        Ok(ended.filter(|_| duration_ms.is_some()))
    }

    fn request(
        &mut self,
        fields: &Fields<'_>,
        agent: u32,
        after: SmallVec<[u32; 1]>,
        think_ms: u64,
    ) -> Result<Ended, TraceError> {
        let index = self.requests.len() as u32;
        let input = fields.length("in")?;
        let output_tokens = fields.length("out")?;
        let api_ms = fields.number("api_ms", 0, MAX_MS)?;
        let at_ms = fields.number("t_ms", 0, MAX_MS)? + api_ms;
        let text = |first: u64, tokens| {
            let seed = hash_words(&[0x436f_6465, self.seed, first]);
            Segment::Text { seed, tokens }
        };
        let mut prompt: Vec<Segment> = runs(fields, input / self.block)?
            .into_iter()
            .map(|(first, blocks)| text(first, blocks * self.block))
            .collect();
        // A partial block has no id, so no other prompt shares it.
        let tail = text(MAX_ID + u64::from(index), input % self.block);
        prompt.extend(Some(tail).filter(|tail| tail.tokens() > 0));
        self.requests.push(RecordedRequest {
            prompt,
            output_tokens,
            service: Duration::from_millis(api_ms),
            agent,
            after,
            think: Duration::from_millis(think_ms),
            due: Duration::ZERO,
            priority: 0,
        });
        Ok(Ended { index, at_ms })
    }
}

fn items<'a>(fields: &Fields<'a>) -> Result<&'a [Value], TraceError> {
    let items = fields.list("requests", "requests")?;
    if items.is_empty() {
        return Err(fields.err("requests", "empty, expected at least one request".into()));
    }
    Ok(items)
}

/// Reads the start time of a request. It must not be earlier than the start of the request before,
/// because the list has the order of the turns.
fn ascending(fields: &Fields<'_>, earliest_ms: &mut u64) -> Result<u64, TraceError> {
    let at_ms = fields.number("t_ms", 0, MAX_MS)?;
    if at_ms < *earliest_ms {
        let why = format!("{at_ms}, expected {earliest_ms} or more, as in the request before");
        return Err(fields.err("t_ms", why));
    }
    *earliest_ms = at_ms;
    Ok(at_ms)
}

/// The runs as (first id, blocks), with adjacent runs joined, so that equal ids give equal runs
/// however the file cuts them.
fn runs(fields: &Fields<'_>, needed: u32) -> Result<Vec<(u64, u32)>, TraceError> {
    let mut runs: Vec<(u64, u32)> = Vec::new();
    let mut blocks = 0;
    for value in fields.list("runs", "[first id, count]")? {
        let run = value.as_array().and_then(|pair| match pair.as_slice() {
            [first, count] => Some((first.as_u64()?, count.as_u64()?)),
            _ => None,
        });
        let fits = |&(first, count): &(u64, u64)| {
            (1..=MAX_TOKENS).contains(&count) && first <= MAX_ID - count
        };
        let (first, count) = run.filter(fits).ok_or_else(|| {
            let why = format!(
                "{}, expected [first id, count] with a count of 1 to {MAX_TOKENS} and ids below \
                 {MAX_ID}",
                brief(value)
            );
            fields.err("runs", why)
        })?;
        blocks += count;
        match runs.last_mut() {
            Some((before, length)) if *before + u64::from(*length) == first => {
                *length = (u64::from(*length) + count).min(MAX_TOKENS) as u32;
            }
            _ => runs.push((first, count as u32)),
        }
    }
    if blocks != u64::from(needed) {
        let why = format!("{blocks} blocks, expected {needed}, the full blocks of the input");
        return Err(fields.err("runs", why));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
