//! Energy and cost of serving.

mod figures;
mod sheet;

pub use figures::{Economics, Part, Served, Side};
pub use sheet::{Api, Sheet, check_devices, parse_price};
