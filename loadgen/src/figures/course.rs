//! Figures by phase and by interval of a run, and what happened in the fleet meanwhile.

use crate::setup::Course;
use serde::{Deserialize, Serialize};
use warmpath_core::report::{Figures, Recorder, Slo};
use warmpath_core::time::{Duration, Instant};

/// Rows of a run whose length is not known before; later requests are in no interval.
const MOST_INTERVALS: u32 = 10_000;

/// The course of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CourseFigures {
    pub phases: Vec<SpanFigures>,
    pub intervals: Vec<SpanFigures>,
    /// None: the router's admin service was not asked.
    pub marks: Option<Vec<Mark>>,
}

/// The requests that were due in a span of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpanFigures {
    pub name: String,
    pub from_s: f64,
    pub to_s: f64,
    /// Arrivals a second that were asked for, at its start and its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<(f64, f64)>,
    pub sent_per_s: f64,
    pub good_per_s: f64,
    #[serde(flatten)]
    pub figures: Figures,
}

/// Something that happened in the fleet during the run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Seconds of model time since the run began.
    pub at_s: f64,
    pub what: String,
    pub worker: String,
    pub name: String,
    pub detail: String,
}

impl Mark {
    /// In a few words, for a cell.
    pub fn short(&self) -> String {
        let Self { what, worker, name, detail, .. } = self;
        match (worker.as_str(), name.as_str()) {
            ("", _) => format!("{what} {}", detail.split(',').next().unwrap_or_default()),
            (worker, "") => format!("{what} {worker}"),
            (worker, name) => format!("{what} {name} ({worker})"),
        }
    }
}

impl CourseFigures {
    /// The figures of each phase and each interval. None: there are neither.
    pub fn of(
        course: Option<&Course>,
        interval_s: Option<f64>,
        recorder: &Recorder,
        block_size: u32,
        slo: &Slo,
    ) -> Option<Self> {
        if course.is_none() && interval_s.is_none() {
            return None;
        }
        let figures = |name: String, from_s: f64, to_s: f64, rate_per_s| {
            let figures = recorder.between(at(from_s), at(to_s)).figures(block_size, None, slo);
            let seconds = to_s - from_s;
            SpanFigures {
                name,
                from_s,
                to_s,
                rate_per_s,
                sent_per_s: figures.offered as f64 / seconds,
                good_per_s: figures.within_slo * figures.offered as f64 / seconds,
                figures,
            }
        };
        let mut all = Self::default();
        let mut from_s = 0.0;
        for phase in course.map_or(&[][..], Course::phases) {
            let to_s = from_s + phase.seconds;
            all.phases.push(figures(phase.name.clone(), from_s, to_s, phase.rate));
            from_s = to_s;
        }
        if let Some(interval) = interval_s {
            let last_s = recorder.last_sent().as_secs_f64();
            // An interval contains its start, so the last one ends after the last request.
            let end_s = course.map_or(last_s + 1e-9, Course::seconds);
            for number in 0.. {
                let (from_s, to_s) =
                    (f64::from(number) * interval, f64::from(number + 1) * interval);
                if from_s >= end_s || number == MOST_INTERVALS {
                    break;
                }
                let phase = all.phases.iter().rfind(|phase| phase.from_s <= from_s);
                let name = phase.map_or_else(String::new, |phase| phase.name.clone());
                all.intervals.push(figures(name, from_s, to_s.min(end_s), None));
            }
        }
        Some(all)
    }

    /// The marks of a span; what came after the last span belongs to no span.
    pub fn marks_in(&self, span: &SpanFigures) -> Vec<&Mark> {
        let within = |mark: &&Mark| (span.from_s..span.to_s).contains(&mark.at_s);
        self.marks.iter().flatten().filter(within).collect()
    }
}

fn at(seconds: f64) -> Instant {
    Instant::START + Duration::from_secs_f64(seconds)
}
