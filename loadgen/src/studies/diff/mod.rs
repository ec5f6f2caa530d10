//! `loadgen diff`: two reports side by side.

mod plots;
mod read;
mod rows;
mod sheets;

pub use plots::add;
pub use read::read;
pub use rows::pairs;
pub use sheets::{blanks, page};
