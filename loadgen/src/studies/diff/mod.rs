//! `loadgen diff`: two reports side by side.

mod plots;
mod read;
mod rows;
mod sheets;
mod study;
mod study_rows;

pub use plots::add;
pub use read::{Read, StudySide, read};
pub use rows::pairs;
pub use sheets::page;
pub use study_rows::{add_study, study_page, twins};
use warmpath_sheet::Sheet;

/// The sheets without rows.
pub fn blanks() -> Vec<Sheet> {
    [sheets::blanks(), study_rows::blanks()].concat()
}
