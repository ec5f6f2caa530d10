//! Flags that several commands share.

mod axis;
mod prices;
mod question;
mod stages;
mod targets;
mod trace;
pub mod values;
mod what;

pub use axis::{Axis, AxisArg, PartArg};
pub use prices::Prices;
pub use question::Question;
pub use stages::{CourseArgs, Rate, StageArg, parse_time};
pub use targets::{Router, Speaks, TargetArgs};
pub use trace::{ReadingArgs, TraceArgs};
pub use what::What;
