//! The files that a command writes.

use super::benchmark::BenchmarkFiles;
use super::screen::Screen;
use crate::files::{PendingFile, bad};
use anyhow::Result;
use std::path::Path;

/// Where the files go.
#[derive(Clone, Copy, Default, Debug)]
pub struct OutputPaths<'a> {
    pub json: Option<&'a Path>,
    pub csv: Option<&'a Path>,
    pub parquet: Option<&'a Path>,
    pub benchmark_report: Option<&'a Path>,
}

impl<'a> OutputPaths<'a> {
    /// Of a command that writes nothing else.
    pub fn of(json: Option<&'a Path>, csv: Option<&'a Path>) -> Self {
        Self { json, csv, ..Self::default() }
    }
}

/// Files that are written at the end. Their paths are checked before the work begins.
#[derive(Debug)]
pub struct OutputFiles {
    pub json: Option<PendingFile>,
    pub csv: Option<PendingFile>,
    pub parquet: Option<PendingFile>,
    pub benchmark_report: Option<BenchmarkFiles>,
}

impl OutputFiles {
    /// `screen` has one more file, which must be none of these.
    pub fn at(paths: OutputPaths<'_>, screen: Screen) -> Result<Self> {
        let OutputPaths { json, csv, parquet, benchmark_report } = paths;
        let all = [
            ("--html", screen.html()),
            ("--json", json),
            ("--csv", csv),
            ("--parquet", parquet),
            ("--benchmark-report", benchmark_report),
        ];
        for (place, (flag, path)) in all.iter().enumerate() {
            let before = &all[..place];
            if let Some(path) = path.filter(|&path| before.iter().any(|two| two.1 == Some(path))) {
                let why = "used by another flag, expected a different file";
                return Err(bad(format!("{flag}: {} is {why}", path.display())));
            }
        }
        Ok(Self {
            json: pending(json)?,
            csv: pending(csv)?,
            parquet: pending(parquet)?,
            benchmark_report: benchmark_report.map(BenchmarkFiles::at).transpose()?,
        })
    }
}

fn pending(path: Option<&Path>) -> Result<Option<PendingFile>> {
    path.map(PendingFile::create).transpose()
}
