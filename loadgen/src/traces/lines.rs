//! The lines of one or several files that are one trace, and where an error in them is.

use super::text::{CUT, Text};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use warmpath_core::workload::trace::{Format, TraceError};

/// More blank lines at the start of a file than this, and it has no requests.
const MAX_BLANKS: usize = 1 << 20;

/// The lines of all files, one file after another. A JSON list has one line for each of its objects.
/// What goes wrong ends the lines and stays in `failure`.
pub struct Lines {
    files: VecDeque<PathBuf>,
    /// The format of all files. None until the first line is read.
    format: Option<Format>,
    current: Option<Current>,
    /// The files so far, with the number of lines before each.
    begun: Vec<Begun>,
    lines: usize,
    /// Whether a last line that was cut off is left out, and counted.
    may_be_cut: bool,
    pub cut: usize,
    pub failure: Option<String>,
}

struct Current {
    text: Text,
    /// Blank lines at the start, and the first line after them, read to tell the format.
    blanks: usize,
    first: Option<String>,
    is_list: bool,
}

struct Begun {
    path: PathBuf,
    before: usize,
    is_list: bool,
}

impl Lines {
    /// Opens the first file. `format` is the one that the user names.
    pub fn open(
        files: &[PathBuf],
        format: Option<Format>,
        may_be_cut: bool,
    ) -> Result<Self, String> {
        let mut lines = Self {
            files: files.iter().cloned().collect(),
            format,
            current: None,
            begun: Vec::new(),
            lines: 0,
            may_be_cut,
            cut: 0,
            failure: None,
        };
        lines.next_file()?;
        Ok(lines)
    }

    /// The format of all files.
    pub fn format(&self) -> Format {
        self.format.unwrap_or(Format::Mooncake)
    }

    /// An error with the file and the line in it.
    pub fn told(&self, error: &TraceError) -> String {
        match error.place() {
            Some((line, why)) => self.at(line, &why),
            None => {
                let path = self.begun.first().map(|begun| begun.path.display().to_string());
                format!("{}: {error}", path.unwrap_or_default())
            }
        }
    }

    fn at(&self, line: usize, why: &str) -> String {
        let place = self.begun.partition_point(|begun| begun.before < line).saturating_sub(1);
        let Some(begun) = self.begun.get(place) else { return why.to_owned() };
        let kind = if begun.is_list { "entry" } else { "line" };
        format!("{}: {kind} {}: {why}", begun.path.display(), line - begun.before)
    }

    /// Opens the next file. False: there is none.
    fn next_file(&mut self) -> Result<bool, String> {
        let Some(path) = self.files.pop_front() else { return Ok(false) };
        let in_file = |why: String| format!("{}: {why}", path.display());
        let mut text = Text::open(&path).map_err(in_file)?;
        let is_list = text.is_list().map_err(in_file)?;
        self.begun.push(Begun { path: path.clone(), before: self.lines, is_list });
        self.current = Some(Current { text, blanks: 0, first: None, is_list });
        let mut blanks = 0;
        let first = loop {
            match self.read() {
                Ok(Some(line)) if is_blank(&line) && blanks < MAX_BLANKS => blanks += 1,
                Ok(first) => break first.filter(|first| !is_blank(first)),
                Err(why) => return Err(self.at(self.lines + blanks + 1, &why)),
            }
        };
        let Some(first) = first else {
            return Err(in_file("no requests in it, expected at least one".into()));
        };
        if let Some(why) = Format::refusal(&first) {
            return Err(in_file(why.into()));
        }
        self.check_format(&path, &first)?;
        if let Some(current) = &mut self.current {
            (current.blanks, current.first) = (blanks, Some(first));
        }
        Ok(true)
    }

    fn check_format(&mut self, path: &Path, first: &str) -> Result<(), String> {
        let found = Format::detect(first, extension(path));
        let known = || Format::ALL.map(Format::name).join(", ");
        match (self.format, found) {
            (Some(format), Some(found)) if self.begun.len() > 1 && format != found => Err(format!(
                "{}: a {found} trace, expected {format} as in the files before",
                path.display()
            )),
            (Some(_), _) => Ok(()),
            (None, Some(_)) => {
                self.format = found;
                Ok(())
            }
            (None, None) => Err(self.at(
                self.lines + 1,
                &format!(
                    "not a JSON object of a known format, expected one of: {}; \
                     --format says which",
                    known()
                ),
            )),
        }
    }

    /// The next line of this file.
    fn read(&mut self) -> Result<Option<String>, String> {
        let Some(current) = &mut self.current else { return Ok(None) };
        if current.blanks > 0 {
            current.blanks -= 1;
            return Ok(Some(String::new()));
        }
        if let Some(first) = current.first.take() {
            return Ok(Some(first));
        }
        if current.is_list {
            return current.text.object();
        }
        let Some(line) = current.text.line()? else { return Ok(None) };
        let text = line.text.trim();
        if !line.is_ended && text.starts_with('{') && !text.ends_with('}') {
            return Err(format!("{CUT}, expected a whole JSON object"));
        }
        Ok(Some(line.text))
    }
}

fn is_blank(line: &str) -> bool {
    line.trim_start_matches('\u{feff}').trim().is_empty()
}

/// The extension of a file's name, without `.gz`.
fn extension(path: &Path) -> &str {
    let own = |path: &'_ Path| path.extension().is_some_and(|extension| extension == "gz");
    let plain = if own(path) { Path::new(path.file_stem().unwrap_or_default()) } else { path };
    plain.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while self.failure.is_none() {
            match self.read() {
                Ok(Some(line)) => {
                    self.lines += 1;
                    return Some(line);
                }
                Err(why) if self.may_be_cut && why.contains(CUT) => {
                    self.cut += 1;
                    self.current = None;
                }
                Err(why) => self.failure = Some(self.at(self.lines + 1, &why)),
                Ok(None) => match self.next_file() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(why) => self.failure = Some(why),
                },
            }
        }
        None
    }
}
