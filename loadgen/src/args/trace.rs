//! Which trace to play, and how.

use super::values::{parse_count, parse_seconds};
use clap::Args;
use std::num::NonZeroU32;
use std::path::PathBuf;
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::Format;

/// A trace to play instead of a workload. All of them are absent unless the file is named.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// A trace to play instead of a workload: Mooncake's JSONL, coding-agent sessions (JSONL), Azure's
    /// CSV, or Dynamo's request traces (JSONL), gzipped or not
    // Not required by itself; the flags below require it.
    #[arg(id = "trace", long = "trace", value_name = "FILE", required = false)]
    #[arg(conflicts_with = "workload")]
    pub file: PathBuf,
    /// The trace's format: mooncake, coding-agents, azure or dynamo; told from the file unless given
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub format: Option<Format>,
    /// When a trace's requests come: recorded (the default), or with drawn gaps of the same mean:
    /// poisson, constant or gamma:CV
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub arrivals: Option<TraceArrivals>,
    /// Recorded sessions under way at once, in a closed loop; 64 unless given
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU32>, requires = "trace")]
    pub sessions: Option<NonZeroU32>,
    /// The longest that a recorded session thinks between answer and next request; 60 unless given
    #[arg(long, value_name = "SECONDS", requires = "trace", value_parser = parse_seconds)]
    pub think_cap: Option<f64>,
}
