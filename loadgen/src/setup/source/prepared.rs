//! A source that is ready to be played: what all runs share is made once.

use super::{Course, Source};
use std::sync::Arc;
use warmpath_core::sharing::Scopes;
use warmpath_core::workload::Workload;
use warmpath_core::workload::mixed::Mixed;
use warmpath_core::workload::sessions::Sessions;
use warmpath_core::workload::spec::WorkloadSpec;
use warmpath_core::workload::staged::StagePlan;
use warmpath_core::workload::trace::{Pace, SessionReplay, SessionTrace, TimedReplay, Trace};

/// A source, with what all runs of it share.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    pub(super) source: &'a Source,
    pub(super) kind: Kind,
    pub(super) course: Option<Course>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
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
