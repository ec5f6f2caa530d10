//! Where text is drawn.

use anyhow::{Result, anyhow};
use warmpath_launch::terminal;
use warmpath_sheet::{Page, Width, render};

/// Standard output, and how wide its text may be.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    width: Width,
}

impl Screen {
    /// `asked`: the width that the user asked for.
    pub fn new(asked: Option<usize>) -> Self {
        Self { width: Width::chosen(asked) }
    }

    /// Prints a page.
    pub fn show(&self, page: &Page) -> Result<()> {
        print(&render::page(page, self.width))
    }
}

/// Prints to standard output. An error is one line, and the program ends with status 1.
pub fn print(text: &str) -> Result<()> {
    terminal::print(text).map_err(|error| anyhow!(error))
}
