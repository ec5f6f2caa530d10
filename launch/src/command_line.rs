//! Reading a command line.

use crate::terminal;
use clap::Parser;
use clap::error::{Error, ErrorKind};
use std::io::IsTerminal;
use std::process::ExitCode;

/// The command line. An exit status if the program ends here: it printed its help or its version, or
/// the command line cannot be used.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| match help(&error) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(line)) => {
            terminal::say(&line);
            ExitCode::FAILURE
        }
        None => {
            // There is nowhere to say that standard error cannot be written.
            let _ = error.print();
            ExitCode::from(crate::process::UNUSABLE)
        }
    })
}

/// Prints the help or the version, if the command line asks for it. `None`: it does not.
pub fn help(error: &Error) -> Option<Result<(), String>> {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion).then(|| {
        let (text, is_terminal) = (error.render(), std::io::stdout().is_terminal());
        let has_colours = is_terminal && terminal::may_have_colours();
        terminal::print(&if has_colours { text.ansi().to_string() } else { text.to_string() })
    })
}
