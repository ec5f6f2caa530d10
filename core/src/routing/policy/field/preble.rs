//! Preble's E2, "exploit and explore" (Srivatsa et al., arXiv 2407.00023;
//! `preble/global_scheduler_with_time.py`, as in public copies of its repository):
//!
//! ```text
//! exploit, if less of the prompt is new than known: the workers of the deepest known prefix
//! explore, else: all workers. Of those the least cost, the first among equals:
//! cost(w) = sum over hot prefixes of w:
//!           miss x requests x prefill(prefix) / workers of the prefix + active x output x tpot_s
//! ```
//!
//! A prompt's hot prefix is the deepest part of the tree that is longer than all before it. It counts
//! the requests of the last `window_s`, and miss is the part of their tokens that was new. active(w) is
//! how many requests with the prefix are under way on w. When no request is left in the window, the
//! prefix has no workers any more.
//!
//! prefill() is the authors' fit for Mistral 7B on an A6000 (`benchmarks/exp_configs/model_equations.py`),
//! or what each worker says of itself. Output and time per token are the values that they begin with:
//! there a request names its most tokens, and the time is the median of what was seen.
//!
//! Left out: moving prefixes when one worker costs 1.5 times another, and splitting a hot one (both from
//! 50 requests a worker on), so this understates Preble where a prefix is hot. So is the price of what
//! would be evicted, which is off there too. Another order of the known workers than theirs: there the
//! index of the least is taken for the number of a worker, which is an error.
//!
//! Its tree grows without bound. Here the prefixes used longest ago are forgotten beyond `capacity`
//! tokens a worker, unless they are hot or in use.

use super::preble_tree::{PrefillTime, Settings, Tree};
use crate::id::SourceId;
use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};

parameters! {
    /// Preble: the workers of a known prefix, or all, and of those the least work of late.
    pub struct Preble {
        /// How long a request counts (window_duration).
        window_s: f64 = 180.0, 0.001..=86_400.0, "s";
        /// Where the time to compute a prefix comes from.
        prefill: PrefillTime = PrefillTime::A6000, (), "";
        /// Tokens of an answer (max_new_tokens).
        output: f64 = 45.0, 0.0..=1_000_000.0, "tokens";
        /// Time per token of an answer (avg_topt_per_gpu).
        tpot_s: f64 = 0.15, 0.0..=3_600.0, "s";
        /// Tokens that are remembered for each worker (max_tokens_gpu).
        capacity: u32 = 198_516, 1..=1_000_000_000, "tokens";
    }
}

impl Policy for Preble {
    const NAME: &'static str = "preble";
    const RULE: &'static str =
        "Preble E2: the workers of a known prefix, or all; of those the least work of late.";

    type Memory = Tree;

    fn memory(&self) -> Tree {
        Tree::new(Settings {
            window: Duration::from_secs_f64(self.window_s),
            prefill: self.prefill,
            answer_s: self.output * self.tpot_s,
            capacity: self.capacity,
        })
    }

    fn observe(&self, tree: &mut Tree, now: Instant, what: &Observed<'_>) {
        tree.end(what);
        match *what {
            Observed::Joined(info) => tree.join(info),
            Observed::Lost(SourceId::Worker(worker)) => tree.lose(worker),
            Observed::Dispatched { request, decision } => tree.send(now, request, decision.worker),
            _ => {}
        }
    }

    fn choose(&self, tree: &Tree, request: &Request, view: &FleetView<'_>) -> Choice {
        let prompt = &request.prompt;
        let known = tree.path(prompt).last().map_or(0, |(_, agreed)| agreed);
        let known = known.saturating_mul(prompt.block_size());
        let may = |id| view.may_serve(id);
        let least = |workers: &mut dyn Iterator<Item = _>| {
            workers.filter(|&id| may(id)).min_by_key(|&id| (tree.cost(id), id))
        };
        let is_known = prompt.tokens().saturating_sub(known) < known;
        let deepest = tree.path(prompt).filter_map(|(node, _)| least(&mut node.value.workers()));
        let exploit = if is_known { deepest.last() } else { None };
        for (id, _) in view.workers_to_note() {
            view.note_lowest(id, tree.cost(id) as f64, || []);
        }
        view.note_because(match exploit {
            Some(_) => "more than half is known: the lowest cost of those that hold the most",
            None => "less than half is known: the lowest cost of all",
        });
        let worker = exploit.or_else(|| least(&mut view.workers().map(|(id, _)| id)));
        let worker = worker.expect("a view is never empty");
        let held =
            tree.path(prompt).filter(|(node, _)| node.value.workers().any(|id| id == worker));
        let held = held.last().map_or(0, |(_, agreed)| agreed);
        Decision::new(worker, [held, 0, 0, 0]).into()
    }
}
