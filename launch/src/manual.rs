//! Completions for shells, and manual pages, from a program's command line.

use crate::process::printed;
use clap::{Command, CommandFactory, Subcommand, ValueEnum};
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The commands of a process that print about its command line. A process flattens them into its own.
#[derive(Subcommand, Debug)]
pub enum Manual {
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page
    Man,
}

impl Manual {
    /// Prints what was asked for about the command line `C`.
    pub fn print<C: CommandFactory>(self) -> ExitCode {
        printed(&match self {
            Self::Completions { shell } => completions(shell, C::command()),
            Self::Man => page(C::command()),
        })
    }
}

/// A shell that completions can be written for.
#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// The completions of a program for a shell.
pub fn completions(shell: Shell, mut command: Command) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The manual page of a program, without its commands' pages.
pub fn page(command: Command) -> String {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).expect("memory takes all");
    String::from_utf8_lossy(&page).into_owned()
}

/// Writes the manual pages of a program and of its commands to a folder. Returns how many there are.
pub fn write_pages(command: Command, folder: &Path) -> Result<usize, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    let pages = std::fs::read_dir(folder).map_err(failed)?;
    Ok(pages
        .filter_map(Result::ok)
        .filter(|page| page.path().extension().is_some_and(|e| e == "1"))
        .count())
}
