//! The source of requests: a trace, a workload, or a mix of workloads.

mod course;
mod mix;
mod trace;

use crate::args::TraceArgs;
use crate::files::{bad, bad_field, parse_checked, read};
use crate::setup::names::{WORKLOADS, built_in, looks_like_a_file, unknown};
use anyhow::Result;
pub use course::Course;
use mix::Mix;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trace::{Play, TraceSource};
use warmpath_core::sharing::{Scopes, Tenants};
use warmpath_core::tokens::materialize;
use warmpath_core::workload::Workload;
use warmpath_core::workload::arrivals::{Arrivals, TraceArrivals};
use warmpath_core::workload::file::WorkloadFile;
use warmpath_core::workload::mixed::Mixed;
use warmpath_core::workload::sessions::Sessions;
use warmpath_core::workload::spec::{SpecError, WorkloadSpec};
use warmpath_core::workload::staged::StagePlan;
use warmpath_core::workload::trace::{
    Format, Pace, SessionReplay, SessionTrace, TimedReplay, Trace,
};

#[derive(Clone, Debug)]
pub enum Source {
    Trace(TraceSource),
    Workload(Box<WorkloadSpec>),
    Mix(Mix),
}

/// The name of a workload for errors, its text, and the folder of the files that it names.
fn named(name: &str, folder: &Path) -> Result<(String, String, PathBuf)> {
    if let Some(text) = built_in(WORKLOADS, name) {
        return Ok((format!("workload {name}"), text.to_owned(), PathBuf::new()));
    }
    if looks_like_a_file(name) {
        let path = folder.join(name);
        let beside = path.parent().unwrap_or(folder).to_owned();
        return Ok((path.display().to_string(), read(&path)?, beside));
    }
    Err(unknown("workload", name, WORKLOADS))
}

fn parse_workload(origin: &str, text: &str) -> Result<WorkloadSpec> {
    let refused = |error: SpecError| (error.field.to_owned(), error.why);
    parse_checked(origin, text, |file: WorkloadFile| {
        file.checked().map_err(|problems| problems.into_iter().map(refused).collect())
    })
}

impl Source {
    pub fn trace(args: &TraceArgs) -> Result<Self> {
        TraceSource::read(args).map(Self::Trace).map_err(bad)
    }

    /// A built-in workload by name, or a workload file in `folder`.
    pub fn workload(name: &str, folder: &Path) -> Result<Self> {
        let (origin, text, beside) = named(name, folder)?;
        if mix::is_mix(&text) {
            return Mix::parse(&origin, &text, &beside).map(Self::Mix);
        }
        parse_workload(&origin, &text).map(Box::new).map(Self::Workload)
    }

    /// As [`Self::workload`], for a name in a file. An unknown name is an error at its place there.
    pub fn workload_of(name: &str, folder: &Path, (origin, text): (&str, &str)) -> Result<Self> {
        let read = Self::workload(name, folder);
        let is_name = built_in(WORKLOADS, name).is_none() && !looks_like_a_file(name);
        read.map_err(|error| match is_name {
            true => bad_field(origin, text, "workload", &error.to_string()),
            false => error,
        })
    }

    /// Names of the classes of a mixed workload. Empty for the other sources.
    pub fn classes(&self) -> Vec<&str> {
        match self {
            Self::Mix(mix) => mix.names(),
            Self::Trace(_) | Self::Workload(_) => Vec::new(),
        }
    }

    /// Number of requests of each class.
    pub fn class_requests(&self) -> Vec<u64> {
        let Self::Mix(mix) = self else { return Vec::new() };
        mix.specs().iter().map(|spec| spec.sessions.requests).collect()
    }

