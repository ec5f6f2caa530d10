//! Reports as data.
//!
//! A [`Sheet`] has a title, columns, rows and notes. A [`Page`] is a sequence of sheets and
//! paragraphs. [`render`] writes them as text, CSV or JSON; each output has its own file.
//! [`legend`] says what each column means.
//!
//! A cell holds a number in the unit of its column, such as seconds. The column's [`Format`] says
//! how a text table shows it, such as milliseconds with one digit. CSV and JSON have the number in
//! the column's unit.

#![warn(missing_docs)]

mod column;
mod form;
mod format;
mod legend;
mod page;
pub mod render;
mod sheet;
mod value;
pub mod width;

pub use column::{Align, Column, Shape};
pub use form::{Field, Form};
pub use format::{Format, Style, amount};
pub use legend::legend;
pub use page::{Page, Part};
pub use sheet::{Narrow, Row, Sheet};
pub use value::Value;
pub use width::Width;

#[cfg(test)]
mod tests;
