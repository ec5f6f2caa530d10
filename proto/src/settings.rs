//! Configuration errors in one line: file, line, field, and what was expected.

use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::Path;

/// A TOML file's value and text. An error is one line.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<(T, String), String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((parse(file, &text)?, text))
}

/// As [`read`], where there is a file; otherwise nothing is given.
pub fn read_given<T: DeserializeOwned + Default>(
    file: Option<&Path>,
) -> Result<(T, String), String> {
    file.map_or_else(|| Ok((T::default(), String::new())), read)
}

/// A TOML text's value; `file` is what errors call it.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| explain(file, text, error.span(), error.message()))
}

/// What is given takes the place of what was there.
pub fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

/// One line for an error in a TOML file. `span` is the byte range the parser blames, if it blames
/// any; the field is the key on that line.
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

/// One line for a value that was read well and can't be. The line is that of the field's last name,
/// where the file has it.
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

/// As [`explain_field`], where there is a file.
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