    /// The files of a trace; none of a drawn workload.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Trace(trace) => &trace.paths,
            Self::Workload(_) | Self::Mix(_) => &[],
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Trace(trace) => trace.name(),
            Self::Workload(spec) => spec.sessions.name.clone(),
            Self::Mix(mix) => mix.name.clone(),
        }
    }

    /// The stages at a multiple of the workload's rates. None: it has none.
    pub fn stages(&self, rate_scale: f64) -> Option<StagePlan> {
        let Self::Workload(spec) = self else { return None };
        (!spec.stages.is_empty()).then(|| StagePlan::new(&spec.stages, rate_scale))
    }

    /// Replaces the number of tenants.
    pub fn set_tenants(&mut self, tenants: u32) {
        match self {
            Self::Trace(trace) => trace.tenants = tenants,
            Self::Workload(spec) => spec.tenants = tenants,
            Self::Mix(mix) => mix.tenants = tenants,
        }
    }

    pub fn tenants(&self) -> Tenants {
        match self {
            Self::Trace(trace) => Tenants::new(trace.tenants, 0.0),
            Self::Workload(spec) => spec.tenants(),
            Self::Mix(mix) => Tenants::new(mix.tenants, 0.0),
        }
    }

    /// Tokens at the start of each prompt that the operator wrote and may declare public. 0 for a
    /// trace, which does not say.
    pub fn operators_tokens(&self) -> u32 {
        match self {
            Self::Trace(_) => 0,
            Self::Workload(spec) => spec.sessions.system_tokens,
            Self::Mix(mix) => mix.operators_tokens(),
        }
    }

    /// Number of different operator texts that prompts begin with.
    pub fn operators_texts(&self) -> u64 {
        match self {
            Self::Trace(_) => 0,
            Self::Workload(spec) => spec.sessions.system_prompts,
            Self::Mix(mix) => mix.operators_texts(),
        }
    }

    /// The token ids of one operator text.
    pub fn operators_text(&self, seed: u64, number: u64) -> Vec<u32> {
        match self {
            Self::Trace(_) => Vec::new(),
            Self::Workload(spec) => {
                let text = spec.sessions.system_prompt(seed, number);
                materialize(&[text], text.tokens())
            }
            Self::Mix(mix) => {
                let text = mix.operators_text(seed, number);
                materialize(&[text], text.tokens())
            }
        }
    }

    /// The block size of the recording. None: not a trace, or its format has no blocks.
    pub fn own_block_size(&self) -> Option<u32> {
        match self {
            Self::Trace(trace) => trace.recording.own_block_size,
            Self::Workload(_) | Self::Mix(_) => None,
        }
    }

    /// Sessions that run at the same time, in a closed loop. None: arrivals have times.
    pub const fn concurrency(&self) -> Option<u32> {
        match self {
            Self::Trace(TraceSource { play: Play::Closed { sessions, .. }, .. }) => Some(*sessions),
            // Stages have rates of their own.
            Self::Workload(spec) => match spec.sessions.arrivals {
                Arrivals::Closed { sessions } if spec.stages.is_empty() => Some(sessions),
                _ => None,
            },
            Self::Trace(_) | Self::Mix(_) => None,
        }
    }

    /// Replaces the number of sessions of a closed loop that run at the same time. Does nothing for
    /// an open loop.
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
            Self::Trace(_) | Self::Mix(_) => {}
        }
    }

    /// Whether a trace has no request, which no file has.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Trace(trace) if trace.recording.requests() == 0)
    }

    /// The first `share` of a trace, and the rest. None: the requests are drawn, so another seed has others.
    pub fn split(&self, share: f64) -> Option<(Self, Self)> {
        let Self::Trace(trace) = self else { return None };
        let part = |recording| {
            Self::Trace(TraceSource { recording: Arc::new(recording), ..trace.clone() })
        };
        let (first, rest) = trace.recording.split(share);
        Some((part(first), part(rest)))
    }

    /// Keeps the first `requests` requests. A recorded session stays whole.
    pub fn limit(&mut self, requests: u64) {
        match self {
            Self::Trace(trace) => Arc::make_mut(&mut trace.recording).limit(requests),
            Self::Workload(spec) => {
                spec.sessions.requests = spec.sessions.requests.min(requests);
            }
            Self::Mix(mix) => mix.limit(requests),
        }
    }

    pub fn check_block_size(&self, block_size: u32) -> Result<()> {
        match self {
            Self::Trace(trace) => trace
                .recording
                .check_block_size(block_size)
                .map_err(|error| bad(format!("{}: {error}", trace.paths[0].display()))),
            Self::Workload(_) | Self::Mix(_) => Ok(()),
        }
    }

    /// Checks that there are recorded times for `--tick-jitter` to spread.
    pub fn check_tick_jitter(&self) -> Result<()> {
        let why = match self {
            Self::Trace(TraceSource { play: Play::Open { arrivals }, .. }) => match arrivals {
                TraceArrivals::Recorded => return Ok(()),
                TraceArrivals::Drawn(_) => {
                    format!(
                        "--arrivals {arrivals} draws all times, so there are no timestamps to spread"
                    )
                }
            },
            Self::Trace(TraceSource { play: Play::Started { .. }, .. }) => {
                "sessions start at their recorded times, and later requests wait for answers".into()
            }
            Self::Trace(trace) => format!(
                "the sessions of a {} trace run in a closed loop; --shuffle varies them by seed",
                trace.format
            ),
            Self::Workload(_) | Self::Mix(_) => "only a trace has timestamps to spread".to_owned(),
        };
        Err(bad(format!("--tick-jitter: {why}")))
    }

    /// Checks that there is an arrival rate for `flag` to multiply. Else runs at several rates would
    /// be the same run under different names.
    pub fn check_rate(&self, flag: &str) -> Result<()> {
        let why = match self {
            Self::Trace(TraceSource { play: Play::Closed { .. }, format, .. }) => format!(
                "the sessions of a {format} trace run in a closed loop, which has no arrival rate; \
                 --sessions N sets how many run at the same time"
            ),
            Self::Trace(trace) if trace.recording.is_one_instant() => {
                "all requests of the trace have the same time, so there is no arrival rate"
                    .to_owned()
            }
            Self::Workload(spec) if self.concurrency().is_some() => format!(
                "workload {} is a closed loop, which has no arrival rate; [arrivals] closed of its file \
                 sets how many sessions run at the same time",
                spec.sessions.name
            ),
            Self::Trace(_) | Self::Workload(_) | Self::Mix(_) => return Ok(()),
        };
        Err(bad(format!("{flag}: {why}")))
    }

    /// A note for the reader of the figures about the source.
    pub fn note(&self) -> Option<String> {
        let Self::Trace(trace) = self else { return None };
        let mut notes = Vec::new();
        if !trace.recording.shares {
            notes.push(format!(
                "The trace (format {}) says nothing of what its prompts share, so each is a text of \
                 its own: the hit rate is 0 by construction.",
                trace.format
            ));
        }
        if !trace.recording.ignored.is_empty() {
            let names: Vec<&str> = trace.recording.ignored.iter().map(String::as_str).collect();
            notes.push(format!("Fields of the trace that are not used: {}.", names.join(", ")));
        }
        (!notes.is_empty()).then(|| notes.join(" "))
    }

    /// Prepares once what all runs share.
    pub fn prepare(&self, scopes: &Scopes) -> Prepared<'_> {
        let kind = match self {
            Self::Trace(trace) => trace.prepare(scopes),
            Self::Workload(spec) => Kind::Drawn(Arc::from(spec.clone()), scopes.clone()),
            Self::Mix(mix) => Kind::Mixed(Arc::new(mix.specs()), scopes.clone()),
        };
        Prepared { source: self, kind, course: None }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Shown<'a> {
            Trace {
                path: &'a Path,
                #[serde(skip_serializing_if = "<[PathBuf]>::is_empty")]
                more_paths: &'a [PathBuf],
                format: Format,
                requests: usize,
                tenants: u32,
                #[serde(flatten)]
                play: ShownPlay,
            },
            Sessions(&'a WorkloadSpec),
            Mix(&'a Mix),
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum ShownPlay {
            Open { arrivals: String },
            Closed { sessions_at_a_time: u32, think_cap_s: f64, shuffled: bool },
            Started { session_starts: &'static str, think_cap_s: Option<f64> },
        }
        let shown = match self {
            Self::Trace(trace) => Shown::Trace {
                path: &trace.paths[0],
                more_paths: &trace.paths[1..],
                format: trace.format,
                requests: trace.recording.requests(),
                tenants: trace.tenants,
                play: match trace.play {
                    Play::Open { arrivals } => ShownPlay::Open { arrivals: arrivals.to_string() },
                    Play::Closed { sessions, think_cap_s, shuffle } => ShownPlay::Closed {
                        sessions_at_a_time: sessions,
                        think_cap_s,
                        shuffled: shuffle,
                    },
                    Play::Started { think_cap_s } => {
                        ShownPlay::Started { session_starts: "recorded", think_cap_s }
                    }
                },
            },
            Self::Workload(spec) => Shown::Sessions(spec),
            Self::Mix(mix) => Shown::Mix(mix),
        };
        shown.serialize(serializer)
    }
}

#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    source: &'a Source,
    kind: Kind,
    course: Option<Course>,
}

