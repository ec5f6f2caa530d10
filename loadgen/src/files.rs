//! Reading and writing files, with errors of one line that name the file, the line and what was
//! expected.

use anyhow::Context;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tonic::codegen::http::Uri;
use warmpath_proto::settings;

/// Input that can't be used. Ends the program with status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

pub fn bad(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

pub fn read(path: &Path) -> anyhow::Result<String> {
    let read = std::fs::read_to_string(path);
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => bad(format!("{}: not a text in UTF-8", path.display())),
        _ => bad(format!("{}: {error}", path.display())),
    })
}

/// Parses a TOML text that came from `origin`.
pub fn parse_toml<T: DeserializeOwned>(origin: &str, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        bad(settings::explain(Path::new(origin), text, error.span(), error.message()))
    })
}

/// A value that was read well and can't be.
pub fn bad_field(origin: &str, text: &str, field: &str, why: &str) -> anyhow::Error {
    bad(settings::explain_field(Path::new(origin), text, field, why))
}

/// The address of a router that is to be asked or driven.
pub fn check_target(target: &str) -> anyhow::Result<()> {
    let port = |address: &str| address.rsplit_once(':')?.1.parse::<u16>().ok();
    let address = target.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let is_one = port(address).is_some_and(|port| port > 0) && target.parse::<Uri>().is_ok();
    let why = || bad(format!("--target: '{target}', expected http://HOST:PORT"));
    if is_one { Ok(()) } else { Err(why()) }
}

/// A file that appears whole or not at all: it is written beside its place and moved there. What is there
/// and is no file (a pipe, a terminal) is written to.
#[derive(Debug)]
pub struct PendingFile {
    path: PathBuf,
    partial: Option<PathBuf>,
}

impl PendingFile {
    /// Fails at once where nothing could be written later, and leaves nothing there until then.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        if path == Path::new("-") {
            return Err(bad("-: expected a file's path; /dev/stdout is one"));
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

    /// As [`Self::finish`], for what is too large to be held whole.
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
        // Gone already when it was finished, and not there yet when it was not begun.
        let _ = self.partial.as_ref().map(std::fs::remove_file);
    }
}
