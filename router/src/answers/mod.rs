//! Answers of the admin service as sheets, for `router admin` and `loadgen explain`.

mod events;
mod explanation;
mod shadows;
mod siblings;
mod workers;

pub use events::events;
pub use explanation::{candidates_blank, explanation};
pub use shadows::shadows;
pub use siblings::siblings;
pub use workers::workers;
