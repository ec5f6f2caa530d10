//! What serving costs, in energy and in money.

mod figures;
mod sheet;
mod table;

pub use figures::{Economics, Side};
pub use sheet::{Sheet, check_devices, parse_price};
pub use table::render;
