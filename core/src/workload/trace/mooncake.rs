//! The Mooncake trace format (FAST'25 release): one JSON object a line with `timestamp` in
//! milliseconds, `input_length` and `output_length` in tokens, and `hash_ids`, one id for each 512
//! tokens of the prompt; equal ids mean equal tokens and an equal prefix before them.
//!
//! ```text
//! {"timestamp": 3000, "input_length": 700, "output_length": 40, "hash_ids": [0, 17]}
//! ```

use super::{Recorded, TraceError};
use crate::rng::hash_words;
use crate::tokens::Segment;
use serde_json::{Map, Value};

/// Tokens an id stands for.
pub const TRACE_BLOCK: u32 = 512;

const MAX_TOKENS: u64 = 1 << 24;
/// Ten years.
const MAX_MS: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// Reads all lines; the first bad one ends it. Blank lines are passed over.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Recorded>, TraceError> {
    let mut requests = Vec::new();
    for (i, text) in lines.enumerate() {
        if !text.trim().is_empty() {
            requests.push(read_line(i + 1, text)?);
        }
    }
    if requests.is_empty() { Err(TraceError::Empty) } else { Ok(requests) }
}

/// Whether prompts of this format can be cut into blocks of `block_size`.
pub fn check_block_size(block_size: u32) -> Result<(), TraceError> {
    if block_size == 0 || !TRACE_BLOCK.is_multiple_of(block_size) {
        return Err(TraceError::BlockSize { block_size, trace_block: TRACE_BLOCK });
    }
    Ok(())
}

fn read_line(line: usize, text: &str) -> Result<Recorded, TraceError> {
    let object: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| TraceError::NotJson { line, why: error.to_string() })?;
    let err = |field, why: String| TraceError::Field { line, field, why };
    let number = |field: &'static str, least: u64, most: u64| {
        let expected = format!("expected a whole number from {least} to {most}");
        let value = object.get(field).ok_or_else(|| err(field, format!("missing, {expected}")))?;
        let fits = value.as_u64().filter(|number| (least..=most).contains(number));
        fits.ok_or_else(|| err(field, format!("{}, {expected}", brief(value))))
    };
    let at_ms = number("timestamp", 0, MAX_MS)?;
    let input = number("input_length", 1, MAX_TOKENS)? as u32;
    let output_tokens = number("output_length", 1, MAX_TOKENS)? as u32;
    let ids = match object.get("hash_ids") {
        Some(Value::Array(ids)) => ids,
        Some(other) => {
            return Err(err("hash_ids", format!("{}, expected a list of ids", brief(other))));
        }
        None => return Err(err("hash_ids", "missing, expected a list of ids".into())),
    };
    let needed = input.div_ceil(TRACE_BLOCK) as usize;
    if ids.len() != needed {
        let why = format!(
            "{} ids, {input} input tokens in blocks of {TRACE_BLOCK} need {needed}",
            ids.len()
        );
        return Err(err("hash_ids", why));
    }
    let segment = |(i, id): (usize, &Value)| {
        let id = id.as_u64().ok_or_else(|| {
            err("hash_ids", format!("{}, expected a whole number of 0 or more", brief(id)))
        })?;
        let tokens = (input - i as u32 * TRACE_BLOCK).min(TRACE_BLOCK);
        Ok(Segment::Text { seed: hash_words(&[0x4d6f_6f6e, id]), tokens })
    };
    let prompt = ids.iter().enumerate().map(segment).collect::<Result<_, _>>()?;
    Ok(Recorded { at_ms, prompt, output_tokens })
}

/// A value as an error shows it.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_request() {
        let text = r#"{"timestamp": 3000, "input_length": 700, "output_length": 40, "hash_ids": [0, 17], "more": 1}"#;
        let requests = read([text, ""].into_iter()).unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].at_ms, requests[0].output_tokens), (3_000, 40));
        let tokens: Vec<u32> = requests[0].prompt.iter().map(Segment::tokens).collect();
        assert_eq!(tokens, [512, 188]);
    }

    #[test]
    fn bad_lines_are_named_by_line_and_field() {
        let cases = [
            ("nonsense", "line 2: not a JSON object: expected ident at line 1 column 2"),
            ("[1]", "line 2: not a JSON object"),
            (
                r#"{"input_length":1,"output_length":1,"hash_ids":[1]}"#,
                "line 2: timestamp: missing",
            ),
            (
                r#"{"timestamp":-1,"input_length":1,"output_length":1,"hash_ids":[1]}"#,
                "line 2: timestamp: -1, expected a whole number from 0 to",
            ),
            (
                r#"{"timestamp":0,"input_length":0,"output_length":1,"hash_ids":[]}"#,
                "line 2: input_length: 0, expected a whole number from 1 to",
            ),
            (
                r#"{"timestamp":0,"input_length":1e99,"output_length":1,"hash_ids":[]}"#,
                "line 2: input_length: 1e+99, expected",
            ),
            (
                r#"{"timestamp":0,"input_length":5.5,"output_length":1,"hash_ids":[1]}"#,
                "line 2: input_length: 5.5, expected",
            ),
            (
                r#"{"timestamp":0,"input_length":5,"output_length":"x","hash_ids":[1]}"#,
                "line 2: output_length: \"x\", expected",
            ),
            (
                r#"{"timestamp":0,"input_length":513,"output_length":1,"hash_ids":[1]}"#,
                "line 2: hash_ids: 1 ids, 513 input tokens in blocks of 512 need 2",
            ),
            (
                r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[-3]}"#,
                "line 2: hash_ids: -3, expected",
            ),
            (
                r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":7}"#,
                "line 2: hash_ids: 7, expected a list",
            ),
            (r#"{"timestamp":0,"input_length":5,"output_length":1}"#, "line 2: hash_ids: missing"),
        ];
        let good = r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1]}"#;
        for (bad, expected) in cases {
            let error = read([good, bad].into_iter()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
            assert!(!error.contains('\n'));
        }
        assert_eq!(read([""].into_iter()), Err(TraceError::Empty));
    }

    #[test]
    fn block_sizes_must_divide() {
        assert!([1, 16, 64, 512].into_iter().all(|size| check_block_size(size).is_ok()));
        assert!([0, 3, 48, 1024].into_iter().all(|size| check_block_size(size).is_err()));
    }
}
