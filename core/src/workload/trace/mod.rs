//! Recorded workloads: requests with given times. One format a file.

pub mod mooncake;

use crate::block::{Chain, ScopePlan, TokenBlocks, hash_segments};
use crate::id::{RequestId, TenantId};
use crate::request::{Request, TokenSource, Work};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::tokens::Segment;
use std::sync::Arc;

/// One request as a trace has it.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// Milliseconds since the trace began.
    pub at_ms: u64,
    pub prompt: Vec<Segment>,
    pub output_tokens: u32,
}

/// What is wrong with a trace, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TraceError {
    #[error("no requests in it, expected one JSON object a line")]
    Empty,
    #[error("line {line}: {field}: {why}")]
    Field { line: usize, field: &'static str, why: String },
    #[error("line {line}: not a JSON object: {why}")]
    NotJson { line: usize, why: String },
    #[error("block size {block_size} does not divide the trace's {trace_block}")]
    BlockSize { block_size: u32, trace_block: u32 },
}

/// A trace with its blocks named, shared by all runs on it.
#[derive(Debug)]
pub struct Trace {
    requests: Vec<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    at_ms: u64,
    /// To the next later timestamp: requests of one tick came somewhere in it.
    tick_ms: u64,
    chain: Arc<Chain>,
    segments: Arc<[Segment]>,
    prompt_tokens: u32,
    output_tokens: u32,
}

impl Trace {
    pub fn new(mut recorded: Vec<Recorded>, scope: &ScopePlan) -> Self {
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
        let prepare = |(request, tick_ms): (Recorded, u64)| {
            let prompt_tokens = request.prompt.iter().map(Segment::tokens).sum();
            let mut segments = request.prompt;
            segments.push(Segment::Answer { tokens: request.output_tokens });
            Prepared {
                at_ms: request.at_ms,
                tick_ms,
                chain: Arc::new(hash_segments(scope, &segments)),
                segments: segments.into(),
                prompt_tokens,
                output_tokens: request.output_tokens,
            }
        };
        Self { requests: recorded.into_iter().zip(ticks).map(prepare).collect() }
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// How a trace is played.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Times the trace's own arrival rate.
    pub rate_scale: f64,
    /// Spreads the requests of one timestamp evenly at random over the time to the next.
    pub tick_jitter: bool,
    pub seed: u64,
    /// Only the first so many requests.
    pub limit: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Replay {
    trace: Arc<Trace>,
    /// (when, which), in order.
    schedule: Arc<[(Instant, u32)]>,
    next: usize,
}

impl Replay {
    pub fn new(trace: Arc<Trace>, pace: Pace) -> Self {
        let mut rng = Rng::named(pace.seed, &[0x4a49_5454]);
        let count = trace.len().min(pace.limit.unwrap_or(u64::MAX) as usize);
        let mut schedule: Vec<(Instant, u32)> = (0..count)
            .map(|i| {
                let request = &trace.requests[i];
                let spread = if pace.tick_jitter { rng.unit() } else { 0.0 };
                let ms = request.at_ms as f64 + spread * request.tick_ms as f64;
                let at = Duration::from_nanos_f64(ms * 1e6 / pace.rate_scale);
                (Instant::START + at, i as u32)
            })
            .collect();
        schedule.sort_unstable();
        Self { trace, schedule: schedule.into(), next: 0 }
    }

    pub fn total(&self) -> u64 {
        self.schedule.len() as u64
    }

    pub fn next_send(&self) -> Option<Instant> {
        self.schedule.get(self.next).map(|&(at, _)| at)
    }

    pub fn send(&mut self) -> Work {
        let (_, index) = self.schedule[self.next];
        self.next += 1;
        let request = &self.trace.requests[index as usize];
        let view = |tokens| TokenBlocks::new(Arc::clone(&request.chain), tokens);
        Work {
            request: Request {
                id: RequestId(u64::from(index)),
                session: None,
                tenant: TenantId(0),
                prompt: view(request.prompt_tokens),
                priority: 0,
                deadline: None,
            },
            sequence: view(request.prompt_tokens + request.output_tokens),
            output_tokens: request.output_tokens,
            text: TokenSource::new(Arc::clone(&request.segments)),
        }
    }
}
