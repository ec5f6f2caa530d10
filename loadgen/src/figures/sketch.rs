//! The shape of a run: distributions, its course, and its slowest requests. It is computed from the rows of
//! the requests and is small, so that rows need not be kept.

use super::measured::Measured;
use super::occupancy::Occupancy;
use super::stages::Stages;
use std::collections::HashMap;
use warmpath_core::id::{ORIGINS, RequestId, SessionId};
use warmpath_core::report::Row;
use warmpath_core::time::Instant;

/// Parts into which the time of a run is cut.
const PARTS: usize = 48;
/// Requests that are looked at one by one.
const SLOWEST: usize = 10;

/// The shape of a run. Times are seconds of model time.
#[derive(Clone, PartialEq, Debug)]
pub struct Sketch {
    /// The time to first token; None without an answer.
    pub ttft_s: Option<Measured>,
    /// The time per further token; None without an answer of two tokens.
    pub tpot_s: Option<Measured>,
    /// The time to the last token, and that time for each token of the answer.
    pub e2e_s: Option<Measured>,
    pub per_token_s: Option<Measured>,
    /// The lengths of answered requests.
    pub prompt_tokens: Option<Measured>,
    pub output_tokens: Option<Measured>,
    /// Requests of the longest session. 0: no session is known.
    pub most_turns: usize,
    /// When the first request was due and when the last one ended.
    pub span_s: (f64, f64),
    /// Equal parts of that time.
    pub moments: Vec<Moment>,
    /// The mean number of requests that each worker has in each part: waiting or being answered.
    pub on_worker: Vec<Vec<f64>>,
    /// The answers with the longest time to first token, the longest first.
    pub slowest: Vec<Slow>,
    /// How full memories and how busy links were. None: there is HBM only, or it is not known.
    pub occupancy: Option<Occupancy>,
}

/// A part of a run's time.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Moment {
    /// Its middle.
    pub at_s: f64,
    /// The mean number of requests without a first token.
    pub waiting: f64,
    /// The mean number of requests whose tokens are arriving.
    pub answering: f64,
    /// Prompt tokens of answered requests that were due in it, and those of them that were cached, by origin.
    pub prompt_tokens: f64,
    pub cached: [f64; ORIGINS],
}

/// A request by itself.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Slow {
    pub id: RequestId,
    pub worker: Option<u32>,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    /// Seconds since it was due: sent, admitted, first token, last token.
    pub sent_s: f64,
    /// When an engine first admitted it. None: not known.
    pub admitted_s: Option<f64>,
    pub first_token_s: f64,
    pub ended_s: f64,
}

impl Sketch {
    /// The shape of a run by the stages that its figures contain.
    /// `admissions`: when engines first admitted requests, if that is known.
    pub fn of_run(
        rows: &[Row],
        stages: Option<&Stages>,
        workers: Option<u32>,
        admissions: &HashMap<RequestId, Instant>,
    ) -> Self {
        let Some(stages) = stages else { return Self::of(rows, workers, admissions) };
        let counted = rows.iter().filter(|row| stages.counts(row.id)).cloned();
        Self::of(&counted.collect::<Vec<Row>>(), workers, admissions)
    }

    /// The shape of the run that has these rows. `workers`: how many the fleet has, if that is known.
    pub fn of(
        rows: &[Row],
        workers: Option<u32>,
        admissions: &HashMap<RequestId, Instant>,
    ) -> Self {
        let first = rows.iter().map(|row| row.intended.as_secs_f64()).fold(f64::INFINITY, f64::min);
        let last = rows.iter().map(|row| row.ended.as_secs_f64()).fold(0.0, f64::max);
        let span_s = if rows.is_empty() { (0.0, 0.0) } else { (first, last) };
        let answered = || rows.iter().filter(|row| row.failed.is_none());
        let measured =
            |of: &dyn Fn(&Row) -> Option<f64>| Measured::of(answered().filter_map(of).collect());
        let e2e_s = |row: &Row| row.ended.since(row.intended).as_secs_f64();
        Self {
            ttft_s: measured(&|row| Some(row.ttft()?.as_secs_f64())),
            tpot_s: measured(&Row::tpot_s),
            e2e_s: measured(&|row| Some(e2e_s(row))),
            per_token_s: measured(&|row| {
                (row.output_tokens > 0).then(|| e2e_s(row) / f64::from(row.output_tokens))
            }),
            prompt_tokens: measured(&|row| Some(f64::from(row.prompt_tokens))),
            output_tokens: measured(&|row| Some(f64::from(row.output_tokens))),
            most_turns: most_turns(rows),
            span_s,
            moments: moments(rows, span_s),
            on_worker: on_worker(rows, workers, span_s),
            slowest: slowest(rows, admissions),
            occupancy: None,
        }
    }
}

