//! Where text is drawn.

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
    pub fn show(&self, page: &Page) {
        print!("{}", render::page(page, self.width));
    }
}
