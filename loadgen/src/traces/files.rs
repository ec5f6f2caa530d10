//! Trace files as they were read.

use super::lines::Lines;
use crate::args::ReadingArgs;
use std::path::PathBuf;
use warmpath_core::workload::trace::{Format, Recording};

/// Files as they were read.
#[derive(Debug)]
pub struct Files {
    pub format: Format,
    pub recording: Recording,
    /// Files that end in the middle of a line, which was left out.
    pub cut: usize,
}

impl Files {
    /// Reads files as one trace. `may_be_cut`: a last line that was cut off is left out.
    pub fn read(paths: &[PathBuf], args: &ReadingArgs, may_be_cut: bool) -> Result<Self, String> {
        let mut lines = Lines::open(paths, args.format, may_be_cut)?;
        let format = lines.format();
        let reading = args.reading();
        format.check(&reading)?;
        let recording = format.read_as(lines.by_ref(), &reading);
        if let Some(failure) = lines.failure {
            return Err(failure);
        }
        let recording = recording.map_err(|error| lines.told(&error))?;
        Ok(Self { format, recording, cut: lines.cut })
    }
}
