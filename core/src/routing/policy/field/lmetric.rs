//! LMetric (Zhang et al., arXiv 2603.15202), a product in place of a weighted sum:
//!
//! ```text
//! score(w) = (queued(w) + L - hit(w)) x (requests(w) + 1)
//! ```
//!
//! queued(w): prompt tokens booked on w and not yet computed, without cached ones; L - hit(w): the
//! tokens of this prompt that w would compute; requests(w): its requests under way. The least score
//! wins. The paper names no order between equals; here chance decides.
//!
//! Its summary says "batch size". An implementation that follows its text multiplies by the batch size
//! plus one (pull request 11028 of Dynamo), so this rule does. With the batch size alone, as agentic-kvc has it, every
//! idle worker scores 0, whatever it holds. What is left of that: where a worker holds nearly all of the
//! prompt and has nothing queued, it hardly counts how many requests it decodes.
//!
//! Simplified: the batch is all requests under way, also those that the worker has not begun. Blocks
//! of every tier count as held.

use crate::request::Request;
use crate::routing::decision::{Choice, Decision};
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Least, lot, new_tokens};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;

parameters! {
    /// LMetric: tokens to compute times the size of the batch.
    pub struct LMetric {}
}

impl Policy for LMetric {
    const NAME: &'static str = "lmetric";
    const RULE: &'static str =
        "LMetric: least product of prompt tokens to compute and requests under way.";

    type Memory = ();

    fn memory(&self) {}

    fn choose(&self, (): &(), request: &Request, view: &FleetView<'_>) -> Choice {
        let overlap = view.overlap(&request.prompt);
        let mut least = Least::new();
        for (id, worker) in view.workers() {
            let new = new_tokens(&overlap.stored(id), request, worker);
            let batch = u64::from(worker.active()) + 1;
            let score = (worker.queued_tokens() + u64::from(new)).saturating_mul(batch);
            let parts = || {
                [
                    ("queued tokens", worker.queued_tokens() as f64),
                    ("new tokens", f64::from(new)),
                    ("batch", batch as f64),
                ]
            };
            view.note_lowest(id, score as f64, parts);
            least.weigh(id, score, lot(view, request, id));
        }
        let worker = least.worker().expect("a view is never empty");
        Decision::new(worker, overlap.stored(worker)).into()
    }
}
