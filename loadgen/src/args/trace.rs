//! The flags for a trace.

use super::values::{parse_count, parse_seconds};
use clap::Args;
use std::num::NonZeroU32;
use std::path::PathBuf;
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::Format;

/// A trace to play instead of a workload. The other flags need `--trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// Trace to play instead of a workload: Mooncake's JSONL, coding-agent sessions (JSONL), Azure's
    /// CSV, or Dynamo's request traces (JSONL), plain or gzipped
    // clap would require a field that is no option. The flags below require it.
    #[arg(id = "trace", long = "trace", value_name = "FILE", required = false)]
    #[arg(conflicts_with = "workload")]
    pub file: PathBuf,
    /// Format of the trace: mooncake, coding-agents, azure or dynamo [default: detected from the file]
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub format: Option<Format>,
    /// Arrival times of the trace's requests: recorded, or poisson, constant or gamma:CV with the
    /// recorded mean gap; CV is 0.01 to 10 [default: recorded]
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub arrivals: Option<TraceArrivals>,
    /// Number of recorded sessions that run at the same time, in a closed loop [default: 64]
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU32>, requires = "trace")]
    pub sessions: Option<NonZeroU32>,
    /// Draws the order in which recorded sessions begin from the seed [default: the recorded order]
    #[arg(long, requires = "trace")]
    pub shuffle: bool,
    /// Longest pause between an answer and the next request of a recorded session, in seconds
    /// [default: 60]
    #[arg(long, value_name = "SECONDS", requires = "trace", value_parser = parse_seconds)]
    pub think_cap: Option<f64>,
}
