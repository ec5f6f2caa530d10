//! `replay`: repeats a router's log.

use crate::cli;
use crate::files::{bad, read};
use anyhow::{Result, bail};
use warmpath_core::routing::record::{ReplayError, replay};

pub fn run(args: &cli::Replay) -> Result<()> {
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
            Ok(())
        }
        Err(error @ ReplayError::Differs { .. }) => bail!("{name}: {error}"),
        Err(error) => {
            // Each line is JSON of its own, so the column is the place in it.
            let why = error.to_string().replace(" at line 1 column ", " at column ");
            Err(bad(format!("{name}: {why}")))
        }
    }
}
