//! Settings from TOML files. An error is one line: file, line, field, and what was expected.

use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::Path;

/// Reads a TOML file. Returns its value and its text. An error is one line.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<(T, String), String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
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
    toml::from_str(text).map_err(|error| explain(file, text, error.span(), error.message()))
}

/// Sets the field if a value is given.
pub fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

/// One line for an error in a TOML file. `span` is the byte range of the error, if the parser gives
/// one. The field is the key on that line.
pub fn explain(file: &Path, text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let message = message.split('\n').map(str::trim).collect::<Vec<_>>().join("; ");
    let file = file.display();
    let Some(start) = span.map(|span| span.start.min(text.len())) else {
        return format!("{file}: {message}");
    };
    let before = &text.as_bytes()[..start];
    let number = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let key = text.lines().nth(number - 1).and_then(|line| line.split_once('='));
    match key.map(|(key, _)| key.trim()) {
        Some(key) if !key.is_empty() && !message.contains(&format!("`{key}`")) => {
            format!("{file}:{number}: {key}: {message}")
        }
        _ => format!("{file}:{number}: {message}"),
    }
}

/// One line for a value that is valid TOML but not valid for its field. The line number is that of
/// the last part of `field`, if the file has it.
pub fn explain_field(file: &Path, text: &str, field: &str, why: &str) -> String {
    let name = field.rsplit('.').next().unwrap_or(field);
    let name = name.split('[').next().unwrap_or(name);
    let is_key = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == name);
    let file = file.display();
    match text.lines().position(is_key) {
        Some(at) => format!("{file}:{}: {field}: {why}", at + 1),
        None => format!("{file}: {field}: {why}"),
    }
}

/// As [`explain_field`]. Without a file, the line has only the field and the reason.
pub fn explain_given(file: Option<&Path>, text: &str, field: &str, why: &str) -> String {
    match file {
        Some(file) => explain_field(file, text, field, why),
        None => format!("{field}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_file_line_and_field() {
        let text = "model = \"m\"\nspeedup = \"fast\"\n";
        let line = explain(Path::new("w.toml"), text, Some(22..28), "invalid type, expected f64");
        assert_eq!(line, "w.toml:2: speedup: invalid type, expected f64");
        let line = explain(Path::new("w.toml"), text, None, "missing field `name`");
        assert_eq!(line, "w.toml: missing field `name`");
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
