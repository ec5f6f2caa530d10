//! `loadgen replay`: repeats the record of a router.

use crate::files::bad;
use crate::report::print;
use crate::traces::Text;
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

/// The lines of a record, read one by one. What goes wrong ends them.
struct Lines {
    text: Text,
    failure: Option<String>,
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let line = self.text.line();
        line.map_err(|why| self.failure = Some(why)).ok()?.map(|line| line.text)
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let name = args.log.display();
    let in_file = |why: String| bad(format!("{name}: {why}"));
    let mut lines = Lines { text: Text::open(&args.log).map_err(in_file)?, failure: None };
    let replayed = replay(lines.by_ref());
    if let Some(why) = lines.failure {
        return Err(in_file(why));
    }
    match replayed {
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
