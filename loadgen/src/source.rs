//! Where requests come from: a trace, or a named workload.

use crate::config::{looks_like_a_file, unknown};
use crate::files::{bad, parse_toml, read};
use anyhow::Result;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::workload::Workload;
use warmpath_core::workload::sessions::{Sessions, SessionsSpec};
use warmpath_core::workload::trace::{Pace, Recorded, Replay, Trace, mooncake};

const WORKLOADS: &[(&str, &str)] =
    &[("assistant", include_str!("../../deploy/workloads/assistant.toml"))];

#[derive(Debug)]
pub enum Source {
    Trace { path: PathBuf, recorded: Vec<Recorded> },
    Sessions(SessionsSpec),
}

impl Source {
    pub fn trace(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let recorded = mooncake::read(text.lines())
            .map_err(|error| bad(format!("{}: {error}", path.display())))?;
        Ok(Self::Trace { path: path.to_owned(), recorded })
    }

    /// A workload by name, or a file in `folder`.
    pub fn workload(name: &str, folder: &Path) -> Result<Self> {
        let (origin, text) = match WORKLOADS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (format!("workload {name}"), (*text).to_owned()),
            None if looks_like_a_file(name) => {
                let path = folder.join(name);
                (path.display().to_string(), read(&path)?)
            }
            None => {
                return Err(unknown("workload", name, WORKLOADS.iter().map(|(known, _)| *known)));
            }
        };
        let spec: SessionsSpec = parse_toml(&origin, &text)?;
        spec.check().map_err(|error| bad(format!("{origin}: {error}")))?;
        Ok(Self::Sessions(spec))
    }

    pub fn name(&self) -> String {
        match self {
            Self::Trace { path, .. } => {
                let name = path.file_stem().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            Self::Sessions(spec) => spec.name.clone(),
        }
    }

    /// The block size a trace was recorded in.
    pub const fn own_block_size(&self) -> Option<u32> {
        match self {
            Self::Trace { .. } => Some(mooncake::TRACE_BLOCK),
            Self::Sessions(_) => None,
        }
    }

    pub fn check_block_size(&self, block_size: u32) -> Result<()> {
        match self {
            Self::Trace { path, .. } => mooncake::check_block_size(block_size)
                .map_err(|error| bad(format!("{}: {error}", path.display()))),
            Self::Sessions(_) => Ok(()),
        }
    }

    /// Names the blocks once, for any number of runs.
    pub fn prepare(&self, scope: &ScopePlan) -> Prepared<'_> {
        let trace = match self {
            Self::Trace { recorded, .. } => Some(Arc::new(Trace::new(recorded.clone(), scope))),
            Self::Sessions(_) => None,
        };
        Prepared { source: self, scope: scope.clone(), trace }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Shown<'a> {
            Trace { path: &'a Path, requests: usize },
            Sessions(&'a SessionsSpec),
        }
        let shown = match self {
            Self::Trace { path, recorded } => Shown::Trace { path, requests: recorded.len() },
            Self::Sessions(spec) => Shown::Sessions(spec),
        };
        shown.serialize(serializer)
    }
}

#[derive(Debug)]
pub struct Prepared<'a> {
    source: &'a Source,
    scope: ScopePlan,
    trace: Option<Arc<Trace>>,
}

impl Prepared<'_> {
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// A fresh workload, from the start.
    pub fn workload(&self, pace: Pace) -> Workload {
        match (&self.trace, self.source) {
            (Some(trace), _) => Workload::Trace(Replay::new(Arc::clone(trace), pace)),
            (None, Source::Sessions(spec)) => {
                let scope = &self.scope;
                Workload::Sessions(Sessions::new(
                    spec,
                    scope,
                    pace.seed,
                    pace.rate_scale,
                    pace.limit,
                ))
            }
            (None, Source::Trace { .. }) => unreachable!("a trace is prepared with its source"),
        }
    }

    /// How many requests a trace brings in the first `seconds` of model time.
    pub fn arrivals_within(&self, seconds: f64, pace: Pace) -> Option<u64> {
        let Workload::Trace(mut replay) = self.workload(Pace { limit: None, ..pace }) else {
            return None;
        };
        let mut count = 0;
        while replay.next_send().is_some_and(|at| at.as_secs_f64() <= seconds) {
            replay.send();
            count += 1;
        }
        Some(count)
    }
}
