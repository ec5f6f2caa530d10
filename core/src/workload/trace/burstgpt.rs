//! BurstGPT: a CSV of times in seconds and lengths, of a campus service (HPMLL/BurstGPT). The third
//! release also has sessions and the times that answers took.
//!
//! ```text
//! Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
//! 5,ChatGPT,472,18,490,Conversation log
//! Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
//! 5,s1,2.25,ChatGPT,410,22,432,Conversation log
//! ```
//!
//! A request waits for the answer before it in its session. What prompts share is not told, not even in
//! a session, so each is a text of its own.

use super::csv::{self, Cells};
use super::error::TraceError;
use super::line::MAX_MS;
use super::reading::{History, Reading};
use super::recording::Recording;
use super::rows::{Names, Row, assemble};
use super::words;

/// The columns that both headers have and that are read.
pub const COLUMNS: [&str; 3] = ["Timestamp", "Request tokens", "Response tokens"];
const SESSION: &str = "Session ID";
const TOOK: &str = "Elapsed time";
const KNOWN: [&str; 5] = [COLUMNS[0], COLUMNS[1], COLUMNS[2], SESSION, TOOK];
const NAMES: Names = Names { time: COLUMNS[0], prompt: COLUMNS[1] };

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let (rows, ignored) = csv::read(lines, &COLUMNS, &KNOWN, "", read_row)?;
    let shares = reading.history.is_some_and(|history| history != History::Whole);
    let content = assemble(rows, reading, NAMES)?;
    Ok(Recording { ignored, shares, ..Recording::new(content, None) })
}

fn read_row(cells: &Cells<'_>) -> Result<Row, TraceError> {
    let seconds = MAX_MS as f64 / 1e3;
    let at_ms = cells.decimal(COLUMNS[0], 0.0, 1e11)? * 1e3;
    let prompt = vec![words::own(cells.line, cells.length(COLUMNS[1])?)];
    let row = Row::timed(cells.line, at_ms, prompt, cells.length(COLUMNS[2])?);
    let session = cells.text(SESSION);
    let took = cells.text(TOOK);
    // Failed requests have no elapsed time.
    let took = if took.is_empty() { 0.0 } else { cells.decimal(TOOK, 0.0, seconds)? };
    let session = (!session.is_empty()).then(|| session.to_owned());
    Ok(Row { session, service_ms: took * 1e3, ..row })
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;
    use crate::time::Duration;

    #[test]
    fn both_headers_are_read() {
        let first = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                     5,ChatGPT,410,22,432,Conversation log\n47.5,GPT-4,900,0,900,API log\n";
        let recording = read(first.lines(), &Reading::default()).unwrap();
        let Content::Requests(requests) = &recording.content else { panic!("requests") };
        let seen: Vec<_> =
            requests.iter().map(|r| (r.at_ms, r.prompt[0].tokens(), r.output_tokens)).collect();
        assert_eq!(seen, [(0, 410, 22), (42_500, 900, 1)]);
        assert!(!recording.shares && recording.ignored.contains("Model"));

        let third = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total \
                     tokens,Log Type\n5.5,s1,2.25,ChatGPT,410,22,432,Conversation log\n\
                     6,,1,GPT-4,9,9,18,API log\n65.5,s1,2,ChatGPT,500,22,522,Conversation log\n";
        let recording = read(third.lines(), &Reading::default()).unwrap();
        let Content::Sessions(sessions) = &recording.content else { panic!("sessions") };
        let later = &sessions[0].requests[1];
        assert_eq!((sessions.len(), later.after.as_slice()), (2, &[0][..]));
        assert_eq!(later.due, Duration::from_secs_f64(60.0));
        assert_eq!(sessions[0].requests[0].service, Duration::from_millis(2_250));
    }

    #[test]
    fn errors_have_line_and_field() {
        let header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type";
        for (bad, expected) in [
            ("x,M,1,1,2,L", "line 2: Timestamp: \"x\", expected a number from 0 to"),
            ("1,M,-1,1,2,L", "line 2: Request tokens: \"-1\", expected a whole number"),
            ("1,M,1,1,2", "line 2: columns: 5, expected 6: Timestamp,Model"),
        ] {
            let error = read([header, bad].into_iter(), &Reading::default()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
