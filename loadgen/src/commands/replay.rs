//! `loadgen replay`: repeats the record of a router.

use crate::files::{bad, read};
use crate::report::print;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_core::routing::record::{ReplayError, replay};
use warmpath_launch::terminal;

/// Repeats the inputs in a router's record and checks that every decision is the same
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, with a record of a simulated router:
  loadgen sim --policies warmpath --record records
  loadgen replay records/warmpath.jsonl")]
pub struct Args {
    /// Record that a router wrote with --record (JSONL)
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let name = args.log.display();
    let text = read(&args.log)?;
    match replay(text.lines()) {
        Ok(done) => {
            let (decisions, inputs) = (done.decisions, done.inputs);
            print(&format!(
                "{name}: {decisions} decisions in {inputs} inputs, all the same as recorded\n"
            ))?;
            if !done.complete {
                terminal::say(&format!(
                    "{name}: no end line: the record was cut off, its last inputs are missing"
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ ReplayError::Differs { .. }) => bail!("{name}: {error}"),
        Err(error) => {
            // Each line is a JSON text, so "line 1" would mislead and the column says where.
            let why = error.to_string().replace(" at line 1 column ", " at column ");
            Err(bad(format!("{name}: {why}")))
        }
    }
}
