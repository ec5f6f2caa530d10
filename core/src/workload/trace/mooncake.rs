//! Mooncake's trace format (FAST'25 release), and the rows that AIPerf, GenAI-Perf and Dynamo's replay
//! read, which extend it. Each line is a JSON object with `timestamp` in milliseconds, `input_length`
//! and `output_length` in tokens, and `hash_ids`: one id for each block of the prompt, 512 tokens in the
//! release. Equal ids mean equal tokens and an equal prefix before them.
//!
//! ```text
//! {"timestamp": 3000, "input_length": 700, "output_length": 40, "hash_ids": [0, 17]}
//! {"session_id": "a", "delay": 500, "input_length": 90, "output_length": 40, "hash_ids": [18]}
//! ```
//!
//! A row may have a text (`text_input`, `text`, `messages`) in place of a length and ids. Rows with a
//! `session_id` are turns of a session.

use super::blocks::{self, Ids};
use super::error::TraceError;
use super::line::{Fields, MAX_MS, MAX_TOKENS, numbered, parse_object};
use super::reading::{History, Reading, TimeUnit};
use super::recording::{Content, Recording};
use super::replay::TimedRequest;
use super::rows::{Names, Row, assemble};
use super::words;
use crate::tokens::Segment;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// The tokens of one id in the release.
pub const TRACE_BLOCK: u32 = 512;
const TAG: u64 = 0x4d6f_6f6e;
/// The latest time, in its own unit: nanoseconds since 1970 are below it.
const MAX_TIME: f64 = 1e19;
const NAMES: Names = Names { time: "timestamp", prompt: blocks::FIELD };

/// The fields that are read.
pub const KNOWN: [&str; 16] = [
    "timestamp",
    "input_length",
    "output_length",
    "hash_ids",
    "session_id",
    "delay",
    "priority",
    "text_input",
    "text",
    "texts",
    "messages",
    "message_mode",
    "type",
    "tools",
    "role",
    "max_tokens",
];

/// Fields that change a request in a way that is not modelled.
const REFUSED: [(&str, &str); 12] = [
    ("payload", "the body of a request is read with --format openai"),
    ("extra", "fields for the request's body are not read"),
    ("image", "images are not modelled"),
    ("images", "images are not modelled"),
    ("audio", "audio is not modelled"),
    ("audios", "audio is not modelled"),
    ("video", "video is not modelled"),
    ("videos", "video is not modelled"),
    ("n", "several answers to one prompt are not modelled"),
    ("lora", "adapters are not modelled"),
    ("lora_name", "adapters are not modelled"),
    ("cache_salt", "salts are not read; --tenants and --sharing say who shares"),
];

/// Reads all lines of a file with requests at times only. The error is the first bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
) -> Result<Vec<TimedRequest>, TraceError> {
    match read_all(lines, &Reading::default())?.content {
        Content::Requests(requests) => Ok(requests),
        Content::Sessions(_) => {
            let why = "present, expected requests without sessions".to_owned();
            Err(TraceError::Field { line: 1, field: "session_id".into(), why })
        }
    }
}

/// Reads all lines. The error is the first bad line. Blank lines are skipped. Times count from the
/// earliest one. They may be in any order if each row has one.
pub fn read_all<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let mut all = Vec::new();
    let mut ids = 0;
    let mut ignored = BTreeSet::new();
    for text in numbered(lines) {
        if let Some(row) = read_plain(text.number, text.text(), reading, &mut ids) {
            all.push(row);
            continue;
        }
        let object = parse_object(text.number, text.text())?;
        let fields = Fields::new(text.number, &object);
        Recording::note(&mut ignored, fields.others(&KNOWN));
        let session = fields.maybe_name("session_id")?;
        all.push(read_row(&fields, session, reading, &mut ids)?);
    }
    finish(all, ignored, reading)
}

/// A row of the release: these four fields and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    hash_ids: Vec<u64>,
}

