//! What every process does before and after it serves: write logs, run with its settings, stop on a
//! signal, exit with a status.

use crate::terminal;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
pub use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The exit status of a process that cannot use its settings, for example because a value is wrong
/// or a port is taken.
pub const UNUSABLE: u8 = 2;

/// Writes logs to standard error, at the level that `RUST_LOG` sets (`info` if it is not set). Call
/// this once.
pub fn log_to_stderr() {
    log_from(LevelFilter::INFO);
}

/// As [`log_to_stderr`], with another level if `RUST_LOG` is not set. `RUST_LOG` is a level, or levels by
/// module: `info,h2=debug`. One that cannot be read counts as not set.
pub fn log_from(level: LevelFilter) {
    let given = std::env::var("RUST_LOG").ok().and_then(|given| given.parse::<Targets>().ok());
    let format = tracing_subscriber::fmt::layer()
        .with_writer(|| OneLine(std::io::stderr(), terminal::has_colours()))
        .with_ansi(terminal::has_colours());
    let filter = given.unwrap_or_else(|| Targets::new().with_default(level));
    tracing_subscriber::registry().with(format).with(filter).init();
}

/// Writes each event as one line: what a client or a worker sent can begin no line of its own, and steer
/// no terminal. With colours (`.1`) escape characters stay; the formatter has none in values.
struct OneLine<W>(W, bool);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(event.len() + 1);
        for letter in body.chars() {
            match letter.is_control() && !(letter == '\x1b' && self.1) {
                true => line.extend(letter.escape_default()),
                false => line.push(letter),
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Prints one line to standard error and returns the status [`UNUSABLE`].
pub fn unusable(line: &str) -> ExitCode {
    terminal::say(line);
    ExitCode::from(UNUSABLE)
}

/// Prints a text to standard output, for a program that then ends. If that fails, the line is on standard
/// error.
pub fn printed(text: &str) -> ExitCode {
    match terminal::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            terminal::say(&line);
            ExitCode::FAILURE
        }
    }
}

/// Serves with the settings. An error in the settings, or from `serve`, is one line; the process
/// then exits with [`UNUSABLE`].
pub async fn run<S, F>(settings: Result<S, String>, serve: impl FnOnce(S) -> F) -> ExitCode
where
    F: Future<Output = Result<ExitCode, String>>,
{
    let served = match settings {
        Ok(settings) => serve(settings).await,
        Err(line) => Err(line),
    };
    served.unwrap_or_else(|line| unusable(&line))
}

/// The exit status of a process that has served. An error is logged.
pub fn ended<E: Display>(served: Result<(), E>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

/// A future that ends with SIGTERM or ctrl-c: the `shutdown` of a server. The signal handlers are
/// installed when this function returns, so call it before you announce that the process is ready.
/// Call it in a tokio runtime.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let handlers = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        // Without a handler, the signal ends the process at once. That is a stop too.
        match handlers {
            [Ok(mut terminated), Ok(mut interrupted)] => tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            },
            [Ok(mut only), Err(_)] | [Err(_), Ok(mut only)] => {
                only.recv().await;
            }
            [Err(_), Err(_)] => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let written = |event: &str, colours| {
            let mut out = OneLine(Vec::new(), colours);
            out.write_all(event.as_bytes()).unwrap();
            String::from_utf8(out.0).unwrap()
        };
        let event = "INFO lost why=a\nERROR forged\r\x1b[2Jb\u{85}é\n";
        assert_eq!(written(event, false), "INFO lost why=a\\nERROR forged\\r\\u{1b}[2Jb\\u{85}é\n");
        assert_eq!(written("\x1b[32mINFO\x1b[0m x\n", true), "\x1b[32mINFO\x1b[0m x\n");
    }
}
