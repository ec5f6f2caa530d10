//! `kvaware` of vLLM's production-stack (vllm-project/production-stack, class `KvawareRouter` of
//! `src/vllm_router/routers/routing_logic.py` at a6c01db0):
//!
//! ```text
//! first   = the first instance that the look-up names; matched = its tokens
//! matched >= max(L - threshold, 0)        -> first
//! otherwise, and where nothing is matched -> the session's worker on a hash ring;
//!                                            without a session the lowest QPS
//! ```
//!
//! The look-up is that of LMCache's controller (LMCache/LMCache, `KVController.lookup` of
//! `lmcache/v1/cache_controller`). It walks the prompt in chunks of 256 tokens. Of the instances that
//! hold a chunk, it names only the one that registered it first. So the answer's first key is the first
//! holder of the first chunk, also where another instance holds more. Load plays no part.
//!
//! Simplified: events here do not tell who registered first, so the first holder is the first in the
//! order of workers. Its own unbroken prefix counts, in whole chunks, over all tiers. (In the original
//! the offset of the last chunk counts whose first holder it is, even after chunks of others.)
//! The ring is drawn with this project's hash. The prompt of a chat is read as its text; the original
//! reads the field `prompt` only, so it does not match chats at all.
//!
//! On the command line no session key is set by default (`sessions=false`); the project's guide to this
//! rule (`tutorials/assets/values-17-kv-aware.yaml`) sets one, which is the default here.

use super::lowest_qps::LowestQps;
use crate::id::{MAX_TIERS, SourceId, WorkerId};
use crate::request::Request;
use crate::rng::hash_words;
use crate::routing::decision::{Choice, Decision};
use crate::routing::observed::Observed;
use crate::routing::policy::parameter::parameters;
use crate::routing::policy::parts::Ring;
use crate::routing::policy::rule::Policy;
use crate::routing::view::FleetView;
use crate::time::Instant;

parameters! {
    /// production-stack's kvaware: the first holder of a prompt that is cached almost whole.
    pub struct ProductionStackKvaware {
        /// Tokens of a prompt that the holder may lack (--kv-aware-threshold).
        threshold: u32 = 2_000, 0..=4_294_967_295, "tokens";
        /// What the look-up counts in (LMCache's chunk_size).
        chunk: u32 = 256, 1..=1_000_000, "tokens";
        /// Whether a session has a worker to fall back to (--session-key).
        sessions: bool = true, (), "";
        /// Time over which QPS are counted (--request-stats-window).
        window_s: f64 = 60.0, 0.001..=3_600.0, "s";
    }
}

/// Places of a worker on the ring (the default of the package uhashring).
const REPLICAS: u32 = 160;
/// Tells this rule's ring apart from those of other rules.
const RING: u64 = 0x6b76_6177;

/// What the fall-backs need.
#[derive(Debug)]
pub struct FallBack {
    ring: Ring,
    qps: LowestQps,
}

impl Policy for ProductionStackKvaware {
    const NAME: &'static str = "production-stack-kvaware";
    const RULE: &'static str =
        "production-stack kvaware: the first holder of nearly all of it, else by session or QPS.";

    type Memory = FallBack;

    fn memory(&self) -> FallBack {
        FallBack { ring: Ring::default(), qps: LowestQps::new(self.window_s) }
    }

    fn observe(&self, fall_back: &mut FallBack, now: Instant, what: &Observed<'_>) {
        fall_back.qps.observe(now, what);
        match *what {
            Observed::Joined(info) => fall_back.ring.add(info.worker, REPLICAS, RING),
            Observed::Lost(SourceId::Worker(worker)) => fall_back.ring.remove(worker),
            _ => {}
        }
    }

    fn choose(&self, fall_back: &FallBack, request: &Request, view: &FleetView<'_>) -> Choice {
        let found = view.overlap(&request.prompt);
        let tokens = request.prompt.tokens();
        let matched = |held: &[u32; MAX_TIERS]| {
            let blocks = held.iter().fold(0u32, |sum, &blocks| sum.saturating_add(blocks));
            let tokens = blocks.saturating_mul(request.prompt.block_size());
            tokens / self.chunk * self.chunk
        };
        let holders = view.workers().map(|(id, _)| (id, found.stored(id)));
        let first = holders.map(|(id, held)| (id, matched(&held))).find(|&(_, n)| n > 0);
        let first = first.filter(|&(_, n)| n >= tokens.saturating_sub(self.threshold));
        for (id, _) in view.workers_to_note() {
            view.note_highest(id, f64::from(matched(&found.stored(id))), || []);
        }
        view.note_because(match first {
            Some(_) => "the first worker whose matched tokens reach the threshold",
            None => "no match reaches the threshold: the rule's other way",
        });
        let worker = match first {
            Some((id, _)) => id,
            None => self.fall_back(fall_back, request, view),
        };
        Decision::new(worker, found.stored(worker)).into()
    }
}

impl ProductionStackKvaware {
    fn fall_back(&self, fall_back: &FallBack, request: &Request, view: &FleetView<'_>) -> WorkerId {
        let session = request.session.filter(|_| self.sessions);
        let on_ring = session.and_then(|session| {
            let key = hash_words(&[RING, session.0]);
            let can_serve = |&id: &WorkerId| view.workers().any(|(other, _)| other == id);
            fall_back.ring.walk(key).find(can_serve)
        });
        on_ring.unwrap_or_else(|| fall_back.qps.worker(view))
    }
}
