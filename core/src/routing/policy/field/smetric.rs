//! SMetric of vllm-router (`src/policies/smetric.rs` at commit 8bef7312): a session goes to the worker
//! that holds the most of it while that one meets the SLO; else the least product of work and load.
//!
//! ```text
//! work(w)   = ceil(c_lin x n + c_att x n x (L - n / 2)), with n = L - hit(w)
//! queued(w) = work sent to w without a first token yet + work(w)
//! score(w)  = queued(w) x requests(w); just queued(w) where w only computes prompts
//! meets(w)  = queued(w) / rate(w) <= slack x (slo_s + slo_per_token x L); yes while no rate is known
//! ```
//!
//! home is the worker with the most hit. It is chosen if hit(home) > hit_ratio x L, and if it meets the
//! SLO or no worker does; else the least score is. rate(w) is the 90th percentile of work / TTFT over
//! the last 64 first tokens of w, from the eighth on. Among equals, the next in turn. requests(w) does
//! not count this one, so idle workers all score 0, whatever they hold.
//!
//! Units: it counts characters, this rule counts tokens; the learned rate makes up for the scale of the
//! work. Four characters a token: SLO_PER_CHAR x 4 is `slo_per_token`.
//!
//! Defaults: vllm-router has none, its file of options must name each value. Those of its own tests are
//! taken here, except the SLO, whose unit there is not the second: 5 s is this project's choice.
//!
//! Of a chat, vllm-router expects the text up to the last answer to be held, and asks for the gate only
//! from the second turn on. Of a completion it sees just a text, as this router does: it expects the
//! whole of it, and always asks. This rule does the same.
//!
//! Its text tree (67,108,864 characters a worker) is an index of predictions here, with 16,777,216
//! tokens a worker in blocks of 16.

use crate::event::Role;
use crate::id::{SourceId, WorkerId};
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::per_worker::PerWorker;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{InFlight, Index, Predicted, Prediction, in_turn, new_tokens};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// SMetric: the worker that holds the session while it meets the SLO, else the least work x load.
    pub struct SMetric {
        /// Work of a token to compute (C_LIN).
        c_lin: f64 = 1.0, 0.0..=1_000_000.0, "";
        /// Work of a pair of tokens in attention (C_ATT).
        c_att: f64 = 0.0, 0.0..=1_000_000.0, "";
        /// Work that a worker does in a second (PREFILL_RATE). 0: learned.
        rate: f64 = 0.0, 0.0..=1e18, "1/s";
        /// Multiplies the SLO (SLACK).
        slack: f64 = 1.0, 0.0..=1_000.0, "x";
        /// A session stays where more than this part of its prompt is held (HIT_RATIO).
        hit_ratio: f64 = 0.5, 0.0..=1.0, "";
        /// SLO of the time to the first token (TTFT_SLO_BASE).
        slo_s: f64 = 5.0, 0.0..=3_600.0, "s";
        /// What each token of the prompt adds to the SLO (TTFT_SLO_PER_CHAR x 4).
        slo_per_token: f64 = 0.0, 0.0..=3_600.0, "s";
        /// Where it has it from what workers hold.
        index: Index = Index::Predicted, (), "";
    }
}

const PREDICTION: Prediction =
    Prediction { block_tokens: 16, most_blocks: u32::MAX, capacity: 1 << 20, ttl: None };

/// What was sent to each worker, and how fast it was computed.
#[derive(Debug)]
pub struct Memory {
    predicted: Predicted,
    /// The work of a request, and when it was sent; None: it is computed.
    requests: InFlight<Option<(u64, Instant)>>,
    workers: PerWorker<Prefill>,
}

#[derive(Default, Debug)]
struct Prefill {
    queued: u64,
    rates: Rates,
}

const WINDOW: usize = 64;
const MIN_SAMPLES: usize = 8;

#[derive(Debug)]
struct Rates {
    samples: [f64; WINDOW],
    seen: usize,
    p90: Option<f64>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { samples: [0.0; WINDOW], seen: 0, p90: None }
    }
}

impl Rates {
    fn record(&mut self, rate: f64) {
        self.samples[self.seen % WINDOW] = rate;
        self.seen += 1;
        let count = self.seen.min(WINDOW);
        if count >= MIN_SAMPLES {
            let mut sorted = self.samples;
            sorted[..count].sort_unstable_by(f64::total_cmp);
            self.p90 = Some(sorted[libm::round((count - 1) as f64 * 0.9) as usize]);
        }
    }
}

