//! Answers of the admin service as sheets, for `router admin` and `loadgen explain`.

mod explanation;
mod workers;

pub use explanation::{candidates_blank, explanation};
pub use workers::workers;
