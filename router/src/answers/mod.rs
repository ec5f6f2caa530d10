//! Answers of the admin service as sheets, for `router admin` and `loadgen explain`.

mod explanation;
mod workers;

pub use explanation::explanation;
pub use workers::workers;
