//! Where requests come from: a trace, or a named workload.

use crate::cli::TraceArgs;
use crate::config::{looks_like_a_file, unknown};
use crate::files::{bad, bad_field, parse_toml, read};
use anyhow::Result;
use serde::{Serialize, Serializer};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warmpath_core::sharing::{Scopes, Tenants};
use warmpath_core::time::Duration;
use warmpath_core::tokens::materialize;
use warmpath_core::workload::Workload;
use warmpath_core::workload::arrivals::{Arrivals, TraceArrivals};
use warmpath_core::workload::sessions::Sessions;
use warmpath_core::workload::spec::WorkloadSpec;
use warmpath_core::workload::trace::{
    Content, Format, Pace, Recording, Replay, SessionReplay, SessionTrace, Trace,
};

const WORKLOADS: &[(&str, &str)] = &[
    ("assistant", include_str!("../../deploy/workloads/assistant.toml")),
    ("chat", include_str!("../../deploy/workloads/chat.toml")),
    ("enterprise-kb", include_str!("../../deploy/workloads/enterprise-kb.toml")),
    ("coding-agents", include_str!("../../deploy/workloads/coding-agents.toml")),
    ("research-agents", include_str!("../../deploy/workloads/research-agents.toml")),
    ("commodity-qa", include_str!("../../deploy/workloads/commodity-qa.toml")),
    ("tree-search", include_str!("../../deploy/workloads/tree-search.toml")),
    ("multi-agent", include_str!("../../deploy/workloads/multi-agent.toml")),
    ("always-on-monitor", include_str!("../../deploy/workloads/always-on-monitor.toml")),
    ("code-completion", include_str!("../../deploy/workloads/code-completion.toml")),
];

/// A trace that unpacks to more is not one that this program can hold.
const MAX_TRACE_BYTES: u64 = 4 << 30;
const DEFAULT_SESSIONS: u32 = 64;
const DEFAULT_THINK_CAP_S: f64 = 60.0;

#[derive(Clone, Debug)]
pub enum Source {
    Trace(TraceSource),
    Workload(WorkloadSpec),
}

#[derive(Clone, Debug)]
pub struct TraceSource {
    path: PathBuf,
    format: Format,
    recording: Arc<Recording>,
    play: Play,
    /// Its sessions are dealt to so many; no trace says whose they were.
    tenants: u32,
}

/// How a trace is played; which one follows from what the trace holds.
#[derive(Clone, Copy, Debug)]
enum Play {
    Open { arrivals: TraceArrivals },
    Closed { sessions: u32, think_cap_s: f64 },
}

impl Source {
    pub fn trace(args: &TraceArgs) -> Result<Self> {
        TraceSource::read(args)
            .map(Self::Trace)
            .map_err(|why| bad(format!("{}: {why}", args.file.display())))
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
        let spec: WorkloadSpec = parse_toml(&origin, &text)?;
        spec.check().map_err(|error| bad_field(&origin, &text, error.field, &error.why))?;
        Ok(Self::Workload(spec))
    }

    pub fn name(&self) -> String {
        match self {
            Self::Trace(trace) => trace.name(),
            Self::Workload(spec) => spec.sessions.name.clone(),
        }
    }

    /// Another number of tenants than its own.
    pub fn set_tenants(&mut self, tenants: u32) {
        match self {
            Self::Trace(trace) => trace.tenants = tenants,
            Self::Workload(spec) => spec.tenants = tenants,
        }
    }

    pub fn tenants(&self) -> Tenants {
        match self {
            Self::Trace(trace) => Tenants::new(trace.tenants, 0.0),
            Self::Workload(spec) => spec.tenants(),
        }
    }

    /// Tokens at the start of each prompt that the operator wrote, and may declare public. No trace
    /// says which.
    pub const fn operators_tokens(&self) -> u32 {
        match self {
            Self::Trace(_) => 0,
            Self::Workload(spec) => spec.sessions.system_tokens,
        }
    }

    /// How many different texts of the operator prompts begin with.
    pub const fn operators_texts(&self) -> u64 {
        match self {
            Self::Trace(_) => 0,
            Self::Workload(spec) => spec.sessions.system_prompts,
        }
    }

