//! How wide text may be.

use console::Term;
use unicode_width::UnicodeWidthStr;

/// The width of tables that no terminal shows.
pub const DEFAULT: usize = 120;
/// The smallest width that can be asked for.
pub const LEAST: usize = 40;
/// The largest width that can be asked for.
pub const MOST: usize = 10_000;

/// The room for text, in columns of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Width {
    /// Tables are at most this wide.
    pub table: usize,
    /// Paragraphs and notes are broken at this width.
    pub prose: usize,
}

impl Width {
    /// For text that a program may read: tables of the default width, each paragraph in one line.
    pub const FILE: Self = Self { table: DEFAULT, prose: usize::MAX };

    /// The width that the user asked for; else the terminal's; else [`Width::FILE`].
    pub fn chosen(asked: Option<usize>) -> Self {
        // There is no width where standard output is no terminal.
        let terminal = || Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        let terminal = || terminal().filter(|&width| width > 0);
        asked.or_else(terminal).map_or(Self::FILE, |width| width.max(LEAST).into())
    }
}

/// The same width for tables and prose.
impl From<usize> for Width {
    fn from(width: usize) -> Self {
        Self { table: width, prose: width }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_that_is_asked_for_holds_for_all_text() {
        assert_eq!(Width::chosen(Some(80)), Width { table: 80, prose: 80 });
        assert_eq!(Width::chosen(Some(1)), Width { table: LEAST, prose: LEAST });
    }

    #[test]
    fn a_width_is_a_whole_number_in_range() {
        assert_eq!(parse("200"), Ok(200));
        for wrong in ["", "wide", "-80", "39", "10001"] {
            assert_eq!(parse(wrong), Err("expected a whole number from 40 to 10000".to_owned()));
        }
    }
}
