//! `loadgen completions` and `loadgen man`: the command line, for a shell and for `man`.

use crate::report::print;
use anyhow::{Result, anyhow};
use clap::Command;
use std::path::PathBuf;
use std::process::ExitCode;
use warmpath_launch::manual::{self, Shell};

/// Prints completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  loadgen completions bash > ~/.local/share/bash-completion/completions/loadgen
  loadgen completions zsh > ~/.zfunc/_loadgen
  loadgen completions fish > ~/.config/fish/completions/loadgen.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Prints the manual page, or writes the pages of all commands to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  loadgen man | man -l -
  loadgen man ~/.local/share/man/man1")]
pub struct Man {
    /// Folder for a page of each command [default: the page of loadgen to standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// `program` is the whole command line, as for [`man`].
pub fn completions(args: &Completions, program: Command) -> Result<ExitCode> {
    print(&manual::completions(args.shell, program))?;
    Ok(ExitCode::SUCCESS)
}

pub fn man(args: &Man, program: Command) -> Result<ExitCode> {
    match &args.folder {
        None => print(&manual::page(program))?,
        Some(folder) => {
            let pages = manual::write_pages(program, folder).map_err(|why| anyhow!(why))?;
            print(&format!("{}: {pages} pages\n", folder.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