    /// The token ids of one of them.
    pub fn operators_text(&self, seed: u64, number: u64) -> Vec<u32> {
        match self {
            Self::Trace(_) => Vec::new(),
            Self::Workload(spec) => {
                let text = spec.sessions.system_prompt(seed, number);
                materialize(&[text], text.tokens())
            }
        }
    }

    /// The block size a trace was recorded in.
    pub fn own_block_size(&self) -> Option<u32> {
        match self {
            Self::Trace(trace) => trace.recording.own_block_size,
            Self::Workload(_) => None,
        }
    }

    /// Sessions under way at once, where the next begins when one ends.
    pub const fn concurrency(&self) -> Option<u32> {
        match self {
            Self::Trace(TraceSource { play: Play::Closed { sessions, .. }, .. }) => Some(*sessions),
            Self::Workload(spec) => match spec.sessions.arrivals {
                Arrivals::Closed { sessions } => Some(sessions),
                _ => None,
            },
            Self::Trace(_) => None,
        }
    }

    /// Another number of sessions at once; nothing where arrivals have times.
    pub const fn set_concurrency(&mut self, at_a_time: u32) {
        match self {
            Self::Trace(TraceSource { play: Play::Closed { sessions, .. }, .. }) => {
                *sessions = at_a_time;
            }
            Self::Workload(spec) => {
                if let Arrivals::Closed { sessions } = &mut spec.sessions.arrivals {
                    *sessions = at_a_time;
                }
            }
            Self::Trace(_) => {}
        }
    }

    /// Leaves out what comes after the first so many requests; a recorded session stays whole.
    pub fn limit(&mut self, requests: u64) {
        match self {
            Self::Trace(trace) => Arc::make_mut(&mut trace.recording).limit(requests),
            Self::Workload(spec) => {
                spec.sessions.requests = spec.sessions.requests.min(requests);
            }
        }
    }

    pub fn check_block_size(&self, block_size: u32) -> Result<()> {
        match self {
            Self::Trace(trace) => trace
                .recording
                .check_block_size(block_size)
                .map_err(|error| bad(format!("{}: {error}", trace.path.display()))),
            Self::Workload(_) => Ok(()),
        }
    }

    /// Whether there are recorded times for `--tick-jitter` to spread.
    pub fn check_tick_jitter(&self) -> Result<()> {
        let why = match self {
            Self::Trace(TraceSource { play: Play::Open { arrivals }, .. }) => match arrivals {
                TraceArrivals::Recorded => return Ok(()),
                TraceArrivals::Drawn(_) => {
                    format!("--arrivals {arrivals} draws all times anew, nothing is left to spread")
                }
            },
            Self::Trace(trace) => {
                format!("the sessions of a {} trace run in a closed loop", trace.format)
            }
            Self::Workload(_) => "only a trace has timestamps to spread".to_owned(),
        };
        Err(bad(format!("--tick-jitter: {why}")))
    }

    /// What a reader of the figures must know of where they come from.
    pub fn note(&self) -> Option<String> {
        let Self::Trace(trace) = self else { return None };
        trace.recording.own_block_size.is_none().then(|| {
            format!(
                "An {} trace says nothing of what its prompts share, so each is a text of its own: \
                 the hit rate is 0 by construction.",
                trace.format
            )
        })
    }

    /// Prepares what all runs share, once.
    pub fn prepare(&self, scopes: &Scopes) -> Prepared<'_> {
        let kind = match self {
            Self::Trace(trace) => trace.prepare(scopes),
            Self::Workload(spec) => Kind::Drawn(Arc::new(spec.clone()), scopes.clone()),
        };
        Prepared { source: self, kind }
    }
}

impl TraceSource {
    fn read(args: &TraceArgs) -> Result<Self, String> {
        let text = read_maybe_gzipped(&args.file)?;
        let format = match args.format {
            Some(format) => format,
            None => detect(&args.file, &text)?,
        };
        let recording = format.read(text.lines()).map_err(|error| error.to_string())?;
        let recording = Arc::new(recording);
        let play = match recording.content {
            Content::Requests(_) if args.sessions.is_some() || args.think_cap.is_some() => {
                return Err(format!(
                    "its requests have times, so --sessions and --think-cap say \
                                    nothing ({format} trace)"
                ));
            }
            Content::Requests(_) => Play::Open { arrivals: args.arrivals.unwrap_or_default() },
            Content::Sessions(_) if args.arrivals.is_some() => {
                return Err(format!(
                    "its sessions run in a closed loop, so --arrivals says nothing \
                                    ({format} trace)"
                ));
            }
            Content::Sessions(_) => Play::Closed {
                sessions: args.sessions.map_or(DEFAULT_SESSIONS, u32::from),
                think_cap_s: args.think_cap.unwrap_or(DEFAULT_THINK_CAP_S),
            },
        };
        Ok(Self { path: args.file.clone(), format, recording, play, tenants: 1 })
    }

