//! Flags that several commands share.

mod prices;
mod question;
mod stages;
mod targets;
mod trace;
pub mod values;
mod what;

pub use prices::Prices;
pub use question::Question;
#[cfg(test)]
pub use stages::StageArg;
pub use stages::{CourseArgs, Rate, parse_time};
pub use targets::{Router, Speaks, TargetArgs};
pub use trace::{ReadingArgs, TraceArgs};
pub use what::What;
