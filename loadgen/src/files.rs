//! Reading and writing files. An error is one line with the file, the line and what was expected.

use anyhow::Context;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tonic::codegen::http::Uri;
use warmpath_launch::terminal::escaped;
use warmpath_launch::toml_file::Refused;
use warmpath_launch::{bounded, settings};

/// Input that cannot be used. The program ends with status 2. It is one line, except of a TOML file:
/// then each line is one thing that is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// The message is one line, whatever the values in it.
pub fn bad(message: impl Into<String>) -> anyhow::Error {
    BadInput(escaped(&message.into())).into()
}

/// The errors of a file, a line each.
pub fn bad_lines(message: impl AsRef<str>) -> anyhow::Error {
    let mut lines: Vec<String> = Vec::new();
    for line in message.as_ref().lines().map(escaped) {
        // A file that is named twice has its errors once.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    BadInput(lines.join("\n")).into()
}

/// The values of several results, or all their errors, each in its lines.
pub fn all_of<A, B, C>(
    a: anyhow::Result<A>,
    b: anyhow::Result<B>,
    c: anyhow::Result<C>,
) -> anyhow::Result<(A, B, C)> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => {
            let errors: Vec<String> = [a.err(), b.err(), c.err()]
                .into_iter()
                .flatten()
                .map(|error| error.to_string())
                .collect();
            Err(bad_lines(errors.join("\n")))
        }
    }
}

pub fn read(path: &Path) -> anyhow::Result<String> {
    bounded::text_of(path).map_err(bad)
}

/// Parses a TOML text. `origin` names it in errors.
pub fn parse_toml<T: DeserializeOwned>(origin: &str, text: &str) -> anyhow::Result<T> {
    settings::parse(Path::new(origin), text).map_err(bad_lines)
}

/// As [`parse_toml`], with a check of the value. All that is wrong is in the error.
pub fn parse_checked<T: DeserializeOwned, U>(
    origin: &str,
    text: &str,
    check: impl FnOnce(T) -> Result<U, Vec<Refused>>,
) -> anyhow::Result<U> {
    settings::parse_checked(Path::new(origin), text, check).map_err(bad_lines)
}

/// An error about a value that was parsed and is not allowed.
pub fn bad_field(origin: &str, text: &str, field: &str, why: &str) -> anyhow::Error {
    bad(settings::explain_field(Path::new(origin), text, field, why))
}

/// An error about a value that was parsed and is not allowed, at its place in the text.
pub fn bad_place(origin: &str, text: &str, span: Range<usize>, why: &str) -> anyhow::Error {
    bad(settings::explain(Path::new(origin), text, span, why))
}

/// Checks the address of a router.
pub fn check_target(target: &str) -> anyhow::Result<()> {
    check_url("--target", target)
}

/// Checks the address that a flag has.
pub fn check_url(flag: &str, target: &str) -> anyhow::Result<()> {
    let port = |address: &str| address.rsplit_once(':')?.1.parse::<u16>().ok();
    let address = target.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let is_one = port(address).is_some_and(|port| port > 0) && target.parse::<Uri>().is_ok();
    let why = || bad(format!("{flag}: '{target}', expected http://HOST:PORT"));
    if is_one { Ok(()) } else { Err(why()) }
}

/// A file that appears complete or not at all: the bytes go to a temporary file that is then renamed.
/// If the path exists and is not a regular file (a pipe, a terminal), the bytes go there directly.
#[derive(Debug)]
pub struct PendingFile {
    path: PathBuf,
    partial: Option<PathBuf>,
}

impl PendingFile {
    /// Fails now if the file could not be written later. Leaves nothing behind until then.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        if path == Path::new("-") {
            return Err(bad("-: expected a file's path, such as /dev/stdout"));
        }
        if path.is_dir() {
            return Err(bad(format!("{}: is a folder, expected a file", path.display())));
        }
        if path.exists() && !path.is_file() {
            return Ok(Self { path: path.to_owned(), partial: None });
        }
        let tried = File::create(&partial).and_then(|_| std::fs::remove_file(&partial));
        tried.map_err(|error| bad(format!("{}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), partial: Some(partial) })
    }

    pub fn finish(self, bytes: &[u8]) -> anyhow::Result<()> {
        self.write(|file| file.write_all(bytes))
    }

    /// As [`Self::finish`], for data that is too large to hold in memory.
    pub fn write(
        self,
        write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        self.try_write(write).with_context(|| self.path.display().to_string())
    }

    fn try_write(
        &self,
        write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let file = File::create(self.partial.as_ref().unwrap_or(&self.path))?;
        let mut buffered = BufWriter::new(&file);
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        let Some(partial) = &self.partial else { return Ok(()) };
        file.sync_all()?;
        std::fs::rename(partial, &self.path)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // The temporary file is gone after a finish, and absent if nothing was written.
        let _ = self.partial.as_ref().map(std::fs::remove_file);
    }
}
