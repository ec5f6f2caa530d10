//! Traces: how they are read, and how they are played.

use super::Kind;
use crate::args::TraceArgs;
use crate::traces::Files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warmpath_core::sharing::Scopes;
use warmpath_core::time::Duration;
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::{Content, Format, Recording, SessionTrace, Trace};

const DEFAULT_SESSIONS: u32 = 64;
const DEFAULT_THINK_CAP_S: f64 = 60.0;
/// No recorded pause is longer.
const LONGEST_THINK_S: f64 = 1e9;

#[derive(Clone, Debug)]
pub struct TraceSource {
    /// The files, at least one.
    pub paths: Vec<PathBuf>,
    pub format: Format,
    pub recording: Arc<Recording>,
    pub play: Play,
    /// Number of tenants. Sessions are assigned at random, since a trace does not name tenants.
    pub tenants: u32,
}

/// How a trace is played. This follows from its content.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    Open {
        arrivals: TraceArrivals,
    },
    Closed {
        sessions: u32,
        think_cap_s: f64,
        /// Whether the seed draws the order in which they begin.
        shuffle: bool,
    },
    /// Sessions that start at their recorded times.
    Started {
        think_cap_s: Option<f64>,
    },
}

impl TraceSource {
    pub fn read(args: &TraceArgs) -> Result<Self, String> {
        let Files { format, recording, .. } = Files::read(&args.files, &args.reading(), false)?;
        let recording = Arc::new(recording);
        let why =
            |what: &str, flags: &str| Err(format!("{what}, so {flags} not apply ({format} trace)"));
        let has_drawn = args.arrivals.is_some_and(|kind| kind != TraceArrivals::Recorded);
        let play = match recording.content {
            Content::Requests(_)
                if args.sessions.is_some() || args.think_cap.is_some() || args.shuffle =>
            {
                let flags = "--sessions, --shuffle and --think-cap do";
                return why("its requests have times", flags);
            }
            Content::Requests(_) => Play::Open { arrivals: args.arrivals.unwrap_or_default() },
            Content::Sessions(_) if recording.has_starts() && args.sessions.is_none() => {
                if has_drawn {
                    return why("its sessions start at recorded times", "--arrivals does");
                }
                if args.shuffle {
                    return why("its sessions start at recorded times", "--shuffle does");
                }
                Play::Started { think_cap_s: args.think_cap }
            }
            Content::Sessions(_) if args.arrivals.is_some() => {
                return why("its sessions run in a closed loop", "--arrivals does");
            }
            Content::Sessions(_) => Play::Closed {
                sessions: args.sessions.map_or(DEFAULT_SESSIONS, u32::from),
                think_cap_s: args.think_cap.unwrap_or(DEFAULT_THINK_CAP_S),
                shuffle: args.shuffle,
            },
        };
        Ok(Self { paths: args.files.clone(), format, recording, play, tenants: 1 })
    }

    /// The first file's name without its extensions, and how many more there are.
    pub fn name(&self) -> String {
        let first =
            Path::new(self.paths.first().and_then(|path| path.file_name()).unwrap_or_default());
        let plain = match first.extension() {
            Some(extension) if extension == "gz" => first.with_extension(""),
            _ => first.to_owned(),
        };
        let name = plain.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match self.paths.len() {
            0 | 1 => name,
            files => format!("{name}+{}", files - 1),
        }
    }

    pub(super) fn prepare(&self, scopes: &Scopes) -> Kind {
        match (&self.recording.content, self.play) {
            (Content::Requests(recorded), Play::Open { arrivals }) => {
                let trace = Trace::new(recorded.clone(), scopes).with_arrivals(arrivals);
                Kind::Open(Arc::new(match self.recording.own_block_size {
                    Some(block) => trace.with_inferred_sessions(block),
                    None => trace,
                }))
            }
            (Content::Sessions(recorded), Play::Closed { sessions, think_cap_s, shuffle }) => {
                let think_cap = Duration::from_secs_f64(think_cap_s);
                let trace = SessionTrace::new(recorded, scopes, sessions, think_cap);
                Kind::Closed(Arc::new(trace), shuffle)
            }
            (Content::Sessions(recorded), Play::Started { think_cap_s }) => {
                let longest = Duration::from_secs_f64(think_cap_s.unwrap_or(LONGEST_THINK_S));
                let trace = SessionTrace::at_recorded_starts(recorded, scopes, longest);
                Kind::Closed(Arc::new(trace), false)
            }
            _ => unreachable!("how a trace is played follows from what it holds"),
        }
    }
}