fn most_turns(rows: &[Row]) -> usize {
    let mut turns: HashMap<SessionId, usize> = HashMap::new();
    for session in rows.iter().filter_map(|row| row.session) {
        *turns.entry(session).or_default() += 1;
    }
    turns.into_values().max().unwrap_or(0)
}

/// Adds to each part the seconds of `from..to` that lie in it.
fn spread(parts: &mut [f64], (begin, end): (f64, f64), from: f64, to: f64) {
    let width = (end - begin) / parts.len() as f64;
    if width <= 0.0 {
        return;
    }
    let first = (((from - begin) / width).floor().max(0.0) as usize).min(parts.len() - 1);
    for (place, part) in parts.iter_mut().enumerate().skip(first) {
        let low = begin + width * place as f64;
        if low >= to {
            break;
        }
        *part += (to.min(low + width) - from.max(low)).max(0.0);
    }
}

fn moments(rows: &[Row], span: (f64, f64)) -> Vec<Moment> {
    let width = (span.1 - span.0) / PARTS as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let (mut waiting, mut answering) = (vec![0.0; PARTS], vec![0.0; PARTS]);
    let middle = |place: usize| span.0 + width * (place as f64 + 0.5);
    let mut parts: Vec<Moment> =
        (0..PARTS).map(|place| Moment { at_s: middle(place), ..Moment::default() }).collect();
    for row in rows {
        let (due, ended) = (row.intended.as_secs_f64(), row.ended.as_secs_f64());
        let first = row.first_token.map_or(ended, |at| at.as_secs_f64());
        spread(&mut waiting, span, due, first);
        spread(&mut answering, span, first, ended);
        if let Some(cached) = row.cached {
            let part = &mut parts[(((due - span.0) / width) as usize).min(PARTS - 1)];
            part.prompt_tokens += f64::from(row.prompt_tokens);
            let told = cached.by_tier.iter().sum::<u32>() == cached.tokens;
            for (origin, tokens) in cached.by_tier.into_iter().enumerate() {
                // A worker that does not report tiers has one place for all.
                let tokens = if told { tokens } else { u32::from(origin == 0) * cached.tokens };
                part.cached[origin] += f64::from(tokens);
            }
        }
    }
    for (part, (waiting, answering)) in parts.iter_mut().zip(waiting.into_iter().zip(answering)) {
        (part.waiting, part.answering) = (waiting / width, answering / width);
    }
    parts
}

fn on_worker(rows: &[Row], workers: Option<u32>, span: (f64, f64)) -> Vec<Vec<f64>> {
    let used = rows.iter().filter_map(|row| row.worker).map(|worker| worker.0 + 1).max();
    let count = workers.unwrap_or(0).max(used.unwrap_or(0)) as usize;
    let mut all = vec![vec![0.0; PARTS]; count];
    for row in rows {
        if let Some(worker) = row.worker {
            let (sent, ended) = (row.sent.as_secs_f64(), row.ended.as_secs_f64());
            spread(&mut all[worker.0 as usize], span, sent, ended);
        }
    }
    let width = (span.1 - span.0) / PARTS as f64;
    all.iter_mut().flatten().for_each(|seconds| *seconds /= width.max(f64::MIN_POSITIVE));
    all
}