impl Policy for SMetric {
    const NAME: &'static str = "smetric";
    const RULE: &'static str = "SMetric: the worker that holds the session while it meets the SLO, else least work x load.";

    type Memory = Memory;

    fn memory(&self) -> Memory {
        Memory {
            predicted: Predicted::new(PREDICTION),
            requests: InFlight::default(),
            workers: PerWorker::default(),
        }
    }

    fn observe(&self, memory: &mut Memory, now: Instant, what: &Observed<'_>) {
        let Memory { predicted, requests, workers } = memory;
        if self.index == Index::Predicted {
            predicted.observe(now, what);
        }
        requests.end(what, |_, worker, sent| {
            if let (Some((work, _)), Some(of)) = (sent, workers.get_mut(worker)) {
                of.queued -= work;
            }
        });
        match *what {
            Observed::Joined(info) => {
                workers.insert(info.worker, Prefill::default());
            }
            Observed::Lost(SourceId::Worker(worker)) => {
                workers.remove(worker);
            }
            Observed::Dispatched { request, decision } => {
                let Some(of) = workers.get_mut(decision.worker) else { return };
                let tokens = request.prompt.tokens();
                let hit = decision.covered().saturating_mul(request.prompt.block_size());
                let work = self.work(tokens, tokens.saturating_sub(hit));
                of.queued += work;
                requests.begin(request.id, decision.worker, Some((work, now)));
            }
            Observed::FirstToken(id) | Observed::PrefillDone(id) => {
                let Some((worker, sent)) = requests.get_mut(id) else { return };
                let (Some((work, at)), Some(of)) = (sent.take(), workers.get_mut(*worker)) else {
                    return;
                };
                of.queued -= work;
                let elapsed = now.since(at).as_secs_f64();
                if work > 0 && elapsed > 0.0 {
                    of.rates.record(work as f64 / elapsed);
                }
            }
            _ => {}
        }
    }

    fn choose(&self, memory: &Memory, request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = memory.predicted.overlap(self.index, request, view);
        let tokens = request.prompt.tokens();
        let slo = self.slack * (self.slo_s + self.slo_per_token * f64::from(tokens));
        // The turn decides between equals.
        let mut least: Option<((u64, usize), WorkerId)> = None;
        let mut home: Option<((u32, usize), WorkerId, bool)> = None;
        let mut any_meets = false;
        for (turn, id, worker) in in_turn(view) {
            let new = new_tokens(&overlap.stored(id), request, worker);
            let of = memory.workers.get(id);
            let queued = of.map_or(0, |of| of.queued).saturating_add(self.work(tokens, new));
            let learned = of.and_then(|of| of.rates.p90);
            let rate = if self.rate > 0.0 { Some(self.rate) } else { learned };
            let meets = rate.is_none_or(|rate| queued as f64 / rate <= slo);
            any_meets |= meets;
            let batch = if worker.role() == Role::Both { u64::from(worker.active()) } else { 1 };
            let score = (queued.saturating_mul(batch), turn);
            let parts = || {
                [
                    ("queued tokens", queued as f64),
                    ("batch", batch as f64),
                    ("new tokens", f64::from(new)),
                ]
            };
            view.note_lowest(id, score.0 as f64, parts);
            if least.is_none_or(|(best, _)| score < best) {
                least = Some((score, id));
            }
            if home.is_none_or(|(best, _, _)| (new, turn) < best) {
                home = Some(((new, turn), id, meets));
            }
        }
        let (_, mut worker) = least.expect("a view is never empty");
        let ((new, _), home, meets) = home.expect("a view is never empty");
        let stays = f64::from(tokens - new) > self.hit_ratio * f64::from(tokens);
        view.note_because("the lowest score");
        if stays && (meets || !any_meets) {
            view.note_because("the fewest new tokens: the hit is long enough, and its time too");
            worker = home;
        }
        Decision::new(worker, overlap.stored(worker)).into()
    }
}

impl SMetric {
    fn work(&self, tokens: u32, new: u32) -> u64 {
        let (l, n) = (f64::from(tokens), f64::from(new));
        libm::ceil(self.c_lin * n + self.c_att * n * (l - n / 2.0)) as u64
    }
}
