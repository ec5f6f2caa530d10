//! The outputs: a file for each. A new output is one more file here.

mod csv;
mod json;
mod text;

pub use csv::csv;
pub use json::{Json, json};
pub use text::{page, text};
