//! The figures that runs report: data, and what is computed from the statistics of a run. Nothing in
//! this folder plays or renders.

mod bounds;
mod capacity;
mod classes;
mod comparison;
mod course;
mod devices;
mod engine;
pub mod goal;
mod groups;
mod measured;
mod names;
mod occupancy;
mod parts;
mod policy;
mod results;
mod room;
mod run;
mod sample;
mod sign;
mod sketch;
mod stages;
mod standing;
mod stats;
mod target;
mod tuning;

pub use bounds::Bounds;
pub use capacity::{Capacity, ENOUGH, Found};
pub use classes::{ClassFigures, class_figures};
pub use comparison::{Comparison, compare_to};
pub use course::{CourseFigures, Mark, SpanFigures};
pub use devices::DeviceReport;
pub use engine::{
    EngineFigures, KvTransferFigures, LiveKvTransfer, PeerFigures, PoolFigures, TierFigures,
};
pub use groups::{GroupFigures, GroupWork, Work};
pub use measured::Measured;
pub use names::{label, record_name, wire_name};
pub use occupancy::{Occupancy, Places, Sampler};
pub use parts::Part;
pub use results::Results;
pub use room::AtRoom;
pub use run::{AgainstSim, LiveFigures, Mode, Profiles, RunId, RunReport, Slowest};
pub use sample::covers;
pub use sign::{Sign, signs};
pub use sketch::{Moment, Sketch, Slow};
pub use stages::{StageFigures, StageMeans, Stages};
pub use standing::{SMALLEST_PERCENT, Standing};
pub use stats::Estimate;
pub use target::TargetFigures;
pub use tuning::{Tried, Tuning};
