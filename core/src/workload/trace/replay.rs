//! Recorded requests with given times, played in an open loop.

use super::infer::Inference;
use crate::block::{Chain, hash_segments};
use crate::hash::Map;
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::{TokenSource, Work};
use crate::rng::Rng;
use crate::sharing::{Requester, Scopes};
use crate::time::{Duration, Instant};
use crate::tokens::Segment;
use crate::workload::arrivals::{Gaps, TraceArrivals};
use crate::workload::phases::Phases;
use crate::workload::seen::Seen;
use std::sync::Arc;

/// One request as a trace has it.
#[derive(Clone, PartialEq, Debug)]
pub struct TimedRequest {
    /// Arrival, in milliseconds since the start of the trace.
    pub at_ms: u64,
    /// The prompt.
    pub prompt: Vec<Segment>,
    /// The length of the answer, at least 1.
    pub output_tokens: u32,
}

/// A trace with its block hashes, used by all runs on it.
#[derive(Debug)]
pub struct Trace {
    scopes: Scopes,
    requests: Vec<Prepared>,
    arrivals: TraceArrivals,
}

#[derive(Debug)]
struct Prepared {
    session: Option<SessionId>,
    tenant: TenantId,
    /// Prompt tokens that earlier requests of the session had.
    known: u32,
    at_ms: u64,
    /// The time to the next later timestamp. The request really came somewhere in it.
    tick_ms: u64,
    chain: Chain,
    segments: Arc<[Segment]>,
    prompt_tokens: u32,
    output_tokens: u32,
}

impl Trace {
    /// A trace without sessions: each request comes from another user. The tenants are those of the
    /// scopes.
    pub fn new(mut recorded: Vec<TimedRequest>, scopes: impl Into<Scopes>) -> Self {
        let scopes = scopes.into();
        recorded.sort_by_key(|request| request.at_ms);
        let mut tick = 0;
        let mut ticks = vec![0; recorded.len()];
        for i in (0..recorded.len()).rev() {
            if let Some(next) = recorded.get(i + 1) {
                let gap = next.at_ms - recorded[i].at_ms;
                tick = if gap > 0 { gap } else { tick };
            }
            ticks[i] = tick;
        }
        let prepare = |((request, tick_ms), id): ((TimedRequest, u64), u64)| {
            let tenant = scopes.tenants().deal(&[0, id]);
            let whose = Requester { tenant, session: None, request: RequestId(id) };
            let prompt_tokens = request.prompt.iter().map(Segment::tokens).sum();
            let mut segments = request.prompt;
            segments.push(Segment::Answer { tokens: request.output_tokens });
            Prepared {
                session: None,
                tenant,
                known: 0,
                at_ms: request.at_ms,
                tick_ms,
                chain: hash_segments(&scopes.plan(whose, 0), &segments),
                segments: segments.into(),
                prompt_tokens,
                output_tokens: request.output_tokens,
            }
        };
        let requests = recorded.into_iter().zip(ticks).zip(0..).map(prepare).collect();
        Self { scopes, requests, arrivals: TraceArrivals::Recorded }
    }

    /// The same trace with these arrivals. Drawn gaps keep the mean gap.
    #[must_use]
    pub fn with_arrivals(self, arrivals: TraceArrivals) -> Self {
        Self { arrivals, ..self }
    }

    /// The same trace with sessions inferred from the prefixes that prompts share in blocks of `block`
    /// tokens. Each session belongs to one tenant. The times stay the same.
    #[must_use]
    pub fn with_inferred_sessions(mut self, block: u32) -> Self {
        let mut infer = Inference::new(block);
        let mut seen: Map<u64, Seen> = Map::default();
        for (request, id) in self.requests.iter_mut().zip(0..) {
            let (_, prompt) = request.segments.split_last().expect("an answer ends every text");
            let session = infer.session_of(prompt, request.output_tokens);
            request.known = seen.entry(session).or_default().add(prompt);
            request.session = Some(SessionId(session));
            request.tenant = self.scopes.tenants().deal(&[1, session]);
            if !self.scopes.is_one() {
                let Prepared { tenant, session, .. } = *request;
                let whose = Requester { tenant, session, request: RequestId(id) };
                let scope = self.scopes.plan(whose, 0);
                request.chain = hash_segments(&scope, &request.segments);
            }
        }
        self
    }

