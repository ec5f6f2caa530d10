//! The bounds of a run in virtual time, from its requests in the order of their arrival and of their service.

use crate::figures::Bounds;
use crate::setup::Setup;
use std::collections::HashMap;
use std::ops::Range;
use warmpath_bounds::hits::{self, Hits};
use warmpath_bounds::prefixes::{Prefixes, Use};
use warmpath_bounds::waiting::{Job, least_mean};
use warmpath_bounds::work;
use warmpath_core::engine::profile::Floor;
use warmpath_core::id::RequestId;
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
use warmpath_core::time::Instant;

/// Runs with more requests have no bounds: they would take longer than the run's own tables are worth.
const MOST_REQUESTS: usize = 200_000;

/// What a run's requests asked for.
#[derive(Debug, Default)]
pub struct Asked {
    requests: Vec<Sent>,
    places: HashMap<RequestId, usize>,
    /// Places of requests, in the order in which engines admitted them.
    served: Vec<usize>,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    prompt_tokens: u32,
    output_tokens: u32,
    uses: Use,
}

impl Asked {
    pub fn sent(&mut self, at: Instant, work: &Work) {
        if self.requests.len() > MOST_REQUESTS {
            return;
        }
        let prompt = &work.request.prompt;
        self.places.insert(work.request.id, self.requests.len());
        self.requests.push(Sent {
            at,
            prompt_tokens: prompt.tokens(),
            output_tokens: work.output_tokens,
            uses: Use {
                sequence: work.sequence.clone(),
                prompt_blocks: prompt.blocks(),
                reusable_blocks: prompt.reusable_blocks(),
            },
        });
    }

    pub fn admitted(&mut self, id: RequestId) {
        // A request that two workers share, or that is tried again, is admitted twice.
        self.served.extend(self.places.remove(&id));
    }

    /// The bounds, checked against what the run reached. None where they are not known: if a request was not
    /// answered, a device served some, there are too many, or faults let a request be tried again, which then finds
    /// what it computed itself.
    pub fn bounds(self, setup: &Setup, rate_scale: f64, recorder: &Recorder) -> Option<Bounds> {
        let answered = recorder.answered();
        let known = 1..=MOST_REQUESTS;
        let all = answered.len() == self.requests.len() && answered.len() == self.served.len();
        if !all || !known.contains(&answered.len()) || !setup.faults.is_empty() {
            return None;
        }
        // What is on a link to a tier or a pool is in no memory, for a moment.
        let tiers = setup.fleet.profiles().iter().any(|profile| !profile.tiers.is_empty());
        let in_memory = !tiers && setup.pool.is_none();
        let fleet = &setup.fleet;
        let block_size = fleet.profile().block_size;
        let prefixes = Prefixes::new(self.requests.iter().map(|request| &request.uses));
        let in_service = prefixes.in_order(self.served.iter().copied());
        let memory_blocks = memory_blocks(setup);
        let capacity = memory_blocks.unwrap_or(u64::MAX);
        let prompt_tokens: u64 = self.requests.iter().map(|r| u64::from(r.prompt_tokens)).sum();
        let share =
            |hits: Hits| (hits.cached * u64::from(block_size)) as f64 / prompt_tokens as f64;
        let cached: u64 = answered.iter().map(|request| u64::from(request.cached_tokens)).sum();
        let count = answered.len() as f64;
        let mean = |of: fn(&Sent, &Floor) -> f64, floor: &Floor| {
            self.requests.iter().map(|request| of(request, floor)).sum::<f64>() / count
        };
        let floors: Vec<Floor> =
            fleet.profiles().iter().map(|profile| profile.step.floor()).collect();
        let jobs = self.jobs(&prefixes, block_size, &floors);
        let least_work_s: f64 = jobs.iter().map(|job| job.work).sum();
        let least = |of: fn(&Sent, &Floor) -> f64| {
            floors.iter().map(|floor| mean(of, floor)).fold(f64::INFINITY, f64::min)
        };
        // The first token takes a step in any case.
        let least_ttft_mean_s =
            least_mean(&jobs, fleet.workers()).max(least(|_, floor| floor.step / 1e9));
        let rest = least(|request, floor| {
            floor.answer_ns(request.prompt_tokens, request.output_tokens) / 1e9
        });
        let span_s = match (self.requests.first(), self.requests.last()) {
            (Some(first), Some(last)) => last.at.since(first.at).as_secs_f64(),
            _ => 0.0,
        };
        let stable = rate_scale * span_s * f64::from(fleet.workers()) / least_work_s;
        let seconds = |of: fn(&warmpath_core::report::Answered) -> f64| {
            answered.iter().map(of).sum::<f64>() / count
        };
        let bounds = Bounds {
            requests: answered.len() as u64,
            hit_rate: cached as f64 / prompt_tokens as f64,
            infinite_hit_rate: share(hits::infinite(&prefixes)),
            memory_blocks,
            optimal_hit_rate: share(hits::optimal(&in_service, capacity)),
            pooled_lru_hit_rate: share(hits::pooled_lru(&in_service, capacity)),
            least_work_s,
            stable_below_rate_scale: (setup.source.concurrency().is_none() && stable > 0.0)
                .then_some(stable),
            ttft_mean_s: seconds(|request| request.ttft().as_secs_f64()),
            least_ttft_mean_s,
            latency_mean_s: seconds(|request| request.ended.since(request.sent).as_secs_f64()),
            least_latency_mean_s: least_ttft_mean_s + rest,
        };
        bounds.check(in_memory);
        Some(bounds)
    }

    /// The least work of each request, on the fastest worker of the fleet for it.
    fn jobs(&self, prefixes: &Prefixes, block_size: u32, floors: &[Floor]) -> Vec<Job> {
        let tokens: Vec<u32> = self.requests.iter().map(|request| request.prompt_tokens).collect();
        let parts = work::least(prefixes, block_size, &tokens);
        let on = |floor: &Floor, parts: &[Range<u32>]| {
            parts.iter().map(|part| floor.prompt_ns(part.end - part.start, part.start)).sum::<f64>()
        };
        let job = |(request, parts): (&Sent, Vec<Range<u32>>)| {
            let ns = floors.iter().map(|floor| on(floor, &parts)).fold(f64::INFINITY, f64::min);
            Job { arrival: request.at.as_secs_f64(), work: ns / 1e9 }
        };
        self.requests.iter().zip(parts).map(job).collect()
    }
}

/// Blocks that fit into all memories together. None: one has no limit.
fn memory_blocks(setup: &Setup) -> Option<u64> {
    let workers = setup.fleet.each_worker();
    let each = workers.into_iter().map(|profile| {
        let size = u64::from(profile.block_size);
        let tiers: u64 = profile.tiers.iter().map(|tier| tier.tokens / size).sum();
        profile.hbm_blocks().map(|hbm| hbm.saturating_add(tiers))
    });
    let size = u64::from(setup.fleet.profile().block_size);
    let pool = setup.pool.as_ref().map_or(0, |pool| pool.tokens / size);
    each.sum::<Option<u64>>().map(|workers| workers.saturating_add(pool))
}
