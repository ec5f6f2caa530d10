//! The flags for a trace.

use super::values::{parse_count, parse_seconds};
use clap::Args;
use std::num::NonZeroU32;
use std::path::PathBuf;
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::{Format, History, Reading, TimeUnit, parse_size};

/// A trace to play instead of a workload. The other flags need `--trace`.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceArgs {
    /// Trace to play instead of a workload; several files are one trace, merged by time. JSONL, JSON or
    /// CSV, plain or gzipped; `loadgen trace formats` lists the formats
    // clap would require a field that is no option. The flags below require it.
    #[arg(id = "trace", long = "trace", value_name = "FILE", required = false, num_args = 1..)]
    #[arg(conflicts_with = "workload")]
    pub files: Vec<PathBuf>,
    // clap sees no optional group in a struct that flattens another, so these stand here too.
    /// Format of the trace; `loadgen trace formats` lists them [default: detected from the file]
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub format: Option<Format>,
    /// Tokens that each of the trace's ids stands for, 1 to 65536 [default: found from ids and lengths]
    #[arg(long, value_name = "N", requires = "trace", value_parser = parse_size)]
    pub trace_block_size: Option<u32>,
    /// Unit of the trace's timestamps: s, ms, us or ns [default: ms]
    #[arg(long, value_name = "UNIT", requires = "trace")]
    pub trace_time_unit: Option<TimeUnit>,
    /// What the rows of a session carry: whole prompts (whole), what is new (new), or what is new, with
    /// the answers put between (new+answers) [default: found from the ids]
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub trace_rows: Option<History>,
    /// Arrival times of the trace's requests: recorded, or poisson, constant or gamma:CV with the
    /// recorded mean gap; CV is 0.01 to 10 [default: recorded]
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub arrivals: Option<TraceArrivals>,
    /// Number of recorded sessions that run at the same time, in a closed loop [default: sessions
    /// start at their recorded times; 64 if the trace has none]
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU32>, requires = "trace")]
    pub sessions: Option<NonZeroU32>,
    /// Draws the order in which recorded sessions begin from the seed [default: the recorded order]
    #[arg(long, requires = "trace")]
    pub shuffle: bool,
    /// Longest pause between an answer and the next request of a recorded session, in seconds
    /// [default: 60 in a closed loop, else none]
    #[arg(long, value_name = "SECONDS", requires = "trace", value_parser = parse_seconds)]
    pub think_cap: Option<f64>,
}

/// How trace files are read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ReadingArgs {
    /// Format of the trace; `loadgen trace formats` lists them [default: detected from the file]
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub format: Option<Format>,
    /// Tokens that each of the trace's ids stands for, 1 to 65536 [default: found from ids and lengths]
    #[arg(long, value_name = "N", requires = "trace", value_parser = parse_size)]
    pub trace_block_size: Option<u32>,
    /// Unit of the trace's timestamps: s, ms, us or ns [default: ms]
    #[arg(long, value_name = "UNIT", requires = "trace")]
    pub trace_time_unit: Option<TimeUnit>,
    /// What the rows of a session carry: whole prompts (whole), what is new (new), or what is new, with
    /// the answers put between (new+answers) [default: found from the ids]
    #[arg(long, value_name = "KIND", requires = "trace")]
    pub trace_rows: Option<History>,
}

impl TraceArgs {
    /// How the files are read.
    pub const fn reading(&self) -> ReadingArgs {
        ReadingArgs {
            format: self.format,
            trace_block_size: self.trace_block_size,
            trace_time_unit: self.trace_time_unit,
            trace_rows: self.trace_rows,
        }
    }
}

impl ReadingArgs {
    /// What the flags say of the files.
    pub const fn reading(&self) -> Reading {
        Reading {
            block: self.trace_block_size,
            unit: self.trace_time_unit,
            history: self.trace_rows,
        }
    }
}
