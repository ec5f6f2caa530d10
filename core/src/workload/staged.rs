//! The course of a run through its stages: when each session starts, and the stage of each request.

use super::drawn::MAX_TURNS;
use super::stage::Stage;
use crate::id::RequestId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// The stages of a run. Sessions are numbered through them.
#[derive(Clone, Debug)]
pub struct StagePlan {
    stages: Arc<[Planned]>,
}

#[derive(Clone, Debug)]
struct Planned {
    stage: Stage,
    /// Sessions of the stages before.
    before: u64,
    sessions: u64,
}

impl StagePlan {
    /// `rate_scale` multiplies all rates.
    pub fn new(stages: &[Stage], rate_scale: f64) -> Self {
        let mut before = 0;
        let plan = |stage: &Stage| {
            let sessions = stage.count(rate_scale);
            let stage = Stage { rate: stage.rate * rate_scale, ..stage.clone() };
            let planned = Planned { stage, before, sessions };
            before += sessions;
            planned
        };
        Self { stages: stages.iter().map(plan).collect() }
    }

    /// The stages, with the rates of the run.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().map(|planned| &planned.stage)
    }

    /// The sessions of all stages.
    pub fn sessions(&self) -> u64 {
        self.stages.last().map_or(0, |last| last.before + last.sessions)
    }

    /// The stage of a request, from 0.
    pub fn stage_of(&self, id: RequestId) -> usize {
        self.of_session(id.0 / MAX_TURNS)
    }

    /// The number of a session in its stage.
    pub fn place(&self, session: u64) -> u64 {
        session - self.stages[self.of_session(session)].before
    }

    fn of_session(&self, session: u64) -> usize {
        self.stages.partition_point(|planned| planned.before <= session).saturating_sub(1)
    }
}

/// Where a run is in its stages.
#[derive(Clone, Debug)]
pub struct Course {
    plan: StagePlan,
    seed: u64,
    /// The stage that sends, or that waits for its answers.
    stage: usize,
    began: Instant,
    /// The gaps of the stage.
    rng: Rng,
    /// From the start of the stage to the last arrival.
    offset_s: f64,
    sent: u64,
    /// Sessions that have begun and not ended.
    open: u64,
    next: Option<Instant>,
}

impl Course {
    /// The first stage begins at once.
    pub fn new(plan: StagePlan, seed: u64) -> Self {
        let (stage, began) = (0, Instant::START);
        let rng = Rng::named(seed, &[0x5354_4147, 0]);
        let mut course =
            Self { plan, seed, stage, began, rng, offset_s: 0.0, sent: 0, open: 0, next: None };
        course.draw();
        course
    }

    /// When the next session starts. None: all have, or the next stage waits for answers.
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The next session has started.
    pub fn begun(&mut self) {
        self.open += 1;
        self.sent += 1;
        if self.sent < self.planned().sessions {
            return self.draw();
        }
        self.next = None;
        if !self.planned().stage.drain {
            self.go_on(self.began);
        }
    }

    /// A session has ended.
    pub fn ended(&mut self, now: Instant) {
        self.open -= 1;
        let drained = self.open == 0 && self.next.is_none() && self.planned().stage.drain;
        if drained && self.sent == self.planned().sessions {
            self.go_on(now);
        }
    }

    fn planned(&self) -> &Planned {
        &self.plan.stages[self.stage]
    }

    fn draw(&mut self) {
        let stage = &self.plan.stages[self.stage].stage;
        self.offset_s += stage.arrivals.gaps().draw(1.0 / stage.rate, &mut self.rng);
        self.next = Some(self.began + Duration::from_secs_f64(self.offset_s));
    }

