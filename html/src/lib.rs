//! A report as one HTML file.
//!
//! A [`Document`] says first what was asked and answered, then shows plots, then tables, then notes. A
//! [`Plot`] is data: points, bars or cells with axes. [`render`] draws it as SVG and puts a table behind it.
//! The file needs no network and no library. It can be read without its script, which sorts tables and
//! shows values.

#![warn(missing_docs)]

mod behind;
mod document;
mod escape;
mod figure;
mod notes;
mod palette;
mod plot;
mod render;
mod svg;
mod table;

pub use document::{Answer, Document, Fact, Section};
pub use plot::{Axis, Bar, Bars, Chart, Heat, Line, Lines, Mark, Plot, Scale, Segment, Shape};
pub use render::render;