fn slowest(rows: &[Row], admissions: &HashMap<RequestId, Instant>) -> Vec<Slow> {
    let mut answered: Vec<&Row> =
        rows.iter().filter(|row| row.failed.is_none() && row.first_token.is_some()).collect();
    answered.sort_by_key(|row| (std::cmp::Reverse(row.ttft()), row.id));
    let slow = |row: &&Row| Slow {
        id: row.id,
        worker: row.worker.map(|worker| worker.0),
        prompt_tokens: row.prompt_tokens,
        cached_tokens: row.cached.map_or(0, |cached| cached.tokens),
        sent_s: row.sent.since(row.intended).as_secs_f64(),
        admitted_s: admissions
            .get(&row.id)
            .map(|at| at.as_secs_f64() - row.intended.as_secs_f64())
            .filter(|at| *at >= 0.0),
        first_token_s: row.ttft().map_or(0.0, |ttft| ttft.as_secs_f64()),
        ended_s: row.ended.since(row.intended).as_secs_f64(),
    };
    answered.iter().take(SLOWEST).map(slow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::id::{TenantId, WorkerId};
    use warmpath_core::report::Cached;
    use warmpath_core::time::Duration;

    fn at(seconds: f64) -> Instant {
        Instant::START + Duration::from_secs_f64(seconds)
    }

    fn row(id: u64, worker: u32, [due, first, ended]: [f64; 3]) -> Row {
        Row {
            id: RequestId(id),
            session: None,
            tenant: TenantId(0),
            worker: Some(WorkerId(worker)),
            intended: at(due),
            sent: at(due),
            first_token: Some(at(first)),
            ended: at(ended),
            prompt_tokens: 100,
            output_tokens: 3,
            cached: Some(Cached { tokens: 40, by_tier: [0; ORIGINS] }),
            failed: None,
        }
    }

    /// One worker is busy in the first half of 48 s, another in the second; a third has nothing.
    #[test]
    fn the_course_has_the_time_of_each_request() {
        let rows = [row(1, 0, [0.0, 12.0, 24.0]), row(2, 1, [24.0, 25.0, 48.0])];
        let sketch = Sketch::of(&rows, Some(3), &HashMap::from([(RequestId(1), at(9.0))]));
        assert_eq!(sketch.span_s, (0.0, 48.0));
        let sum = |cells: &[f64]| cells.iter().sum::<f64>();
        let halves = |worker: usize| sketch.on_worker[worker].split_at(24);
        let of = |worker: usize| (sum(halves(worker).0).round(), sum(halves(worker).1).round());
        assert_eq!([of(0), of(1), of(2)], [(24.0, 0.0), (0.0, 24.0), (0.0, 0.0)]);
        let waiting: f64 = sketch.moments.iter().map(|part| part.waiting).sum();
        let answering: f64 = sketch.moments.iter().map(|part| part.answering).sum();
        assert!((waiting - 13.0).abs() < 1e-6 && (answering - 35.0).abs() < 1e-6);
        assert_eq!(sketch.moments[0].cached[0], 40.0, "tiers are not reported, so HBM has it");
        assert_eq!(sketch.slowest[0].id, RequestId(1));
        assert_eq!(sketch.slowest[0].admitted_s, Some(9.0));
        assert_eq!(sketch.slowest[1].admitted_s, None, "it is not known");
        let ttft = sketch.ttft_s.as_ref().expect("answers");
        assert_eq!((ttft.at(50.0), ttft.at(99.0)), (Some(1.0), Some(12.0)));
        assert_eq!(sketch.tpot_s.and_then(|tpot| tpot.at(100.0)), Some(11.5));
        assert_eq!(sketch.e2e_s.map(|e2e| (e2e.mean, e2e.least)), Some((24.0, 24.0)));
        assert_eq!(sketch.per_token_s.map(|each| each.mean), Some(8.0), "three tokens each");
        assert_eq!((sketch.prompt_tokens.map(|all| all.mean), sketch.most_turns), (Some(100.0), 0));
    }

    #[test]
    fn a_run_without_requests_has_no_shape() {
        let sketch = Sketch::of(&[], None, &HashMap::new());
        assert!(sketch.ttft_s.is_none() && sketch.moments.is_empty() && sketch.slowest.is_empty());
    }
}
