//! Consistent hashing with bounded loads on the start of the prompt, of KubeAI
//! (`internal/loadbalancer/balance_chwbl.go` at commit 08e69e54, strategy `PrefixHash`):
//!
//! ```text
//! ok(w)  = no request is under way, or requests(w) + 1 <= bound x (all requests + 1) / workers
//! choice = the first worker on the ring, from the key on, that is ok; else the first at all
//! ```
//!
//! With fewer requests than about workers / bound, no worker is ok, and each key has its own worker.
//!
//! KubeAI's key is the first 100 characters of the prompt, 25 tokens at four characters a token, with
//! the name of the adapter. Here it is the name of the prompt's first `key_blocks` blocks, since a
//! router sees no text between blocks; it covers model and adapter. If every prompt begins with the
//! same block, all have one key, and the bound alone spreads them: more blocks tell sessions apart.
//! A prompt without a full block has no key and is spread by its request's id.
//!
//! KubeAI also skips workers without the request's adapter. Here every worker serves all.

use crate::id::SourceId;
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::fleet::WorkerState;
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::{Ring, start_key};
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// KubeAI's PrefixHash: the start of a prompt has its worker, unless that one has too much to do.
    pub struct Chwbl {
        /// Requests under way that a worker may have, as a multiple of the mean
        /// (prefixHash.meanLoadFactor, in percent).
        bound: f64 = 1.25, 1.0..=1_000.0, "x mean";
        /// Places of a worker on the ring (prefixHash.replication).
        replicas: u32 = 256, 1..=65_536, "";
        /// Blocks of the prompt that are the key, in place of prefixHash.prefixCharLength.
        key_blocks: u32 = 1, 1..=1_000_000, "blocks";
    }
}

impl Policy for Chwbl {
    const NAME: &'static str = "chwbl";
    const RULE: &'static str = "KubeAI: the start of the prompt has its worker on a ring, while that one's load is bounded.";

    type Memory = Ring;

    fn memory(&self) -> Ring {
        Ring::default()
    }

    fn observe(&self, ring: &mut Ring, _now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Joined(info) => ring.add(info.worker, self.replicas, 0),
            Observed::Lost(SourceId::Worker(worker)) => ring.remove(worker),
            _ => {}
        }
    }

    fn choose(&self, ring: &Ring, request: &Request, view: &FleetView<'_>) -> Choice {
        let key = start_key(request, self.key_blocks).unwrap_or(hash_words(&[request.id.0]));
        let active = |(_, worker): (_, WorkerState<'_>)| u64::from(worker.active());
        let total: u64 = view.workers().map(active).sum();
        let limit = self.bound * (total + 1) as f64 / view.workers().len() as f64;
        let is_ok =
            |worker: WorkerState<'_>| total == 0 || f64::from(worker.active()) + 1.0 <= limit;
        let any_is_ok = view.workers().any(|(_, worker)| is_ok(worker));
        let mut candidates = ring.walk(key).filter(|&id| view.may_serve(id));
        let ok = |&id: &_| view.worker(id).is_some_and(is_ok);
        let first = if any_is_ok { candidates.find(ok) } else { candidates.next() };
        for (id, worker) in view.workers() {
            let active = f64::from(worker.active());
            view.note_lowest(id, active, || [("active requests", active), ("limit", limit)]);
        }
        view.note_because("the first worker within the limit on the ring, from the prompt's start");
        Decision::blind(first.expect("each worker is on the ring")).into()
    }
}
