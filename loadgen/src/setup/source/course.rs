//! The course of a run: phases with rates of their own, or only an end.

use super::trace::{Play, TraceSource};
use super::{Kind, Prepared, Source};
use crate::args::{CourseArgs, Rate};
use crate::files::bad;
use anyhow::Result;
use serde::Serialize;
use std::sync::Arc;
use warmpath_core::time::{Duration, Instant};
use warmpath_core::workload::Workload;
use warmpath_core::workload::phases::{Phase, Phases};
use warmpath_core::workload::sessions::Arrivals;
use warmpath_core::workload::stage::Stage;

/// How a run goes on with time.
#[derive(Clone, Debug)]
pub struct Course {
    /// None: the workload has its own times, and only ends earlier.
    phases: Option<Phases>,
    each: Vec<NamedPhase>,
}

/// One phase, for reports.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NamedPhase {
    pub name: String,
    pub seconds: f64,
    /// Arrivals a second that it asks for, at its start and at its end. None: a closed loop.
    pub rate: Option<(f64, f64)>,
}

impl Course {
    pub fn phases(&self) -> &[NamedPhase] {
        &self.each
    }

    /// How long the run sends, in seconds of model time.
    pub fn seconds(&self) -> f64 {
        self.each.iter().map(|phase| phase.seconds).sum()
    }

    /// Whether a workload's own number of requests does not end it.
    pub(super) fn is_open_ended(&self) -> bool {
        self.phases.is_none()
    }

    /// A workload in this course.
    pub(super) fn of(&self, workload: Workload, limit: Option<u64>) -> Workload {
        match &self.phases {
            Some(phases) => workload.in_phases(phases, limit),
            None => workload.until(Instant::START + Duration::from_secs_f64(self.seconds())),
        }
    }
}

impl Source {
    /// The course that the flags ask for. None: they ask for none.
    pub fn course(&self, args: &CourseArgs, rate_scale: f64) -> Result<Option<Course>> {
        let own = self.own_rate();
        if let Some(seconds) = args.duration {
            let rate = own.map(|own| own * rate_scale);
            let each =
                NamedPhase { name: "run".to_owned(), seconds, rate: rate.map(|rate| (rate, rate)) };
            let phases = own.map(|_| Phases::new(vec![Phase { from: 1.0, to: 1.0, seconds }]));
            return Ok(Some(Course { phases, each: vec![each] }));
        }
        if args.stages.is_empty() {
            return Ok(None);
        }
        self.check_rate("--stages")?;
        let Some(own) = own.map(|own| own * rate_scale) else {
            return Err(bad(format!("--stages: {}", self.no_rate())));
        };
        let times = |rate: Rate| match rate {
            Rate::Times(times) => times,
            Rate::PerSecond(rate) => rate / own,
        };
        let phase =
            |from: Rate, to: Rate, seconds| Phase { from: times(from), to: times(to), seconds };
        let stages = args.stages.iter();
        let phases: Vec<Phase> =
            stages.clone().map(|stage| phase(stage.from, stage.to, stage.seconds)).collect();
        if phases.iter().all(|phase| phase.from + phase.to <= 0.0) {
            return Err(bad("--stages: all rates are 0, expected at least one above"));
        }
        let all: f64 = phases.iter().map(|p| (p.from + p.to) / 2.0 * p.seconds * own).sum();
        if all > Stage::MOST as f64 {
            let why = format!("{all:.0} arrivals, expected at most {}", Stage::MOST);
            return Err(bad(format!("--stages: {why}")));
        }
        let named = stages.zip(&phases).map(|(stage, phase)| NamedPhase {
            name: stage.label(),
            seconds: stage.seconds,
            rate: Some((phase.from * own, phase.to * own)),
        });
        Ok(Some(Course { each: named.collect(), phases: Some(Phases::new(phases)) }))
    }

    /// Arrivals a second: sessions, or requests of a timed trace. None: they wait for each other, or
    /// have stages of their own.
    fn own_rate(&self) -> Option<f64> {
        match self {
            Self::Workload(spec) if !spec.stages.is_empty() => None,
            Self::Workload(spec) => spec.sessions.arrivals.open().map(|(_, rate)| rate),
            Self::Mix(mix) => {
                let rate = |arrivals: &Arrivals| arrivals.open().map_or(0.0, |(_, rate)| rate);
                Some(mix.specs().iter().map(|spec| rate(&spec.sessions.arrivals)).sum())
            }
            Self::Trace(TraceSource { play: Play::Open { .. }, recording, .. }) => {
                recording.requests_per_s()
            }
            Self::Trace(_) => None,
        }
    }

    /// Why `--stages` cannot be.
    fn no_rate(&self) -> String {
        match self {
            Self::Workload(spec) => format!(
                "workload {} has [[stage]] tables of its own, expected one without",
                spec.sessions.name
            ),
            _ => "the trace's sessions start at recorded times, expected a trace of timed requests or \
                  a drawn workload"
                .to_owned(),
        }
    }
}

