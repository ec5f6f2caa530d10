//! `least_load` of SMG (smg-project/smg, `model_gateway/src/policies/least_load.rs` at f8daa883). The
//! least expected wait wins, in seconds:
//!
//! ```text
//! wait(w) = (waiting tokens + tokens sent since the last poll) / throughput + kv x k / (1 - k)
//! ```
//!
//! Waiting tokens: uncached tokens of the worker's queue, as it last reported them; for a report without
//! them, `mean_prompt` for each request that waits. Tokens sent: whole prompts, since the router does
//! not know here what is cached. k: KV usage, at most .999. A worker without a report, while others have
//! one, waits `mean_prompt` for each of its requests under way; without any report the fewest requests
//! win. Chance decides between equals.
//!
//! Simplified: no worker here reports how many tokens it generates a second, so `throughput` always has
//! the value that the original falls back to. The cap on waiting requests (`max_waiting_requests`),
//! which is off by default and rejects requests, is left out.

use super::kv_usage::kv_usage;
use crate::id::WorkerId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Least, lot};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;

parameters! {
    /// SMG's least_load: the shortest expected wait, with a price on full KV memory.
    pub struct SmgLeastLoad {
        /// Weight of KV usage (kv_pressure_weight).
        kv: f64 = 0.15, 0.0..=1_000.0, "s";
        /// Tokens of a request of which only the number is known (mean_prefill_tokens).
        mean_prompt: u32 = 1_024, 1..=1_000_000, "tokens";
        /// Tokens that a worker gets done in a second (default_throughput).
        throughput: f64 = 2_000.0, 0.001..=1e9, "tokens/s";
        /// How often the load of workers is read (load_check_interval_secs).
        poll_s: f64 = 10.0, 0.001..=3_600.0, "s";
    }
}

/// What was sent to each worker since the last poll: the poll's number, and tokens.
type SincePoll = BTreeMap<WorkerId, (u64, u64)>;

impl Policy for SmgLeastLoad {
    const NAME: &'static str = "smg-least-load";
    const RULE: &'static str =
        "SMG least_load: the shortest queue in seconds, polled and sent since, plus KV usage.";

    type Memory = SincePoll;

    fn memory(&self) -> SincePoll {
        SincePoll::new()
    }

    fn poll(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.poll_s))
    }

    fn observe(&self, sent: &mut SincePoll, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request, decision } => {
                let poll = self.number_of_polls(now);
                let tally = sent.entry(decision.worker).or_insert((poll, 0));
                if tally.0 != poll {
                    *tally = (poll, 0);
                }
                tally.1 += u64::from(request.prompt.tokens());
            }
            Observed::Joined(info) => {
                sent.remove(&info.worker);
            }
            _ => {}
        }
    }

    fn choose(&self, sent: &SincePoll, request: &Request, view: &FleetView<'_>) -> Choice {
        let poll = self.number_of_polls(view.now());
        let mean = f64::from(self.mean_prompt);
        let some_reported = view.workers().any(|(id, _)| view.load(id).is_some());
        let mut least = Least::new();
        for (id, worker) in view.workers() {
            let active = f64::from(worker.active());
            let wait = match view.load(id) {
                Some((load, _)) => {
                    let waiting = match load.queued_prefill_tokens {
                        0 => f64::from(load.waiting) * mean,
                        tokens => tokens as f64,
                    };
                    let since = sent.get(&id).filter(|&&(of, _)| of == poll);
                    let since = since.map_or(0, |&(_, tokens)| tokens) as f64;
                    let k = kv_usage(view, id).unwrap_or(0.0).min(0.999);
                    (waiting + since) / self.throughput + self.kv * k / (1.0 - k)
                }
                None if some_reported => active * mean / self.throughput,
                None => active,
            };
            view.note_lowest(id, wait, &[("active requests", active)]);
            least.weigh(id, wait, lot(view, request, id));
        }
        Decision::blind(least.worker().expect("a view is never empty")).into()
    }
}

impl SmgLeastLoad {
    /// Polls happen at the multiples of the interval.
    fn number_of_polls(&self, now: Instant) -> u64 {
        now.as_nanos() / Duration::from_secs_f64(self.poll_s).as_nanos().max(1)
    }
}
