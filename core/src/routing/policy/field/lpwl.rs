//! Least prefill work left, of agentic-kvc (`scripts/cache_aware_proxy.py` at commit d9046322, by its
//! description; the file itself could not be read). It is LMetric without the factor:
//!
//! ```text
//! score(w) = queued(w) + max(0, L - hit(w))
//! ```
//!
//! queued(w): prompt tokens booked on w and not yet computed, without cached ones; L - hit(w): the
//! tokens of this prompt that w would compute. The least score wins; among equals the fewest requests
//! under way; among those the next in turn. Its authors' reason: agents' prompts are long and their
//! answers short, so that prompt tokens are the only load worth counting.
//!
//! Simplified: blocks of every tier count as held.

use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{in_turn, new_tokens};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;

parameters! {
    /// LPWL: the least prefill work left, this prompt's included.
    pub struct Lpwl {}
}

impl Policy for Lpwl {
    const NAME: &'static str = "lpwl";
    const RULE: &'static str = "LPWL: least prompt tokens to compute, this prompt's included.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let least = in_turn(view).min_by_key(|&(turn, id, worker)| {
            let new = new_tokens(&overlap.stored(id), request, worker);
            let waits = worker.queued_tokens() + u64::from(new);
            let parts = || {
                [
                    ("queued tokens", worker.queued_tokens() as f64),
                    ("new tokens", f64::from(new)),
                    ("active requests", f64::from(worker.active())),
                ]
            };
            view.note_lowest(id, waits as f64, parts);
            (waits, worker.active(), turn)
        });
        let (_, worker, _) = least.expect("a view is never empty");
        Decision::new(worker, overlap.stored(worker)).into()
    }
}