impl Prepared<'_> {
    /// The course, if it has one.
    pub const fn course(&self) -> Option<&Course> {
        self.course.as_ref()
    }

    /// The same in this course.
    #[must_use]
    pub fn in_course(self, course: Option<&Course>) -> Self {
        let mut prepared = Self { course: course.cloned(), ..self };
        if course.is_some_and(Course::is_open_ended)
            && let Kind::Drawn(spec, _) = &mut prepared.kind
            && spec.stages.is_empty()
        {
            Arc::make_mut(spec).sessions.requests = Stage::MOST;
        }
        prepared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::StageArg;
    use std::path::Path;
    use warmpath_core::block::ScopePlan;
    use warmpath_core::sharing::Scopes;
    use warmpath_core::workload::trace::Pace;

    fn args(stages: &str) -> CourseArgs {
        let stages = stages.split(',').map(|stage| stage.parse::<StageArg>().unwrap());
        CourseArgs { stages: stages.collect(), duration: None }
    }

    #[test]
    fn rates_are_multiples_of_the_workloads_own() {
        let source = Source::workload("chat", Path::new("")).unwrap();
        let own = source.own_rate().expect("chat is an open loop");
        let course = source.course(&args("1x:60s,0x..3x:30s"), 2.0).unwrap().unwrap();
        let rates: Vec<_> = course.phases().iter().map(|phase| phase.rate.unwrap()).collect();
        assert_eq!(rates, [(2.0 * own, 2.0 * own), (0.0, 6.0 * own)]);
        assert_eq!(course.seconds(), 90.0);
        let asked = source.course(&args("12/s:10s"), 2.0).unwrap().unwrap();
        let (from, to) = asked.phases()[0].rate.unwrap();
        assert!((from - 12.0).abs() < 1e-9 && from == to, "{from} {to}");
        let why = source.course(&args("0x:10s"), 1.0).unwrap_err().to_string();
        assert!(why.starts_with("--stages: all rates are 0"), "{why}");
        let why = source.course(&args("1000000x:1h"), 1.0).unwrap_err().to_string();
        assert!(why.contains("arrivals, expected at most"), "{why}");
    }

    fn sent(source: &Source, course: &Course) -> Vec<f64> {
        let scopes = Scopes::from(&ScopePlan::new("", "", "", 16));
        let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 3, limit: None };
        let mut workload = source.prepare(&scopes).in_course(Some(course)).workload(pace);
        let mut sent = Vec::new();
        while let Some(at) = workload.next_send() {
            let (_, work) = workload.send(at).expect("it is due");
            workload.on_ended(at, work.request.id);
            sent.push(at.as_secs_f64());
        }
        assert_eq!(workload.total(), sent.len() as u64, "the total is what was sent");
        sent
    }

    #[test]
    fn arrivals_follow_the_phases_and_nothing_comes_after_the_end() {
        let source = Source::workload("commodity-qa", Path::new("")).unwrap();
        let course = source.course(&args("20/s:100s,60/s:100s,0/s:50s,20/s:50s"), 1.0);
        let sent = sent(&source, &course.unwrap().unwrap());
        let within =
            |from: f64, to: f64| sent.iter().filter(|&&at| (from..to).contains(&at)).count() as f64;
        assert!(sent.is_sorted());
        assert!(sent.last().is_some_and(|&last| last < 300.0));
        // Poisson arrivals of single requests: four standard deviations.
        for (from, to, expected) in [(0.0, 100.0, 2e3), (100.0, 200.0, 6e3), (250.0, 300.0, 1e3)] {
            let count = within(from, to);
            assert!((count - expected).abs() < 4.0 * expected.sqrt(), "{from}..{to}: {count}");
        }
        assert_eq!(within(200.0, 250.0), 0.0, "a rate of 0");
    }

    #[test]
    fn a_duration_ends_what_has_no_rate_too() {
        let mut source = Source::workload("commodity-qa", Path::new("")).unwrap();
        let Source::Workload(spec) = &mut source else { panic!("it is drawn") };
        spec.sessions.arrivals = Arrivals::Closed { sessions: 3 };
        let until = CourseArgs { stages: Vec::new(), duration: Some(30.0) };
        let course = source.course(&until, 1.0).unwrap().unwrap();
        assert_eq!(course.phases()[0].rate, None);
        let why = source.course(&args("2x:10s"), 1.0).unwrap_err().to_string();
        assert!(why.contains("is a closed loop") && !why.contains('\n'), "{why}");
        // Answers that take no time would never end it: each takes its next turn or session on.
        let scopes = Scopes::from(&ScopePlan::new("", "", "", 16));
        let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 3, limit: None };
        let mut workload = source.prepare(&scopes).in_course(Some(&course)).workload(pace);
        let mut now = Instant::START;
        let mut sent = 0;
        while let Some(at) = workload.next_send() {
            now = now.max(at);
            let (_, work) = workload.send(now).expect("it is due");
            sent += 1;
            now = now + Duration::from_millis(100);
            workload.on_ended(now, work.request.id);
        }
        assert!(now.as_secs_f64() >= 29.0 && sent > 50, "{sent} until {}", now.as_secs_f64());
        assert_eq!(workload.total(), sent);
    }

    #[test]
    fn what_has_no_rate_is_refused_in_one_line() {
        let staged = Source::workload("llm-d-73-capacity", Path::new("")).unwrap();
        let why = staged.course(&args("2x:10s"), 1.0).unwrap_err().to_string();
        assert!(why.contains("[[stage]] tables of its own") && !why.contains('\n'), "{why}");
    }
}
