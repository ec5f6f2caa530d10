//! What fuzz targets call. Each function reads its input as the program does and returns what the program
//! would print of an error, without the word `error` before it.

use crate::args::ReadingArgs;
use crate::cli::{Cli, in_one_line};
use crate::setup::{Setup, Source};
use crate::traces::{Files, Holds};
use anyhow::Result;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::path::Path;
use warmpath_core::workload::trace::{Content, Format};

/// The most prompt tokens of a trace whose blocks are looked at too.
const FEW_TOKENS: u64 = 1 << 20;

/// Reads a trace file, and if it is small says what it holds. Returns how many requests it has.
pub fn trace(path: &Path, format: Option<Format>, may_be_cut: bool) -> Result<usize, String> {
    let reading = ReadingArgs { format, ..ReadingArgs::default() };
    let files = Files::read(&[path.to_owned()], &reading, may_be_cut)?;
    let prompts: Vec<_> = match &files.recording.content {
        Content::Requests(requests) => requests.iter().map(|r| &r.prompt).collect(),
        Content::Sessions(sessions) => {
            sessions.iter().flat_map(|session| &session.requests).map(|r| &r.prompt).collect()
        }
    };
    let tokens = prompts.into_iter().flatten().map(|text| u64::from(text.tokens())).sum::<u64>();
    if tokens <= FEW_TOKENS {
        let holds = Holds::of(&files, None, &[]);
        assert_eq!(holds.requests, files.recording.requests(), "requests that are played");
        holds.remarks();
    }
    Ok(files.recording.requests())
}

/// Reads a workload file and the files that it names.
pub fn workload(path: &Path) -> Result<(), String> {
    let name = path.to_str().expect("a path in UTF-8");
    Source::workload(name, Path::new("")).map(drop).map_err(|error| error.to_string())
}

/// Reads a scenario file, and everything that it names.
pub fn scenario(path: &Path) -> Result<(), String> {
    command_line(["loadgen".into(), "sim".into(), "--scenario".into(), path.into()])
}

/// Parses a command line, and for `sim` and `compare` resolves what would be played. A command line that
/// asks for help has no error.
pub fn command_line(args: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let cli = match Cli::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Ok(()),
                _ => Err(in_one_line(&error.to_string())),
            };
        }
    };
    match cli.setup() {
        Some(setup) => setup.map(|setup: Setup| drop(setup.title())).map_err(|e| e.to_string()),
        None => Ok(()),
    }
}

/// Every trace format by name, with two lines of it.
pub fn trace_examples() -> Vec<(String, String)> {
    crate::traces::examples().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// The files to start from that `loadgen init` prints, by name.
pub fn files() -> [(&'static str, &'static str); 4] {
    use crate::init::Kind;
    [Kind::Profile, Kind::Workload, Kind::Scenario, Kind::Device]
        .map(|kind| (kind.name(), kind.text()))
}
