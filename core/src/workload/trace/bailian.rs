//! Alibaba's traces of Qwen in Bailian (alibaba-edu/qwen-bailian-usagetraces-anon). Each line is a JSON
//! object with a `timestamp` in seconds and one id for each 16 tokens of the prompt.
//!
//! ```text
//! {"chat_id": 159, "parent_chat_id": 55, "timestamp": 61.114, "input_length": 40,
//!  "output_length": 132, "type": "text", "turn": 2, "hash_ids": [1089, 1090, 1091]}
//! ```
//!
//! A row with a `parent_chat_id` is a later turn of its parent's session and waits for its parent's
//! answer. Its prompt is whole. A parent that the file does not have, as in a slice of a trace, is
//! taken as the session's name.

use super::blocks::{self, Ids};
use super::error::TraceError;
use super::line::{Fields, numbered, parse_object};
use super::reading::{History, Reading};
use super::recording::Recording;
use super::rows::{Names, Row, assemble};
use super::words;
use std::collections::{BTreeMap, BTreeSet};

/// The field that tells this format from others.
pub const FIELD: &str = "chat_id";
const BLOCK: u32 = 16;
const TAG: u64 = 0x5177_656e;
const NAMES: Names = Names { time: "timestamp", prompt: blocks::FIELD };
const KNOWN: [&str; 8] = [
    FIELD,
    "parent_chat_id",
    "timestamp",
    "input_length",
    "output_length",
    "type",
    "turn",
    "hash_ids",
];

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let block = reading.block.unwrap_or(BLOCK);
    let mut all = Vec::new();
    let mut parents: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut count = 0;
    let mut ignored = BTreeSet::new();
    for text in numbered(lines) {
        let object = parse_object(text.number, text.text())?;
        let fields = Fields::new(text.number, &object);
        Recording::note(&mut ignored, fields.others(&KNOWN));
        let (row, mut ids) = read_row(&fields, &mut count)?;
        if let Some(ids) = &mut ids {
            ids.complete(block);
        }
        if let Some((name, parent)) = &row.parent {
            let parent = (!parent.is_empty()).then(|| parent.clone());
            if parents.insert(name.clone(), parent).is_some() {
                let why = format!("{name} stands twice, expected a different one in each row");
                return Err(fields.err(FIELD, why));
            }
        }
        all.push((row, ids));
    }
    blocks::size(Some(block), block, &all)?;
    let fill = |(row, ids): (Row, Option<Ids>)| -> Result<Row, TraceError> {
        let session = row.parent.as_ref().map(|(name, _)| root(name, &parents, row.line));
        let prompt = ids.map_or(row.prompt, |ids| ids.prompt(block));
        Ok(Row { session: session.transpose()?, prompt, ..row })
    };
    let rows = all.into_iter().map(fill).collect::<Result<Vec<_>, _>>()?;
    let content = assemble(rows, reading, NAMES)?;
    Ok(Recording { ignored, ..Recording::new(content, Some(block)) })
}

fn read_row(fields: &Fields<'_>, count: &mut usize) -> Result<(Row, Option<Ids>), TraceError> {
    let missing = |field| fields.err(field, "missing, expected a number".into());
    let name = fields.maybe_name(FIELD)?.ok_or_else(|| missing(FIELD))?;
    let parent = fields.maybe_name("parent_chat_id")?.filter(|parent| parent != "-1");
    let seconds = fields.maybe_decimal("timestamp", 0.0, 1e11)?;
    let at_ms = seconds.ok_or_else(|| missing("timestamp"))? * 1e3;
    let input = fields.length("input_length")?;
    let ids = blocks::ids(fields, TAG, input, count)?;
    let prompt = if ids.is_some() { Vec::new() } else { vec![words::own(fields.line(), input)] };
    let row = Row::timed(fields.line(), at_ms, prompt, fields.length("output_length")?);
    let parent = Some((name, parent.unwrap_or_default()));
    Ok((Row { parent, history: Some(History::Whole), ..row }, ids))
}

/// The first chat of a session.
fn root(
    name: &str,
    parents: &BTreeMap<String, Option<String>>,
    line: usize,
) -> Result<String, TraceError> {
    let mut name = name;
    for _ in 0..=parents.len() {
        match parents.get(name) {
            Some(Some(parent)) => name = parent,
            _ => return Ok(name.to_owned()),
        }
    }
    let why = format!("{name} is its own ancestor, expected a chat without a parent at the start");
    Err(TraceError::Field { line, field: "parent_chat_id".into(), why })
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;
    use crate::time::Duration;
    use crate::tokens::Segment;

    fn line(chat: i64, parent: i64, at: f64, input: u32, ids: &[u64]) -> String {
        format!(
            r#"{{"chat_id": {chat}, "parent_chat_id": {parent}, "timestamp": {at}, "input_length": {input}, "output_length": 9, "type": "text", "turn": 1, "hash_ids": {ids:?}}}"#
        )
    }

    #[test]
    fn turns_wait_for_their_parents() {
        let lines = [
            line(1, -1, 61.5, 40, &[7, 8, 9]),
            line(2, 1, 70.0, 50, &[7, 8, 10]),
            line(3, 1, 71.0, 32, &[7, 8]),
            line(4, 99, 72.0, 16, &[3]),
        ];
        let recording = read(lines.iter(), &Reading::default()).unwrap();
        let Content::Sessions(sessions) = recording.content else { panic!("sessions") };
        assert_eq!((sessions.len(), recording.own_block_size), (2, Some(16)));
        let requests = &sessions[0].requests;
        let after: Vec<&[u32]> = requests.iter().map(|r| r.after.as_slice()).collect();
        assert_eq!(after, [&[][..], &[0], &[0]]);
        assert_eq!(requests[1].due, Duration::from_millis(8_500));
        // The second prompt has 50 tokens and three ids: its last two tokens have none.
        let lengths: Vec<u32> = requests[1].prompt.iter().map(Segment::tokens).collect();
        assert_eq!(lengths, [16, 16, 16, 2]);
        assert_eq!(requests[1].prompt[..2], requests[0].prompt[..2]);
        assert_eq!(sessions[1].start, Some(Duration::from_millis(10_500)));
    }

    #[test]
    fn errors_have_line_and_field() {
        let good = line(1, -1, 0.5, 16, &[1]);
        for (bad, expected) in [
            (line(1, -1, 1.0, 16, &[1]), "line 2: chat_id: 1 stands twice"),
            (line(2, 2, 1.0, 16, &[1]), "line 2: parent_chat_id: 2 is its own ancestor"),
            (line(2, 1, 1.0, 64, &[1]), "line 2: hash_ids: 1 ids, expected 4 for 64"),
            (line(2, 1, -1.0, 16, &[1]), "line 2: timestamp: -1"),
        ] {
            let error = read([&good, &bad].into_iter(), &Reading::default()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