#[derive(Clone, Debug)]
enum Kind {
    Open(Arc<Trace>),
    /// And whether the seed draws the order of the sessions.
    Closed(Arc<SessionTrace>, bool),
    Drawn(Arc<WorkloadSpec>, Scopes),
    Mixed(Arc<Vec<WorkloadSpec>>, Scopes),
}

impl Prepared<'_> {
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// The stages at a multiple of the workload's rates. None: it has none.
    pub fn stages(&self, rate_scale: f64) -> Option<StagePlan> {
        self.source.stages(rate_scale)
    }

    /// The same with `times` as many requests, so that a run at a higher rate lasts as long. A trace
    /// keeps its requests, and stages have their own durations.
    #[must_use]
    pub fn stretched(&self, times: f64) -> Self {
        let mut stretched = self.clone();
        let stretch = |spec: &mut WorkloadSpec| {
            let requests = &mut spec.sessions.requests;
            if spec.stages.is_empty() {
                *requests = (*requests as f64 * times.max(1.0)) as u64;
            }
        };
        match &mut stretched.kind {
            Kind::Drawn(spec, _) => stretch(Arc::make_mut(spec)),
            Kind::Mixed(specs, _) => Arc::make_mut(specs).iter_mut().for_each(stretch),
            Kind::Open(_) | Kind::Closed(..) => {}
        }
        stretched
    }

    /// A new workload, from its start.
    pub fn workload(&self, pace: Pace) -> Workload {
        let whole = self.whole(pace);
        match &self.course {
            None => whole,
            Some(course) => course.of(whole, pace.limit),
        }
    }

    /// A new workload without a course.
    fn whole(&self, pace: Pace) -> Workload {
        match &self.kind {
            Kind::Open(trace) => Workload::Trace(TimedReplay::new(Arc::clone(trace), pace)),
            Kind::Closed(trace, shuffle) => {
                let trace = Arc::clone(trace);
                Workload::RecordedSessions(match shuffle {
                    true => SessionReplay::shuffled(trace, pace.limit, pace.seed),
                    // A closed loop has no rate of its own.
                    false if !trace.has_starts() => SessionReplay::new(trace, pace.limit),
                    false => SessionReplay::at_rate(trace, pace.limit, pace.rate_scale),
                })
            }
            Kind::Drawn(spec, scopes) => Workload::Sessions(Sessions::with_shared_texts(
                spec,
                scopes,
                pace.seed,
                pace.rate_scale,
                pace.limit,
            )),
            Kind::Mixed(specs, scopes) => {
                let Pace { seed, rate_scale, limit, .. } = pace;
                Workload::Mixed(Mixed::new(specs, scopes, seed, rate_scale, limit))
            }
        }
    }

    /// Number of requests that a trace sends in the first `seconds` of model time. For recorded
    /// sessions, as if they were answered as fast as in the recording.
    pub fn arrivals_within(&self, seconds: f64, pace: Pace) -> Option<u64> {
        match &self.kind {
            Kind::Open(trace) => {
                let pace = Pace { limit: None, ..pace };
                Some(TimedReplay::new(Arc::clone(trace), pace).due_within(seconds))
            }
            Kind::Closed(trace, _) if trace.has_starts() => {
                Some(trace.nominally_sent_within(seconds * pace.rate_scale))
            }
            Kind::Closed(trace, _) => Some(trace.nominally_sent_within(seconds)),
            Kind::Drawn(..) | Kind::Mixed(..) => None,
        }
    }
}

#[cfg(test)]
mod tests;
