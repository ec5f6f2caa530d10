//! What serving costs, in energy and in money.

mod figures;
mod sheet;

pub use figures::{Economics, Part, Served, Side};
pub use sheet::{Api, Sheet, check_devices, parse_price};