    /// The file's name without what says its format.
    fn name(&self) -> String {
        let plain = if extension(&self.path) == "gz" {
            self.path.with_extension("")
        } else {
            self.path.clone()
        };
        plain.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn prepare(&self, scopes: &Scopes) -> Kind {
        match (&self.recording.content, self.play) {
            (Content::Requests(recorded), Play::Open { arrivals }) => {
                let trace = Trace::new(recorded.clone(), scopes).with_arrivals(arrivals);
                Kind::Open(Arc::new(match self.recording.own_block_size {
                    Some(block) => trace.with_inferred_sessions(block),
                    None => trace,
                }))
            }
            (Content::Sessions(recorded), Play::Closed { sessions, think_cap_s }) => {
                let think_cap = Duration::from_secs_f64(think_cap_s);
                Kind::Closed(Arc::new(SessionTrace::new(recorded, scopes, sessions, think_cap)))
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

/// The text of a file, unpacked if it begins as gzip does. Truncated and torn archives are refused.
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

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Shown<'a> {
            Trace {
                path: &'a Path,
                format: Format,
                requests: usize,
                tenants: u32,
                #[serde(flatten)]
                play: ShownPlay,
            },
            Sessions(&'a WorkloadSpec),
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum ShownPlay {
            Open { arrivals: String },
            Closed { sessions_at_a_time: u32, think_cap_s: f64 },
        }
        let shown = match self {
            Self::Trace(trace) => Shown::Trace {
                path: &trace.path,
                format: trace.format,
                requests: trace.recording.requests(),
                tenants: trace.tenants,
                play: match trace.play {
                    Play::Open { arrivals } => ShownPlay::Open { arrivals: arrivals.to_string() },
                    Play::Closed { sessions, think_cap_s } => {
                        ShownPlay::Closed { sessions_at_a_time: sessions, think_cap_s }
                    }
                },
            },
            Self::Workload(spec) => Shown::Sessions(spec),
        };
        shown.serialize(serializer)
    }
}

#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    source: &'a Source,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Open(Arc<Trace>),
    Closed(Arc<SessionTrace>),
    Drawn(Arc<WorkloadSpec>, Scopes),
}

impl Prepared<'_> {
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// With so many times the requests where they are drawn, so that a higher rate goes on as long. A
    /// trace has the requests it has.
    #[must_use]
    pub fn stretched(&self, times: f64) -> Self {
        let mut stretched = self.clone();
        if let Kind::Drawn(spec, _) = &mut stretched.kind {
            let requests = &mut Arc::make_mut(spec).sessions.requests;
            *requests = (*requests as f64 * times.max(1.0)) as u64;
        }
        stretched
    }

    /// A fresh workload, from the start.
    pub fn workload(&self, pace: Pace) -> Workload {
        match &self.kind {
            Kind::Open(trace) => Workload::Trace(Replay::new(Arc::clone(trace), pace)),
            Kind::Closed(trace) => {
                Workload::RecordedSessions(SessionReplay::new(Arc::clone(trace), pace.limit))
            }
            Kind::Drawn(spec, scopes) => Workload::Sessions(Sessions::with_shared_texts(
                spec,
                scopes,
                pace.seed,
                pace.rate_scale,
                pace.limit,
            )),
        }
    }

    /// How many requests a trace brings in the first `seconds` of model time; of recorded sessions,
    /// how many there would be if they were answered as fast as when they were recorded.
    pub fn arrivals_within(&self, seconds: f64, pace: Pace) -> Option<u64> {
        match &self.kind {
            Kind::Open(trace) => {
                let pace = Pace { limit: None, ..pace };
                Some(Replay::new(Arc::clone(trace), pace).due_within(seconds))
            }
            Kind::Closed(trace) => Some(trace.nominally_sent_within(seconds)),
            Kind::Drawn(..) => None,
        }
    }
}

#[cfg(test)]
mod tests;
