//! Where reports are drawn: standard output, and an HTML file.

use super::html;
use crate::files::PendingFile;
use anyhow::{Result, anyhow};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use warmpath_html::{Document, render as render_html};
use warmpath_launch::terminal;
use warmpath_sheet::{Page, Width, render};

/// The file of `--html`. Its path is checked before the work begins.
#[derive(Debug)]
pub struct HtmlFile {
    path: PathBuf,
    file: RefCell<Option<PendingFile>>,
}

impl HtmlFile {
    pub fn at(path: &Path) -> Result<Self> {
        let file = PendingFile::create(path)?;
        Ok(Self { path: path.to_owned(), file: RefCell::new(Some(file)) })
    }

    /// Whether a report has been written to it.
    pub fn is_written(&self) -> bool {
        self.file.borrow().is_none()
    }
}

/// Standard output and how wide its text may be, and the HTML file if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    width: Width,
    /// Whether a report ends with a plot of block characters.
    blocks: bool,
    html: Option<&'a HtmlFile>,
}

impl<'a> Screen<'a> {
    /// `asked`: the width that the user asked for. `quiet`: whether only tables are printed.
    pub fn new(asked: Option<usize>, quiet: bool, html: Option<&'a HtmlFile>) -> Self {
        let blocks = !quiet && std::io::stdout().is_terminal();
        Self { width: Width::chosen(asked), blocks, html }
    }

    /// There is nothing to report yet, so the HTML file is left as it is.
    pub fn leave_html(&self) {
        if let Some(html) = self.html {
            html.file.borrow_mut().take();
        }
    }

    /// Prints a page, and writes it to the HTML file.
    pub fn show(&self, page: &Page) -> Result<()> {
        self.show_with(page, |_| ())
    }

    /// The same; the HTML file has what `add` adds to the page: an answer in words, and plots.
    pub fn show_with(&self, page: &Page, add: impl FnOnce(&mut Document)) -> Result<()> {
        print(&render::page(page, self.width))?;
        self.write(page, add)
    }

    /// Writes the HTML file alone.
    pub fn write(&self, page: &Page, add: impl FnOnce(&mut Document)) -> Result<()> {
        let Some(file) = self.html.and_then(|html| html.file.take()) else { return Ok(()) };
        let mut document = html::of_page(page);
        add(&mut document);
        document.made.extend(html::made());
        file.finish(render_html(&document).as_bytes())
    }

    /// Whether plots are drawn anywhere, so that runs must keep what they show.
    pub const fn draws(&self) -> bool {
        self.blocks || self.html.is_some()
    }

    /// The width of a plot of block characters. None: there is none.
    pub fn blocks(&self) -> Option<usize> {
        self.blocks.then_some(self.width.table)
    }

    /// The path of the HTML file.
    pub fn html(&self) -> Option<&'a Path> {
        self.html.map(|html| html.path.as_path())
    }
}

/// Prints to standard output. An error is one line, and the program ends with status 1.
pub fn print(text: &str) -> Result<()> {
    terminal::print(text).map_err(|error| anyhow!(error))
}
