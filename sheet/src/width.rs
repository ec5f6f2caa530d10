//! How wide text may be.

use comfy_table::Table;
use unicode_width::UnicodeWidthStr;

/// The width of text that no terminal shows.
pub const DEFAULT: usize = 120;
/// The smallest width that can be asked for.
pub const LEAST: usize = 40;
/// The largest width that can be asked for.
pub const MOST: usize = 10_000;

/// The width that the user asked for; else the terminal's; else [`DEFAULT`].
pub fn chosen(asked: Option<usize>) -> usize {
    // comfy-table asks the terminal behind standard output; it has no width where there is none.
    let terminal = || Table::new().width().map(usize::from).filter(|&width| width > 0);
    asked.or_else(terminal).unwrap_or(DEFAULT).max(LEAST)
}

/// Reads a width from the command line, in columns.
///
/// # Errors
/// What was expected, where `text` is not a whole number or out of range.
pub fn parse(text: &str) -> Result<usize, String> {
    let width = text.parse().ok().filter(|width| (LEAST..=MOST).contains(width));
    width.ok_or_else(|| format!("expected a whole number from {LEAST} to {MOST}"))
}

/// How many columns of a terminal a text takes.
pub fn of(text: &str) -> usize {
    text.width()
}