/// Reads a row of the release without a map of its fields, which takes a third of the time. None: the
/// row has something else or something wrong, and the reader of all rows says what.
fn read_plain(
    line: usize,
    text: &str,
    reading: &Reading,
    all: &mut usize,
) -> Option<(Row, Option<Ids>)> {
    let plain: Plain = serde_json::from_str(text).ok()?;
    let length = |tokens: u32| (u64::from(tokens) <= MAX_TOKENS).then_some(tokens.max(1));
    let (input, output_tokens) = (length(plain.input_length)?, length(plain.output_length)?);
    let fits = (0.0..=MAX_TIME).contains(&plain.timestamp) && !plain.hash_ids.is_empty();
    let ids = fits.then(|| Ids::of_numbers(line, TAG, input, &plain.hash_ids, all))??;
    let unit = reading.unit.unwrap_or(TimeUnit::Milliseconds).in_ms();
    let row = Row {
        line,
        at_ms: Some(plain.timestamp * unit),
        session: None,
        parent: None,
        delay_ms: 0.0,
        service_ms: 0.0,
        priority: 0,
        prompt: Vec::new(),
        output_tokens,
        history: None,
    };
    Some((row, Some(ids)))
}

/// The recording of all rows.
pub fn finish(
    all: Vec<(Row, Option<Ids>)>,
    ignored: BTreeSet<String>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let has_ids = all.iter().any(|(_, ids)| ids.is_some());
    // Prompts of lengths alone share nothing.
    let has_texts =
        all.iter().any(|(row, ids)| ids.is_none() && !words::is_own(&row.prompt, row.line));
    let block = blocks::size(reading.block, TRACE_BLOCK, &all)?;
    let fill = |(row, ids): (Row, Option<Ids>)| match ids {
        Some(ids) => Row { prompt: ids.prompt(block), ..row },
        None => row,
    };
    let rows: Vec<Row> = all.into_iter().map(fill).collect();
    check_unit(&rows, reading)?;
    let content = assemble(rows, reading, NAMES)?;
    let recording = Recording::new(content, has_ids.then_some(block));
    let shares = recording.shares || has_texts;
    Ok(Recording { ignored, shares, ..recording })
}

/// Rejects times that can only be of another unit: read as milliseconds they would make the trace a
/// thousand times faster or slower.
fn check_unit(rows: &[Row], reading: &Reading) -> Result<(), TraceError> {
    let earliest = rows.iter().filter_map(|row| Some((row.at_ms?, row.line)));
    let earliest = earliest.min_by(|a, b| a.0.total_cmp(&b.0));
    let Some((at, line)) = earliest.filter(|_| reading.unit.is_none()) else { return Ok(()) };
    let Some(unit) = TimeUnit::of_epoch(at) else { return Ok(()) };
    let why = format!(
        "{at} looks like a time since 1970 in {unit}, expected milliseconds; --trace-time-unit says \
         which"
    );
    Err(TraceError::Field { line, field: NAMES.time.into(), why })
}

/// Reads a row, or a turn of a session.
pub fn read_row(
    fields: &Fields<'_>,
    session: Option<String>,
    reading: &Reading,
    all: &mut usize,
) -> Result<(Row, Option<Ids>), TraceError> {
    for (field, why) in REFUSED {
        if let Some(value) = fields.said(field).filter(|value| value.as_u64() != Some(1)) {
            let why = format!("{}, expected none: {why}", super::line::brief(value));
            return Err(fields.err(field, why));
        }
    }
    let line = fields.line();
    let unit = reading.unit.unwrap_or(TimeUnit::Milliseconds).in_ms();
    let at = fields.maybe_decimal("timestamp", 0.0, MAX_TIME)?;
    let delay_ms = fields.maybe_decimal("delay", 0.0, MAX_MS as f64)?.unwrap_or(0.0);
    if session.is_none() && delay_ms > 0.0 {
        let why = format!(
            "{delay_ms}, expected a session_id beside it: a delay counts from the answer before"
        );
        return Err(fields.err("delay", why));
    }
    let (prompt, ids, history) = read_prompt(fields, all)?;
    let row = Row {
        line,
        at_ms: at.map(|at| at * unit),
        session,
        parent: None,
        delay_ms,
        service_ms: 0.0,
        priority: fields.priority()?,
        prompt,
        output_tokens: output(fields)?,
        history,
    };
    Ok((row, ids))
}

