//! TOML files whose errors are all reported at once, each with its line.
//!
//! serde ends at the first error. So a text is read again with what was wrong left out, and with a
//! plausible value ([`anything`]) in place of what is missing, until nothing new is found. The value
//! of a file with errors is used only to check the fields that are good.

mod anything;
mod de;
mod error;
mod place;
mod words;

use crate::terminal::escaped;
use de::{Node, Repairs};
use error::{Error, Kind};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::path::Path;
use toml::de::DeTable;

pub use place::{line_of, place};

/// The most errors that one file is reported with.
const MOST: usize = 64;

/// What is wrong with a file: the byte where it is, and the line to print without the file's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Problem {
    start: usize,
    field: String,
    why: String,
}

/// A field that a check refused, such as `slo.ttft_s`, and why.
pub type Refused = (String, String);

/// The value of a TOML text, if `check` refuses nothing. `file` is the text's name in errors. An error
/// has a line for each thing that is wrong.
pub fn parse<T: DeserializeOwned, U>(
    file: &Path,
    text: &str,
    check: impl FnOnce(T) -> Result<U, Vec<Refused>>,
) -> Result<U, String> {
    let doc = DeTable::parse(text).map_err(|error| {
        let problem = Problem {
            start: error.span().map_or(0, |span| span.start),
            field: String::new(),
            why: error.message().split('\n').map(str::trim).collect::<Vec<_>>().join("; "),
        };
        problem.line(file, text)
    })?;
    let (value, mut problems, repaired) = read::<T>(doc.get_ref(), doc.span());
    let checked = value.map(check);
    let refused = match checked {
        Some(Ok(value)) if problems.is_empty() => return Ok(value),
        Some(Err(refused)) => refused,
        Some(Ok(_)) | None => Vec::new(),
    };
    for (field, why) in refused {
        // A value that was put in place of a bad one is not the user's.
        let made_up = |path: &String| *path == field || field.starts_with(&format!("{path}."));
        if !repaired.iter().any(made_up) {
            problems.push(Problem { start: place(text, &field).unwrap_or(0), field, why });
        }
    }
    problems.sort();
    problems.dedup();
    if doc.get_ref().is_empty() {
        let fields: Vec<&str> = problems.iter().map(|one| one.field.as_str()).collect();
        return Err(format!("{}:1: empty, expected {}", file.display(), fields.join(", ")));
    }
    Err(problems.iter().map(|one| one.line(file, text)).collect::<Vec<_>>().join("\n"))
}

/// The value, what is wrong with it, and the fields whose values are made up.
fn read<T: DeserializeOwned>(
    doc: &DeTable<'_>,
    span: std::ops::Range<usize>,
) -> (Option<T>, Vec<Problem>, BTreeSet<String>) {
    let mut repairs = Repairs::default();
    let mut problems = Vec::new();
    let mut missing = Vec::new();
    let mut slips = BTreeSet::new();
    let mut value = None;
    for _ in 0..MOST {
        let error = match T::deserialize(Node::root(doc, span.clone(), &repairs)) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(error) => error,
        };
        let Error { path, start, kind } = error;
        let goes_on = match kind {
            Kind::Missing => {
                let is_new = !repairs.left_out.contains(&path) && !slips.contains(&path);
                let goes_on = repairs.supply(&path);
                if is_new && goes_on {
                    missing.push((path, start));
                }
                goes_on
            }
            Kind::Unknown { why, near } => {
                // The field that was meant is not missing too.
                let (table, _) = path.rsplit_once('.').unwrap_or(("", &path));
                slips.extend(near.iter().map(|field| de::join(table, field)));
                problems.push(Problem { start, field: path.clone(), why });
                repairs.left_out.insert(path)
            }
            Kind::Other(why) => {
                let goes_on = !path.is_empty() && repairs.left_out.insert(path.clone());
                problems.push(Problem { start, field: path, why });
                goes_on
            }
            // No plausible value is good enough for what is missing.
            Kind::MadeUp => false,
        };
        if !goes_on {
            break;
        }
    }
    for (field, start) in missing {
        let expected = repairs.expected(&field);
        problems.push(Problem { start, field, why: format!("missing, expected {expected}") });
    }
    let repaired = repairs.all();
    (value, problems, repaired)
}

impl Problem {
    fn line(&self, file: &Path, text: &str) -> String {
        let (file, line) = (file.display(), line_of(text, self.start));
        // Keys and values of the file may have line breaks in them.
        escaped(&match self.field.as_str() {
            "" => format!("{file}:{line}: {}", self.why),
            field => format!("{file}:{line}: {field}: {}", self.why),
        })
    }
}

#[cfg(test)]
mod tests;
