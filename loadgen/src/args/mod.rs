//! Flags that several commands share.

mod prices;
mod question;
mod trace;
pub mod values;
mod what;

pub use prices::Prices;
pub use question::Question;
pub use trace::{ReadingArgs, TraceArgs};
pub use what::What;
