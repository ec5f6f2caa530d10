//! One ranking over many reports: how far each policy is from the best in every cell, and where a
//! chosen policy is behind.
//!
//! A cell is one report, variant and rate. Policies are compared in a cell by their means over the
//! seeds, and over the cells by the geometric mean of the ratios, so that no cell counts more than
//! another because its times are longer.

mod cells;
mod plots;
mod sheets;

pub use cells::{Cell, read};
pub use plots::add;
pub use sheets::{behind, blanks, standing};