fn output(fields: &Fields<'_>) -> Result<u32, TraceError> {
    let field = if fields.is_set("output_length") { "output_length" } else { "max_tokens" };
    if fields.is_set(field) { fields.length(field) } else { fields.length("output_length") }
}

/// What the row says itself of what it carries.
fn mode(fields: &Fields<'_>) -> Result<Option<History>, TraceError> {
    match fields.said("message_mode").and_then(Value::as_str) {
        None => Ok(None),
        Some("history") => Ok(Some(History::Whole)),
        Some("delta") => Ok(Some(History::NewAndAnswers)),
        Some(other) => {
            let why = format!("{other:?}, expected \"history\" or \"delta\"");
            Err(fields.err("message_mode", why))
        }
    }
}

/// The prompt, or its ids, and what the row carries of its session.
type Prompt = (Vec<Segment>, Option<Ids>, Option<History>);

fn read_prompt(fields: &Fields<'_>, all: &mut usize) -> Result<Prompt, TraceError> {
    const TEXTS: [&str; 4] = ["text_input", "text", "texts", "messages"];
    let mut texts = TEXTS.into_iter().filter(|field| fields.said(field).is_some());
    let text = texts.next();
    if let (Some(one), Some(other)) = (text, texts.next()) {
        return Err(fields.err(other, format!("beside {one}, expected one of them")));
    }
    if let Some(tools) = fields.said("tools").filter(|_| text != Some("messages")) {
        let why = format!(
            "{}, expected none beside a prompt without messages",
            super::line::brief(tools)
        );
        return Err(fields.err("tools", why));
    }
    let Some(field) = text else {
        let input = fields.length("input_length")?;
        let ids = blocks::ids(fields, TAG, input, all)?;
        // Without ids each prompt is a text of its own, and a turn of a session is what is new.
        return Ok(match ids {
            None => {
                let own = vec![words::own(fields.line(), input)];
                (own, None, mode(fields)?.or(Some(History::New)))
            }
            ids => (Vec::new(), ids, mode(fields)?),
        });
    };
    if fields.said("hash_ids").is_some() {
        return Err(fields.err("hash_ids", format!("beside {field}, expected one of them")));
    }
    let mut prompt = Vec::new();
    // AIPerf's rows with `text` are whole prompts, those with `text_input` carry what is new.
    let mut history = if field == "text_input" { History::New } else { History::Whole };
    if field == "messages" {
        if let Some(tools) = fields.said("tools") {
            words::push(&mut prompt, "tools", &tools.to_string());
        }
        prompt.extend(words::messages(fields, field)?);
        history = mode(fields)?.unwrap_or(History::Whole);
    } else {
        words::content(fields, field, "user", &mut prompt)?;
    }
    *all += prompt.len();
    if *all > super::rows::MAX_PARTS {
        let why = format!("more than {} parts in all rows", super::rows::MAX_PARTS);
        return Err(fields.err(field, why));
    }
    // GenAI-Perf's payload files have both. The length then counts; the text says which prompts are
    // equal.
    if fields.is_set("input_length") {
        let seed = prompt.iter().fold(0, |seed, segment| match *segment {
            Segment::Text { seed: own, .. } => crate::rng::hash_words(&[seed, own]),
            Segment::Answer { .. } => seed,
        });
        prompt = vec![Segment::Text { seed, tokens: fields.length("input_length")? }];
    }
    Ok((words::at_least_one(prompt, fields.line()), None, Some(history)))
}

#[cfg(test)]
mod tests;
