//! Settings from TOML files. An error has a line for each thing that is wrong: file, line, field, and
//! what was expected.

use crate::bounded;
use crate::terminal::escaped;
use crate::toml_file::{self, Refused, line_of, place};
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::Path;

/// Reads a TOML file. Returns its value and its text. An error is one line.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<(T, String), String> {
    let text = bounded::text_of(file)?;
    Ok((parse(file, &text)?, text))
}

/// As [`read`]. Without a file, the default value and an empty text.
pub fn read_given<T: DeserializeOwned + Default>(
    file: Option<&Path>,
) -> Result<(T, String), String> {
    file.map_or_else(|| Ok((T::default(), String::new())), read)
}

/// The value of a TOML text. `file` is its name in errors.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, String> {
    toml_file::parse(file, text, Ok)
}

/// As [`parse`], with a check of the value. All fields that the check refuses are in the error too.
pub fn parse_checked<T: DeserializeOwned, U>(
    file: &Path,
    text: &str,
    check: impl FnOnce(T) -> Result<U, Vec<Refused>>,
) -> Result<U, String> {
    toml_file::parse(file, text, check)
}

/// Sets the field if a value is given.
pub fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

/// One line for a value at a place in a TOML text. The field is the key on that line.
pub fn explain(file: &Path, text: &str, span: Range<usize>, message: &str) -> String {
    let number = line_of(text, span.start);
    let file = file.display();
    let key = text.lines().nth(number - 1).and_then(|line| line.split_once('='));
    escaped(&match key.map(|(key, _)| key.trim()) {
        Some(key) if !key.is_empty() && !message.contains(&format!("`{key}`")) => {
            format!("{file}:{number}: {key}: {message}")
        }
        _ => format!("{file}:{number}: {message}"),
    })
}

/// One line for a value that is valid TOML but not valid for its field. The line number is that of
/// the field, or of the table around it, if the file has them.
pub fn explain_field(file: &Path, text: &str, field: &str, why: &str) -> String {
    let file = file.display();
    escaped(&match place(text, field) {
        Some(at) => format!("{file}:{}: {field}: {why}", line_of(text, at)),
        None => format!("{file}: {field}: {why}"),
    })
}

/// As [`explain_field`]. Without a file, the line has only the field and the reason.
pub fn explain_given(file: Option<&Path>, text: &str, field: &str, why: &str) -> String {
    match file {
        Some(file) => explain_field(file, text, field, why),
        None => escaped(&format!("{field}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_file_line_and_field() {
        let text = "model = \"m\"\nspeedup = \"fast\"\n";
        let line = explain(Path::new("w.toml"), text, 22..28, "a text, expected a number");
        assert_eq!(line, "w.toml:2: speedup: a text, expected a number");
    }

    #[test]
    fn a_bad_value_is_found_by_its_name() {
        let text = "[profile]\nblock_size = 16\n[profile.step]\nbase_ns = -1.0\n";
        let line = explain_field(Path::new("w.toml"), text, "profile.step.base_ns", "-1, no");
        assert_eq!(line, "w.toml:4: profile.step.base_ns: -1, no");
        let line = explain_field(Path::new("w.toml"), text, "speedup", "0, no");
        assert_eq!(line, "w.toml: speedup: 0, no");
    }
}