    /// The number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether the trace has no request.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// The times at which a trace is played.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Multiplies the arrival rate of the trace.
    pub rate_scale: f64,
    /// Spreads the requests of one timestamp uniformly at random over the time to the next one. A
    /// trace's timestamps may have a resolution of seconds.
    pub tick_jitter: bool,
    /// The seed of drawn gaps and of the jitter.
    pub seed: u64,
    /// The most requests to play, from the first. None: all.
    pub limit: Option<u64>,
}

fn recorded_times(trace: &Trace, pace: Pace, count: usize) -> Vec<(Instant, u32)> {
    let mut rng = Rng::named(pace.seed, &[0x4a49_5454]);
    let time = |(request, i): (&Prepared, u32)| {
        let spread = if pace.tick_jitter { rng.unit() } else { 0.0 };
        let ms = request.at_ms as f64 + spread * request.tick_ms as f64;
        (Instant::START + Duration::from_nanos_f64(ms * 1e6 / pace.rate_scale), i)
    };
    trace.requests.iter().zip(0..).take(count).map(time).collect()
}

/// Each time is the sum of the gaps before it, so the first requests of a trace have the same times
/// with and without a limit.
fn drawn_times(trace: &Trace, gaps: Gaps, pace: Pace, count: usize) -> Vec<(Instant, u32)> {
    let (Some(first), Some(last)) = (trace.requests.first(), trace.requests.last()) else {
        return Vec::new();
    };
    let span_ms = (last.at_ms - first.at_ms) as f64;
    let mean_ns = span_ms * 1e6 / pace.rate_scale / (trace.len() as f64 - 1.0).max(1.0);
    let mut rng = Rng::named(pace.seed, &[0x4741_5053]);
    let mut at_ns = 0.0;
    let time = |i| {
        at_ns += gaps.draw(mean_ns, &mut rng);
        (Instant::START + Duration::from_nanos_f64(at_ns), i)
    };
    (0..).take(count).map(time).collect()
}

/// One run over a trace.
#[derive(Clone, Debug)]
pub struct TimedReplay {
    trace: Arc<Trace>,
    /// (send time, index of the request), in order.
    schedule: Arc<[(Instant, u32)]>,
    next: usize,
}

impl TimedReplay {
    /// A run at this pace.
    pub fn new(trace: Arc<Trace>, pace: Pace) -> Self {
        let count = trace.len().min(pace.limit.unwrap_or(u64::MAX) as usize);
        let mut schedule: Vec<(Instant, u32)> = match trace.arrivals {
            TraceArrivals::Recorded => recorded_times(&trace, pace, count),
            TraceArrivals::Drawn(gaps) => drawn_times(&trace, gaps, pace, count),
        };
        schedule.sort_unstable();
        Self { trace, schedule: schedule.into(), next: 0 }
    }

    /// The same requests at the rates of these phases. Those after their end are left out.
    #[must_use]
    pub(in crate::workload) fn in_phases(self, phases: &Phases) -> Self {
        let moved = |&(at, i): &(Instant, u32)| Some((phases.when(at.as_secs_f64())?, i));
        Self { schedule: self.schedule.iter().filter_map(moved).collect(), ..self }
    }

    /// The number of requests of the run.
    pub fn total(&self) -> u64 {
        self.schedule.len() as u64
    }

    /// When the next request is to be sent. None: all are sent.
    pub fn next_send(&self) -> Option<Instant> {
        self.schedule.get(self.next).map(|&(at, _)| at)
    }

    /// The number of requests in the first `seconds` seconds.
    pub fn due_within(&self, seconds: f64) -> u64 {
        self.schedule.partition_point(|(at, _)| at.as_secs_f64() <= seconds) as u64
    }

