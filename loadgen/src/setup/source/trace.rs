//! Traces: how they are read, and how they are played.

use super::Kind;
use crate::args::TraceArgs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warmpath_core::sharing::Scopes;
use warmpath_core::time::Duration;
use warmpath_core::workload::arrivals::TraceArrivals;
use warmpath_core::workload::trace::{Content, Format, Recording, SessionTrace, Trace};

/// A larger trace would not fit in memory.
const MAX_TRACE_BYTES: u64 = 4 << 30;
const DEFAULT_SESSIONS: u32 = 64;
const DEFAULT_THINK_CAP_S: f64 = 60.0;

#[derive(Clone, Debug)]
pub struct TraceSource {
    pub path: PathBuf,
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
}

impl TraceSource {
    pub fn read(args: &TraceArgs) -> Result<Self, String> {
        let text = read_maybe_gzipped(&args.file)?;
        let format = match args.format {
            Some(format) => format,
            None => detect(&args.file, &text)?,
        };
        let recording = format.read(text.lines()).map_err(|error| error.to_string())?;
        let recording = Arc::new(recording);
        let play = match recording.content {
            Content::Requests(_)
                if args.sessions.is_some() || args.think_cap.is_some() || args.shuffle =>
            {
                return Err(format!(
                    "its requests have times, so --sessions, --shuffle and --think-cap do \
                                    not apply ({format} trace)"
                ));
            }
            Content::Requests(_) => Play::Open { arrivals: args.arrivals.unwrap_or_default() },
            Content::Sessions(_) if args.arrivals.is_some() => {
                return Err(format!(
                    "its sessions run in a closed loop, so --arrivals does not apply \
                                    ({format} trace)"
                ));
            }
            Content::Sessions(_) => Play::Closed {
                sessions: args.sessions.map_or(DEFAULT_SESSIONS, u32::from),
                think_cap_s: args.think_cap.unwrap_or(DEFAULT_THINK_CAP_S),
                shuffle: args.shuffle,
            },
        };
        Ok(Self { path: args.file.clone(), format, recording, play, tenants: 1 })
    }

    /// The file's name without its extensions.
    pub fn name(&self) -> String {
        let plain = if extension(&self.path) == "gz" {
            self.path.with_extension("")
        } else {
            self.path.clone()
        };
        plain.file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
            _ => unreachable!("how a trace is played follows from what it holds"),
        }
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn detect(path: &Path, text: &str) -> Result<Format, String> {
    let plain = if extension(path) == "gz" {
        Path::new(path.file_stem().unwrap_or_default())
    } else {
        path
    };
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err("no requests in it, expected at least one".into());
    }
    Format::detect(text, extension(plain)).ok_or_else(|| {
        let known = Format::ALL.map(Format::name).join(", ");
        format!(
            "line 1: not a JSON object of a known format, expected one of: {known}; --format \
                 says which"
        )
    })
}

/// The text of a file, unpacked if it is gzipped. A damaged archive is rejected.
fn read_maybe_gzipped(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .take(MAX_TRACE_BYTES + 1)
            .read_to_end(&mut plain)
            .map_err(|error| format!("gzip: {error}, expected a whole archive"))?;
        if plain.len() as u64 > MAX_TRACE_BYTES {
            return Err(format!("unpacks to more than {MAX_TRACE_BYTES} bytes"));
        }
        plain
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line}: not UTF-8")
    })
}
