//! Standard output and standard error of a program: what is printed, and in which colours.
//!
//! `println!` panics where standard output cannot be written. These functions return an error, so that a
//! full disk is one line and an exit status.

use std::io::{self, ErrorKind, IsTerminal, Write};

/// Prints to standard output. A reader that has gone away, such as `head`, is no error: it has what it
/// wanted. Every other failure is an error with one line.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    finished(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// As [`print`], with a line feed.
pub fn print_line(line: &str) -> Result<(), String> {
    print(&format!("{line}\n"))
}

/// The result of writing to standard output, as [`print`] has it.
pub fn finished(written: io::Result<()>) -> Result<(), String> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a line, or several, to standard error. If that fails, there is nowhere to say so. What a file or
/// a client gave steers no terminal.
pub fn say(lines: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped_but(lines, |letter| letter == '\n'));
}

/// The text on one line: control characters as they are written in a string. A value that came from a file
/// or a flag can begin no line of an error.
pub fn escaped(text: &str) -> String {
    escaped_but(text, |_| false)
}

fn escaped_but(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() && !kept(letter) {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

/// Whether standard error shows colours: it is a terminal, and `NO_COLOR` is not set.
pub fn has_colours() -> bool {
    io::stderr().is_terminal() && may_have_colours()
}

/// Whether `NO_COLOR` is not set (no-color.org).
pub fn may_have_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}
