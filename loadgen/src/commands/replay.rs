//! `replay`: repeats a router's log.

use crate::files::{bad, read};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_core::routing::record::{ReplayError, replay};

/// Repeats a router's recorded log and checks that every decision comes out the same
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A log that a router wrote with --record
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let name = args.log.display();
    let text = read(&args.log)?;
    match replay(text.lines()) {
        Ok(done) => {
            println!(
                "{name}: {} decisions in {} inputs, all the same as recorded",
                done.decisions, done.inputs
            );
            if !done.complete {
                eprintln!(
                    "{name}: no end line: the record was cut off, its last inputs are missing"
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ ReplayError::Differs { .. }) => bail!("{name}: {error}"),
        Err(error) => {
            // Each line is JSON of its own, so the column is the place in it.
            let why = error.to_string().replace(" at line 1 column ", " at column ");
            Err(bad(format!("{name}: {why}")))
        }
    }
}
