//! Session files of AIPerf (`multi_turn`). Each line is a session with its turns. A turn has what a row
//! of [`super::mooncake`] has, and carries what is new.
//!
//! ```text
//! {"session_id": "a", "turns": [{"text": "Name a colour.", "output_length": 12},
//!  {"text": "Another one.", "delay": 1500, "output_length": 9}]}
//! ```

use super::error::TraceError;
use super::line::{Fields, numbered, parse_object};
use super::mooncake::{KNOWN, finish, read_row};
use super::reading::{History, Reading};
use super::recording::Recording;
use std::collections::BTreeSet;

/// The field that tells this format from others.
pub const FIELD: &str = "turns";

/// Reads all lines. The error is the first bad line.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    reading: &Reading,
) -> Result<Recording, TraceError> {
    let mut all = Vec::new();
    let mut count = 0;
    let mut ignored = BTreeSet::new();
    for text in numbered(lines) {
        let object = parse_object(text.number, text.text())?;
        let fields = Fields::new(text.number, &object);
        let turns = fields.list(FIELD, "turns")?;
        if turns.is_empty() {
            return Err(fields.err(FIELD, "empty, expected at least one turn".into()));
        }
        // Sessions without a name are told apart by their lines.
        let name = fields.maybe_name("session_id")?;
        let name = name.unwrap_or_else(|| format!("line {}", text.number));
        Recording::note(&mut ignored, fields.others(&[FIELD, "session_id", "type"]));
        for (i, turn) in turns.iter().enumerate() {
            let turn = fields.item(FIELD, i, turn)?;
            Recording::note(&mut ignored, turn.others(&KNOWN));
            let (mut row, ids) = read_row(&turn, Some(name.clone()), reading, &mut count)?;
            row.history = row.history.map(|_| History::New);
            all.push((row, ids));
        }
    }
    finish(all, ignored, reading)
}

#[cfg(test)]
mod tests {
    use super::super::recording::Content;
    use super::*;
    use crate::time::Duration;
    use crate::tokens::Segment;

    #[test]
    fn turns_carry_what_is_new() {
        let line = r#"{"session_id": "a", "turns": [{"text": "Name a colour.", "output_length": 12}, {"text": "Another one.", "delay": 1500, "output_length": 9}]}"#;
        let recording = read([line].into_iter(), &Reading::default()).unwrap();
        assert!(recording.shares && !recording.has_starts());
        let Content::Sessions(sessions) = recording.content else { panic!("sessions") };
        let [first, second] = sessions[0].requests.as_slice() else { panic!("two turns") };
        let tokens = |prompt: &[Segment]| prompt.iter().map(Segment::tokens).sum::<u32>();
        assert_eq!((tokens(&first.prompt), tokens(&second.prompt)), (3, 5));
        assert_eq!(first.prompt[..], second.prompt[..1]);
        assert_eq!(second.think, Duration::from_millis(1_500));
    }

    #[test]
    fn errors_have_line_and_field() {
        for (bad, expected) in [
            (r#"{"turns": []}"#, "line 1: turns: empty, expected at least one turn"),
            (r#"{"turns": [{"text": "a"}]}"#, "line 1: turns[0].output_length: missing"),
            (r#"{"turns": [{"image": "x"}]}"#, "line 1: turns[0].image: \"x\", expected none"),
        ] {
            let error = read([bad].into_iter(), &Reading::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
