//! Vidur's request traces: a CSV of times in seconds and lengths. It does not tell what prompts share.
//!
//! ```text
//! arrived_at,num_prefill_tokens,num_decode_tokens
//! 0.5,1000,44
//! ```

use super::csv::{self, Cells};
use super::error::TraceError;
use super::reading::Reading;
use super::recording::Recording;
use super::rows::{Names, Row, assemble};
use super::words;

/// The columns that are read. An index before them does not matter.
pub const COLUMNS: [&str; 3] = ["arrived_at", "num_prefill_tokens", "num_decode_tokens"];
const NAMES: Names = Names { time: COLUMNS[0], prompt: COLUMNS[1] };

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(lines: impl Iterator<Item = S>) -> Result<Recording, TraceError> {
    let (rows, ignored) = csv::read(lines, &COLUMNS, &COLUMNS, "", read_row)?;
    let content = assemble(rows, &Reading::default(), NAMES)?;
    Ok(Recording { ignored, ..Recording::new(content, None) })
}

fn read_row(cells: &Cells<'_>) -> Result<Row, TraceError> {
    let at_ms = cells.decimal(COLUMNS[0], 0.0, 1e11)? * 1e3;
    let prompt = vec![words::own(cells.line, cells.length(COLUMNS[1])?)];
    Ok(Row::timed(cells.line, at_ms, prompt, cells.length(COLUMNS[2])?))
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;

    #[test]
    fn an_index_before_the_columns_does_not_matter() {
        let text = ",arrived_at,num_prefill_tokens,num_decode_tokens\n0,0.5,1000,44\n1,0.75,9,1\n";
        let recording = read(text.lines()).unwrap();
        let Content::Requests(requests) = recording.content else { panic!("requests") };
        let seen: Vec<_> =
            requests.iter().map(|r| (r.at_ms, r.prompt[0].tokens(), r.output_tokens)).collect();
        assert_eq!(seen, [(0, 1_000, 44), (250, 9, 1)]);
        assert!(recording.ignored.is_empty());
    }
}
