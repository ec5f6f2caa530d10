//! Tables of comma-separated values: a header line with the names of the columns, then a line for each
//! request. A value may be in double quotes and have spaces around it.

use super::error::TraceError;
use super::line::{LENGTH, MAX_TOKENS, numbered, shorten};
use super::recording::Recording;
use super::rows::Row;
use std::collections::BTreeSet;

/// The header line of a table.
#[derive(Debug)]
pub struct Header {
    names: Vec<String>,
}

impl Header {
    /// Reads a header line.
    pub fn of(text: &str) -> Self {
        Self { names: split(text).unwrap_or_default() }
    }

    /// Whether it has all these columns, in any order.
    pub fn has(&self, columns: &[&str]) -> bool {
        columns.iter().all(|column| self.place(column).is_some())
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.names.iter().position(|name| name == column)
    }
}

/// The values of one line.
#[derive(Debug)]
pub struct Cells<'a> {
    pub line: usize,
    header: &'a Header,
    cells: Vec<String>,
}

/// Reads a table that has at least the columns `needed`. `known` are those that `read` looks at. Returns
/// the rows, and the names of the other columns. The header may stand again, where several files are one
/// trace. Other tables are in `others`, for the error.
pub fn read<S: AsRef<str>>(
    lines: impl Iterator<Item = S>,
    needed: &[&str],
    known: &[&str],
    others: &str,
    read: impl Fn(&Cells<'_>) -> Result<Row, TraceError>,
) -> Result<(Vec<Row>, BTreeSet<String>), TraceError> {
    let mut lines = numbered(lines);
    let first = lines.next().ok_or(TraceError::Empty)?;
    let header = Header::of(first.text());
    if !header.has(needed) {
        let found = shorten(first.text());
        let why = format!("{found:?}, expected {}{others}", needed.join(","));
        return Err(err(first.number, "header", why));
    }
    let mut rows = Vec::new();
    for line in lines.filter(|line| line.text() != first.text()) {
        let cells = split(line.text())
            .ok_or_else(|| err(line.number, "columns", "a quote that does not end".into()))?;
        if cells.len() != header.names.len() {
            let (count, expected) = (cells.len(), header.names.len());
            let why = format!("{count}, expected {expected}: {}", header.names.join(","));
            return Err(err(line.number, "columns", why));
        }
        rows.push(read(&Cells { line: line.number, header: &header, cells })?);
    }
    let unused = header.names.iter().filter(|name| !known.contains(&name.as_str()));
    let unused = unused.filter(|name| !name.is_empty()).take(Recording::MOST_IGNORED);
    Ok((rows, unused.cloned().collect()))
}

fn err(line: usize, field: &str, why: String) -> TraceError {
    TraceError::Field { line, field: field.into(), why }
}

/// The values of a line. None: a quote does not end.
fn split(text: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim_end().to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next,
            None => return after.trim().is_empty().then_some(cells),
        }
    }
}

/// The text until the closing quote, and what follows it. Two quotes stand for one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                rest = next;
            }
            None => return Some((cell.trim().to_owned(), rest)),
        }
    }
}

impl Cells<'_> {
    /// The text in a column. Empty: there is no such column.
    pub fn text(&self, column: &str) -> &str {
        self.header.place(column).map_or("", |place| &self.cells[place])
    }

    /// An error about a column. `why` has the value and what was expected.
    pub fn err(&self, column: &str, why: String) -> TraceError {
        err(self.line, column, why)
    }

    /// A number in a range.
    pub fn decimal(&self, column: &str, least: f64, most: f64) -> Result<f64, TraceError> {
        let text = self.text(column);
        let fits = text.parse().ok().filter(|number| (least..=most).contains(number));
        let why = || format!("{:?}, expected a number from {least} to {most}", shorten(text));
        fits.ok_or_else(|| self.err(column, why()))
    }

    /// A length in tokens: a whole number, also as 44.0. A length of 0 is played as 1.
    pub fn length(&self, column: &str) -> Result<u32, TraceError> {
        let text = self.text(column);
        let whole = |number: &f64| {
            libm::floor(*number) == *number && (0.0..=MAX_TOKENS as f64).contains(number)
        };
        // A number such as 1e3 is more likely a mistake than a length.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let fits = text.parse::<f64>().ok().filter(whole).filter(|_| plain);
        let why = || format!("{:?}, {LENGTH}", shorten(text));
        fits.map(|tokens| tokens.max(1.0) as u32).ok_or_else(|| self.err(column, why()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_quotes_and_spaces() {
        let cells = |text: &str| split(text).map(|cells| cells.join("|"));
        assert_eq!(cells("a, b ,,c").as_deref(), Some("a|b||c"));
        assert_eq!(cells(r#" "a, b" , "c ""d""", e"#).as_deref(), Some(r#"a, b|c "d"|e"#));
        assert_eq!(cells("").as_deref(), Some(""));
        assert_eq!([cells(r#""a"#), cells(r#""a"b,c"#)], [None, None]);
    }
}
