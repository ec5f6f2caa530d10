//! `loadgen`: compares routing policies on a live fleet and in virtual time. The program is all of it; it is
//! a library only so that fuzz targets reach what reads files and command lines.

mod args;
mod cli;
mod commands;
mod economics;
mod export;
mod fidelity;
mod figures;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod generate;
mod hugging_face;
mod init;
mod measure;
mod play;
mod report;
mod setup;
mod studies;
mod traces;
mod yaml;

use cli::Cli;
use std::process::ExitCode;
use warmpath_launch::process::{self, LevelFilter};
use warmpath_launch::terminal;

/// The program.
pub fn main() -> ExitCode {
    // Logs errors only, unless RUST_LOG asks for more.
    process::log_from(LevelFilter::ERROR);
    match Cli::from_command_line().and_then(|cli| cli.map_or(Ok(ExitCode::SUCCESS), Cli::run)) {
        Ok(code) => code,
        Err(error) => {
            // The errors of a file are a line each. All others are one line.
            let is_bad = error.is::<files::BadInput>();
            let text = format!("{error:#}");
            let text = if is_bad { text } else { text.replace('\n', " ") };
            text.lines().for_each(|line| terminal::say(&format!("error: {line}")));
            if is_bad { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
