//! The Mooncake trace format (FAST'25 release). Each line is a JSON object with `timestamp` in
//! milliseconds, `input_length` and `output_length` in tokens, and `hash_ids`: one id for each 512
//! tokens of the prompt. Equal ids mean equal tokens and an equal prefix before them.
//!
//! ```text
//! {"timestamp": 3000, "input_length": 700, "output_length": 40, "hash_ids": [0, 17]}
//! ```

use super::error::TraceError;
use super::line::{Fields, MAX_MS, MAX_TOKENS, brief, numbered, parse_object};
use super::replay::TimedRequest;
use crate::rng::hash_words;
use crate::tokens::Segment;
use serde_json::Value;

/// The tokens of one id.
pub const TRACE_BLOCK: u32 = 512;

/// Reads all lines. The error is the first bad line. Blank lines are skipped. Times may be in any
/// order; the replay sorts them.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<TimedRequest>, TraceError> {
    let requests: Vec<_> =
        numbered(lines).map(|(line, text)| read_line(line, text)).collect::<Result<_, _>>()?;
    if requests.is_empty() { Err(TraceError::Empty) } else { Ok(requests) }
}

fn read_line(line: usize, text: &str) -> Result<TimedRequest, TraceError> {
    let object = parse_object(line, text)?;
    let fields = Fields::new(line, &object);
    let at_ms = fields.number("timestamp", 0, MAX_MS)?;
    let input = fields.number("input_length", 1, MAX_TOKENS)? as u32;
    let output_tokens = fields.number("output_length", 1, MAX_TOKENS)? as u32;
    let ids = fields.list("hash_ids", "ids")?;
    let needed = input.div_ceil(TRACE_BLOCK) as usize;
    if ids.len() != needed {
        let why = format!(
            "{} ids, expected {needed} for {input} input tokens in blocks of {TRACE_BLOCK}",
            ids.len()
        );
        return Err(fields.err("hash_ids", why));
    }
    let segment = |(i, id): (usize, &Value)| {
        let id = id.as_u64().ok_or_else(|| {
            let why = format!("{}, expected a whole number of 0 or more", brief(id));
            fields.err("hash_ids", why)
        })?;
        let tokens = (input - i as u32 * TRACE_BLOCK).min(TRACE_BLOCK);
        Ok(Segment::Text { seed: hash_words(&[0x4d6f_6f6e, id]), tokens })
    };
    let prompt = ids.iter().enumerate().map(segment).collect::<Result<_, _>>()?;
    Ok(TimedRequest { at_ms, prompt, output_tokens })
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
    fn errors_have_line_and_field() {
        let cases = [
            ("nonsense", "line 2: not a JSON object: expected ident at column 2"),
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
                "line 2: hash_ids: 1 ids, expected 2 for 513 input tokens in blocks of 512",
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
    fn byte_order_mark_line_ends_and_time_order_do_not_matter() {
        let line = |at: u64| {
            format!(r#"{{"timestamp":{at},"input_length":5,"output_length":1,"hash_ids":[1]}}"#)
        };
        let text = format!("\u{feff}{}\r\n{}\r\n\r\n  \n", line(20), line(10));
        let times: Vec<u64> = read(text.lines()).unwrap().iter().map(|r| r.at_ms).collect();
        assert_eq!(times, [20, 10]);
    }
}