    /// Takes the next request. Panics if all are sent.
    pub fn send(&mut self) -> Work {
        let (_, index) = self.schedule[self.next];
        self.next += 1;
        let request = &self.trace.requests[index as usize];
        let tokens = (request.prompt_tokens, request.output_tokens);
        let text = TokenSource::new(Arc::clone(&request.segments));
        let id = RequestId(u64::from(index));
        let known = self.trace.scopes.known(request.known, 0);
        Work::new(id, request.session, &request.chain, tokens, text).of(request.tenant, known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::ScopePlan;

    fn trace(times: &[u64]) -> Trace {
        let request = |(i, &at_ms): (usize, &u64)| TimedRequest {
            at_ms,
            prompt: vec![Segment::Text { seed: i as u64, tokens: 20 }],
            output_tokens: 3,
        };
        let recorded = times.iter().enumerate().map(request).collect();
        Trace::new(recorded, &ScopePlan::new("", "", "", 16))
    }

    fn times(trace: &Arc<Trace>, pace: Pace) -> Vec<(u64, f64)> {
        let mut replay = TimedReplay::new(Arc::clone(trace), pace);
        let mut all = Vec::new();
        while let Some(at) = replay.next_send() {
            all.push((replay.send().request.id.0, at.as_secs_f64()));
        }
        all
    }

    const PACE: Pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 3, limit: None };

    #[test]
    fn recorded_times_are_sorted_scaled_and_spread() {
        let trace = Arc::new(trace(&[3_000, 0, 3_000, 9_000]));
        assert_eq!(times(&trace, PACE), [(0, 0.0), (1, 3.0), (2, 3.0), (3, 9.0)]);
        let fast = Pace { rate_scale: 3.0, ..PACE };
        assert_eq!(times(&trace, fast), [(0, 0.0), (1, 1.0), (2, 1.0), (3, 3.0)]);
        let spread = times(&trace, Pace { tick_jitter: true, ..PACE });
        assert!(spread.iter().all(|&(id, at)| match id {
            0 => (0.0..3.0).contains(&at),
            1 | 2 => (3.0..9.0).contains(&at),
            _ => at == 9.0,
        }));
    }

    #[test]
    fn drawn_gaps_keep_order_and_mean() {
        let recorded: Vec<u64> = (0..4_000).map(|i| i / 28 * 3_000).collect();
        let span = *recorded.last().unwrap() as f64 / 1e3;
        for arrivals in ["poisson", "constant", "gamma:2"] {
            let trace = trace(&recorded).with_arrivals(arrivals.parse().unwrap());
            let trace = Arc::new(trace);
            let all = times(&trace, PACE);
            assert!(all.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{arrivals}");
            let last = all.last().unwrap().1;
            assert!((last / span - 1.0).abs() < 0.15, "{arrivals}: {last} against {span}");
            let slice = times(&trace, Pace { limit: Some(10), ..PACE });
            assert_eq!(slice, all[..10], "{arrivals}");
        }
    }

    #[test]
    fn requests_of_one_timestamp_stay_together() {
        let trace = trace(&[7, 7, 7]).with_arrivals("poisson".parse().unwrap());
        assert!(times(&Arc::new(trace), PACE).iter().all(|&(_, at)| at == 0.0));
    }

    #[test]
    fn sessions_are_inferred_on_demand() {
        let text = |ids: &[u64]| -> Vec<Segment> {
            ids.iter().map(|&seed| Segment::Text { seed, tokens: 16 }).collect()
        };
        let request = |at_ms, prompt| TimedRequest { at_ms, prompt, output_tokens: 3 };
        let recorded = vec![
            request(20, text(&[0, 1, 2, 3])),
            request(10, text(&[0, 1])),
            request(15, text(&[0, 9])),
        ];
        let trace = Trace::new(recorded, &ScopePlan::new("", "", "", 16));
        let trace = Arc::new(trace.with_inferred_sessions(16));
        let mut replay = TimedReplay::new(trace, PACE);
        let sessions: Vec<_> = (0..3).map(|_| replay.send().request.session.unwrap().0).collect();
        assert_eq!(sessions, [0, 1, 0]);
    }
}
