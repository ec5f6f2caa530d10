//! Conversations with their texts: ShareGPT (`conversations` of `from` and `value`), LMSYS-Chat and
//! others in its shape (`conversation` or `messages` of `role` and `content`). Texts are tokens by
//! [`super::words`].
//!
//! ```text
//! {"id": "a_0", "conversations": [{"from": "human", "value": "Name a colour."},
//!  {"from": "gpt", "value": "Teal."}]}
//! ```
//!
//! Each answer that follows something is a request. Its prompt is the text before it, and its length
//! is the answer's. A conversation is a session. It starts at its `tstamp` or `timestamp`, if it has one.

use super::azure::parse_time;
use super::error::TraceError;
use super::line::{Fields, brief, numbered, parse_object};
use super::reading::Reading;
use super::recording::Recording;
use super::rows::{MAX_PARTS, Names, Row, assemble};
use super::words;
use serde_json::Value;

/// The fields that a conversation can stand in.
pub const FIELDS: [&str; 3] = ["conversations", "conversation", "messages"];
const NAMES: Names = Names { time: "tstamp", prompt: "conversation" };
/// Those who answer.
const ANSWERS: [&str; 8] =
    ["assistant", "gpt", "chatgpt", "model", "bot", "bard", "bing", "output"];

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(lines: impl Iterator<Item = S>) -> Result<Recording, TraceError> {
    let mut rows = Vec::new();
    let mut parts = 0;
    for text in numbered(lines) {
        let object = parse_object(text.number, text.text())?;
        conversation(&Fields::new(text.number, &object), &mut rows, &mut parts)?;
    }
    let content = assemble(rows, &Reading::default(), NAMES)?;
    Ok(Recording::new(content, None))
}

fn conversation(
    fields: &Fields<'_>,
    rows: &mut Vec<Row>,
    parts: &mut usize,
) -> Result<(), TraceError> {
    let field = FIELDS.into_iter().find(|field| fields.has(field)).unwrap_or(FIELDS[0]);
    let mut start = start(fields)?;
    let mut prompt = Vec::new();
    for (i, value) in fields.list(field, "messages")?.iter().enumerate() {
        let message = fields.item(field, i, value)?;
        let role = message.text(if message.has("from") { "from" } else { "role" })?;
        let names = ["value", "content", "text"];
        let content = names.into_iter().find(|name| message.has(name)).unwrap_or(names[0]);
        let mut said = Vec::new();
        words::content(&message, content, role, &mut said)?;
        if ANSWERS.contains(&role) && !prompt.is_empty() {
            let tokens = said.iter().map(crate::tokens::Segment::tokens).sum::<u32>().max(1);
            *parts += prompt.len();
            if *parts > MAX_PARTS {
                let why = format!("more than {MAX_PARTS} parts in all prompts, expected fewer");
                return Err(fields.err(field, why));
            }
            rows.push(Row {
                at_ms: start.take(),
                session: Some(fields.line().to_string()),
                ..Row::timed(fields.line(), 0.0, prompt.clone(), tokens)
            });
        }
        prompt.append(&mut said);
    }
    Ok(())
}

/// When a conversation started, in milliseconds since 1970: seconds, or a date and time.
fn start(fields: &Fields<'_>) -> Result<Option<f64>, TraceError> {
    for field in ["tstamp", "timestamp"] {
        match fields.said(field) {
            None => {}
            Some(Value::String(text)) => {
                let at = parse_time(text).ok_or_else(|| {
                    fields.err(field, format!("{text:?}, expected YYYY-MM-DD HH:MM:SS"))
                })?;
                return Ok(Some(at as f64));
            }
            Some(Value::Number(number)) => {
                let seconds = number.as_f64().filter(|at| (0.0..1e11).contains(at));
                let why = || format!("{number}, expected seconds since 1970");
                return seconds.map(|at| Some(at * 1e3)).ok_or_else(|| fields.err(field, why()));
            }
            Some(other) => {
                let why = format!("{}, expected seconds since 1970, or a date", brief(other));
                return Err(fields.err(field, why));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::super::session_replay::RecordedSession;
    use super::*;

    fn sessions(text: &str) -> Vec<RecordedSession> {
        match read(text.lines()).unwrap().content {
            Content::Sessions(sessions) => sessions,
            Content::Requests(_) => panic!("sessions"),
        }
    }

    fn lengths(session: &RecordedSession) -> Vec<(u32, u32)> {
        let tokens = |r: &super::super::session_replay::RecordedRequest| {
            r.prompt.iter().map(crate::tokens::Segment::tokens).sum()
        };
        session.requests.iter().map(|r| (tokens(r), r.output_tokens)).collect()
    }

    #[test]
    fn each_answer_is_a_request_with_the_text_before_it() {
        let sharegpt = r#"{"id": "a_0", "conversations": [{"from": "gpt", "value": "Hi."}, {"from": "human", "value": "Name a colour."}, {"from": "gpt", "value": "Teal."}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": ""}, {"from": "human", "value": "?"}]}"#;
        assert_eq!(lengths(&sessions(sharegpt)[0]), [(4, 1), (6, 1)]);
        let lmsys = r#"{"conversation_id": "c0", "model": "m", "conversation": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Teal it is."}], "turn": 1, "language": "English"}"#;
        assert_eq!(lengths(&sessions(lmsys)[0]), [(3, 3)]);
        let messages = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi you"}]}, {"role": "assistant", "content": "Hi."}]}"#;
        assert_eq!(lengths(&sessions(messages)[0]), [(2, 1)]);
    }

    #[test]
    fn conversations_start_at_their_times() {
        let line = |at: &str| {
            format!(
                r#"{{"conversation": [{{"role": "user", "content": "a"}}, {{"role": "assistant", "content": "b"}}], {at}}}"#
            )
        };
        let text = format!("{}\n{}", line("\"tstamp\": 9.5"), line("\"tstamp\": 7"));
        let starts: Vec<_> =
            sessions(&text).iter().map(|s| s.start.map(|at| at.as_nanos())).collect();
        assert_eq!(starts, [Some(0), Some(2_500_000_000)]);
        let dated = line("\"timestamp\": \"2024-05-10T00:00:00Z\"");
        assert!(sessions(&dated)[0].start.is_some());
    }

    #[test]
    fn errors_have_line_and_field() {
        for (bad, expected) in [
            (r#"{"id": "a"}"#, "line 1: conversations: missing, expected a list of messages"),
            (r#"{"conversations": [{"value": "x"}]}"#, "line 1: conversations[0].role: missing"),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
                "line 1: messages[0].content[0].type: \"image_url\", expected \"text\"",
            ),
            (r#"{"conversation": []}"#, "no requests, expected at least one"),
        ] {
            let error = read([bad].into_iter()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
