//! The files that a command writes.

use crate::files::{PendingFile, bad};
use anyhow::Result;
use std::path::Path;

/// Files that are written at the end. Their paths are checked before the work begins.
#[derive(Debug)]
pub struct OutputFiles {
    pub json: Option<PendingFile>,
    pub csv: Option<PendingFile>,
    pub parquet: Option<PendingFile>,
}

impl OutputFiles {
    pub fn at(json: Option<&Path>, csv: Option<&Path>, parquet: Option<&Path>) -> Result<Self> {
        for (flag, path, before) in
            [("--csv", csv, [json, None]), ("--parquet", parquet, [json, csv])]
        {
            if let Some(path) = path.filter(|&path| before.contains(&Some(path))) {
                let why = "used by another flag, expected a different file";
                return Err(bad(format!("{flag}: {} is {why}", path.display())));
            }
        }
        Ok(Self { json: pending(json)?, csv: pending(csv)?, parquet: pending(parquet)? })
    }
}

fn pending(path: Option<&Path>) -> Result<Option<PendingFile>> {
    path.map(PendingFile::create).transpose()
}
