//! Requests to OpenAI's API: batch files (`body`), AIPerf's rows with a `payload`, or bodies as they are.
//! Texts are tokens by [`super::words`]; a prompt may also be a list of token ids.
//!
//! ```text
//! {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m",
//!  "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 10}}
//! ```
//!
//! These files have no answers, so the most tokens that an answer may have is its length.

use super::error::TraceError;
use super::line::{Fields, MAX_MS, brief, numbered, parse_object};
use super::reading::Reading;
use super::recording::Recording;
use super::rows::{MAX_PARTS, Names, Row, assemble};
use super::words;
use crate::rng::hash_words;
use crate::tokens::Segment;
use serde_json::Value;
use std::collections::BTreeSet;

const NAMES: Names = Names { time: "timestamp", prompt: "messages" };
const LENGTHS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
/// The fields of a body, or of a row beside it, that are read or change no length and no time.
const KNOWN: [&str; 16] = [
    "messages",
    "prompt",
    "tools",
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "n",
    "priority",
    "model",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "timestamp",
    "delay",
    "session_id",
];
/// The token ids of a segment.
const IDS: usize = 16;

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let mut rows = Vec::new();
    let mut parts = 0;
    let mut ignored = BTreeSet::new();
    for text in numbered(lines) {
        let object = parse_object(text.number, text.text())?;
        let fields = Fields::new(text.number, &object);
        let row = read_row(&fields, &mut ignored)?;
        parts += row.prompt.len();
        if parts > MAX_PARTS {
            let why = format!("more than {MAX_PARTS} parts in all prompts, expected fewer");
            return Err(fields.err(NAMES.prompt, why));
        }
        rows.push(row);
    }
    let recording = Recording::new(assemble(rows, reading, NAMES)?, None);
    Ok(Recording { shares: true, ignored, ..recording })
}

fn read_row(fields: &Fields<'_>, ignored: &mut BTreeSet<String>) -> Result<Row, TraceError> {
    let body = match ["body", "payload"].into_iter().find(|field| fields.has(field)) {
        Some(field) => fields.object(field)?,
        None => fields.object_itself(),
    };
    if let Some(n) = body.said("n").filter(|n| n.as_u64() != Some(1)) {
        let why = format!("{}, expected 1: several answers are not modelled", brief(n));
        return Err(body.err("n", why));
    }
    Recording::note(ignored, body.others(&KNOWN));
    let Some(length) = LENGTHS.into_iter().find(|field| body.is_set(field)) else {
        let why = "missing, expected the most tokens of the answer: the file has no answers";
        return Err(body.err(LENGTHS[1], why.into()));
    };
    let at_ms = fields.maybe_decimal("timestamp", 0.0, 1e14)?;
    let delay_ms = fields.maybe_decimal("delay", 0.0, MAX_MS as f64)?.unwrap_or(0.0);
    let row = Row::timed(fields.line(), 0.0, prompt(&body)?, body.length(length)?);
    let session = fields.maybe_name("session_id")?;
    Ok(Row { at_ms, session, delay_ms, priority: body.priority()?, ..row })
}

fn prompt(body: &Fields<'_>) -> Result<Vec<Segment>, TraceError> {
    let mut prompt = Vec::new();
    if let Some(tools) = body.said("tools") {
        words::push(&mut prompt, "tools", &tools.to_string());
    }
    if body.has("messages") {
        prompt.extend(words::messages(body, "messages")?);
    } else if body.has("prompt") {
        match body.said("prompt") {
            Some(Value::Array(ids)) if ids.iter().all(Value::is_u64) => {
                prompt.extend(ids.chunks(IDS).map(token_ids));
            }
            Some(Value::Array(texts)) if texts.len() > 1 => {
                let why = format!("{} prompts, expected one in each row", texts.len());
                return Err(body.err("prompt", why));
            }
            _ => words::content(body, "prompt", "user", &mut prompt)?,
        }
    } else {
        let why = "missing, expected messages or a prompt";
        return Err(body.err("messages", why.into()));
    }
    Ok(words::at_least_one(prompt, body.line()))
}

fn token_ids(ids: &[Value]) -> Segment {
    let words: Vec<u64> = ids.iter().filter_map(Value::as_u64).collect();
    Segment::Text {
        seed: hash_words(&[&[0x6964_7300], words.as_slice()].concat()),
        tokens: ids.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;

    fn lengths(text: &str) -> Vec<(u32, u32)> {
        let tokens = |prompt: &[Segment]| prompt.iter().map(Segment::tokens).sum();
        match read(text.lines(), &Reading::default()).unwrap().content {
            Content::Requests(all) => {
                all.iter().map(|r| (tokens(&r.prompt), r.output_tokens)).collect()
            }
            Content::Sessions(all) => {
                let all = all.iter().flat_map(|session| &session.requests);
                all.map(|r| (tokens(&r.prompt), r.output_tokens)).collect()
            }
        }
    }

    #[test]
    fn bodies_payloads_and_batches_are_read() {
        let batch = r#"{"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 10}}"#;
        assert_eq!(lengths(batch), [(3, 10)]);
        let ids: Vec<u32> = (0..40).collect();
        let payload =
            format!(r#"{{"timestamp": 5, "payload": {{"prompt": {ids:?}, "max_tokens": 4}}}}"#);
        assert_eq!(lengths(&payload), [(40, 4)]);
        assert_eq!(
            lengths(r#"{"model": "m", "prompt": "a b", "max_completion_tokens": 0}"#),
            [(2, 1)]
        );
    }

    #[test]
    fn errors_have_line_and_field() {
        for (bad, expected) in [
            (
                r#"{"body": {"messages": []}}"#,
                "line 1: body.max_tokens: missing, expected the most",
            ),
            (r#"{"body": {"max_tokens": 1}}"#, "line 1: body.messages: missing, expected messages"),
            (
                r#"{"body": {"prompt": ["a", "b"], "max_tokens": 1}}"#,
                "line 1: body.prompt: 2 prompts",
            ),
            (
                r#"{"body": {"prompt": "a", "max_tokens": 1, "n": 4}}"#,
                "line 1: body.n: 4, expected 1",
            ),
        ] {
            let error = read([bad].into_iter(), &Reading::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
