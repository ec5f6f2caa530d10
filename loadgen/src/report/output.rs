//! The files that a command writes.

use super::screen::Screen;
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
    /// `screen` has one more file, which must be none of these.
    pub fn at(
        json: Option<&Path>,
        csv: Option<&Path>,
        parquet: Option<&Path>,
        screen: Screen,
    ) -> Result<Self> {
        let html = screen.html();
        let all = [("--html", html), ("--json", json), ("--csv", csv), ("--parquet", parquet)];
        for (place, (flag, path)) in all.iter().enumerate() {
            let before = &all[..place];
            if let Some(path) = path.filter(|&path| before.iter().any(|two| two.1 == Some(path))) {
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
