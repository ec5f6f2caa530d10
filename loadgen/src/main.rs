//! `loadgen`: compares routing policies on a live fleet and in virtual time.

mod args;
mod cli;
mod commands;
mod economics;
mod fidelity;
mod figures;
mod files;
mod generate;
mod measure;
mod play;
mod report;
mod setup;
mod studies;
mod traces;

use cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Logs errors only, unless RUST_LOG asks for more.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::from_command_line().map_err(files::bad);
    match cli.and_then(|cli| cli.run()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            if error.is::<files::BadInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