    /// Begins the next stage, if there is one: not before `drained`, nor before this one's time is
    /// over, nor before its last arrival.
    fn go_on(&mut self, drained: Instant) {
        let Planned { stage, .. } = self.planned();
        let over_s = stage.duration_s.max(self.offset_s);
        let over = (self.began + Duration::from_secs_f64(over_s)).max(drained);
        let begins = over + Duration::from_secs_f64(stage.pause_s);
        if self.stage + 1 == self.plan.stages.len() {
            return;
        }
        self.stage += 1;
        self.began = begins;
        self.rng = Rng::named(self.seed, &[0x5354_4147, self.stage as u64]);
        (self.offset_s, self.sent) = (0.0, 0);
        self.draw();
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::StageArrivals;
    use super::*;

    fn stage(rate: f64, duration_s: f64) -> Stage {
        Stage {
            name: None,
            rate,
            duration_s,
            arrivals: StageArrivals::Constant,
            drain: true,
            pause_s: 0.0,
            counted: true,
        }
    }

    /// Each session ends `service_s` after its start. Returns the starts in seconds, to a microsecond.
    fn starts(stages: &[Stage], service_s: f64) -> Vec<f64> {
        let mut course = Course::new(StagePlan::new(stages, 1.0), 7);
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        loop {
            let end = ends.first().copied();
            match (course.next(), end) {
                (Some(at), end) if end.is_none_or(|end| at <= end) => {
                    starts.push((at.as_secs_f64() * 1e6).round() / 1e6);
                    ends.push(at + Duration::from_secs_f64(service_s));
                    course.begun();
                }
                (_, Some(end)) => {
                    ends.remove(0);
                    course.ended(end);
                }
                (_, None) => return starts,
            }
        }
    }

    #[test]
    fn a_stage_begins_when_the_one_before_is_over() {
        let two = [stage(2.0, 2.0), stage(1.0, 2.0)];
        let both = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0];
        // The last answer comes at once, but the stage has its time.
        assert_eq!(
            starts(&[Stage { rate: 0.5, ..stage(1.0, 3.0) }, stage(1.0, 1.0)], 0.0),
            [2.0, 4.0]
        );
        let open = [Stage { drain: false, ..two[0].clone() }, two[1].clone()];
        assert_eq!(starts(&open, 10.0), both);
        let paused = [Stage { pause_s: 1.5, ..open[0].clone() }, two[1].clone()];
        assert_eq!(starts(&paused, 10.0)[4..], [4.5, 5.5]);
    }

    #[test]
    fn a_drained_stage_waits_for_all_answers() {
        let two = [stage(2.0, 2.0), stage(1.0, 2.0)];
        // The last session of the first stage starts at 2 s and ends at 12 s.
        assert_eq!(starts(&two, 10.0)[4..], [13.0, 14.0]);
        let paused = [Stage { pause_s: 0.5, ..two[0].clone() }, two[1].clone()];
        assert_eq!(starts(&paused, 10.0)[4..], [13.5, 14.5]);
        // Answers of a stage that was not drained are waited for with those of the next one.
        let three = [Stage { drain: false, ..stage(1.0, 1.0) }, stage(1.0, 1.0), stage(1.0, 1.0)];
        assert_eq!(starts(&three, 10.0), [1.0, 2.0, 13.0]);
    }

    #[test]
    fn a_request_tells_its_stage() {
        let stages = [stage(2.0, 2.0), stage(1.0, 3.0)];
        let plan = StagePlan::new(&stages, 1.0);
        let of = |session: u64| plan.stage_of(RequestId(session * MAX_TURNS + 5));
        assert_eq!((plan.sessions(), of(0), of(3), of(4), of(6)), (7, 0, 0, 1, 1));
        assert_eq!((plan.place(3), plan.place(4), plan.place(6)), (3, 0, 2));
        let twice = StagePlan::new(&stages, 2.0);
        assert_eq!((twice.sessions(), twice.stage_of(RequestId(7 * MAX_TURNS))), (14, 0));
        assert_eq!(twice.stages().map(|stage| stage.rate).collect::<Vec<_>>(), [4.0, 2.0]);
    }

    #[test]
    fn a_stage_is_drawn_from_the_seed_and_its_number() {
        let poisson = |rate| Stage { arrivals: StageArrivals::Poisson, ..stage(rate, 50.0) };
        let one = starts(&[poisson(4.0), poisson(2.0)], 0.1);
        assert_eq!(one.len(), 300);
        assert_eq!(one, starts(&[poisson(4.0), poisson(2.0)], 0.1));
        let gaps = |at: &[f64]| at.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
        // A first stage of another length moves the second one and draws the same gaps.
        let other = starts(&[poisson(1.0), poisson(2.0)], 0.1);
        let near = gaps(&one[200..]).into_iter().zip(gaps(&other[50..]));
        assert!(near.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
