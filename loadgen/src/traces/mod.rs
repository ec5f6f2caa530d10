//! Trace files: which formats are read, what a trace holds, and traces written in another format.

mod convert;
mod files;
mod formats;
mod holds;
mod holds_sheet;
mod lines;
mod played;
mod plots;
mod text;

pub use convert::{Target, write};
pub use files::Files;
pub use formats::{examples, named, page as formats};
pub use holds::Holds;
pub use holds_sheet::page;
pub use plots::add as add_plots;
pub use text::Text;
