//! handover

use super::profile::{Profile, ProfileError, StepShape};
use super::store::Lease;
use crate::event::{DecodeCost, Role};
use crate::id::{RequestId, WorkerId};
use crate::link::FairLink;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The way of KV from workers that prefill to workers that decode.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoverLink {
    /// Out of each worker, in GB/s (10^9 bytes), shared by all hand-overs from it.
    pub gb_s: f64,
    /// Of each, beside its time on the link.
    pub latency_us: f64,
    /// After which one that was asked for is given up, and the prompt computed.
    pub timeout_ms: f64,
    /// How long KV that nobody has asked for is held.
    pub hold_ms: f64,
}

impl HandoverLink {
    pub fn check(&self) -> Result<(), ProfileError> {
        let err = |field, why: String| Err(ProfileError { field, why });
        for (field, value) in [
            ("handover.gb_s", self.gb_s),
            ("handover.timeout_ms", self.timeout_ms),
            ("handover.hold_ms", self.hold_ms),
        ] {
            if !(value > 0.0 && value <= 1e9) {
                return err(field, format!("{value}, expected more than 0"));
            }
        }
        if !(0.0..=1e12).contains(&self.latency_us) {
            return err("handover.latency_us", format!("{}, expected 0 or more", self.latency_us));
        }
        Ok(())
    }

    pub fn latency(&self) -> Duration {
        Duration::from_nanos_f64(self.latency_us * 1e3)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_nanos_f64(self.timeout_ms * 1e6)
    }

    pub(super) fn hold(&self) -> Duration {
        Duration::from_nanos_f64(self.hold_ms * 1e6)
    }
}

/// Counts of hand-overs since the engine began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct HandoverStats {
    /// KV that others pulled from here, to answer prompts that this worker computed.
    pub tokens: u64,
    pub bytes: u64,
    /// Time in which any of it was on its way.
    pub sending: Duration,
    /// Hand-overs to here that failed; the prompts were computed.
    pub failed: u64,
    /// Prompts that were computed for others, and that nobody came for in time.
    pub expired: u64,
    /// Time that requests waited here for hand-overs, all together.
    pub wait: Duration,
}

/// A worker's part in hand-overs.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    pub role: Role,
    pub link: Option<HandoverLink>,
    /// Computed here, for others.
    pub held: BTreeMap<RequestId, Lease>,
    /// When what nobody has asked for is let go.
    pub expiries: BTreeMap<RequestId, Instant>,
    pub due: BTreeSet<(Instant, RequestId)>,
    /// Of those that are held: on their way to whom.
    pub going: BTreeMap<RequestId, WorkerId>,
    pub sending: FairLink<RequestId>,
    /// Asked for by this worker, and until when it waits.
    pub awaited: BTreeMap<RequestId, Instant>,
    pub deadlines: BTreeSet<(Instant, RequestId)>,
    pub stats: HandoverStats,
}

impl Handovers {
    pub fn next_wake(&self) -> Option<Instant> {
        let due = self.due.first().map(|&(at, _)| at);
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        [due, deadline, self.sending.next_end()].into_iter().flatten().min()
    }

    pub fn holds(&self, id: RequestId) -> bool {
        self.held.contains_key(&id)
    }

    pub fn check_at_rest(&self) {
        assert!(self.held.is_empty(), "{} prompts are held for nobody", self.held.len());
        assert!(self.due.is_empty() && self.expiries.is_empty(), "expiries are left");
        assert!(self.awaited.is_empty() && self.deadlines.is_empty(), "hand-overs are awaited");
    }

    pub fn expires_no_more(&mut self, id: RequestId) {
        if let Some(at) = self.expiries.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    pub fn awaits_no_more(&mut self, id: RequestId) -> bool {
        let deadline = self.awaited.remove(&id);
        deadline.is_some_and(|at| self.deadlines.remove(&(at, id)))
    }

    pub fn link(&self) -> &HandoverLink {
        self.link.as_ref().expect("who hands over has a link")
    }
}

impl Profile {
    /// What the KV of so many tokens takes on a link, with what a sequence holds besides.
    pub fn handover_bytes(&self, tokens: u32) -> u64 {
        let constant = f64::from(self.constant_blocks()) * self.block_bytes();
        u64::from(tokens) * self.kv_bytes_per_token + constant as u64
    }

    /// A few numbers for a router: exact for one sequence and for a full batch.
    pub fn decode_cost(&self, link: &HandoverLink) -> DecodeCost {
        let step = |seqs: u32| {
            let mut shape = StepShape::default();
            (0..seqs).for_each(|_| shape.add_decode(0, 0));
            self.step.ns(&shape)
        };
        let (one, most) = (step(1), self.max_num_seqs);
        let more = if most > 1 { (step(most) - one) / f64::from(most - 1) } else { 0.0 };
        DecodeCost {
            step_ns: one,
            ns_per_seq: more,
            ns_per_context_token: self.step.growth_ns(1, 0),
            handover_latency_ns: link.latency_us * 1e3,
            handover_ns_per_token: self.kv_bytes_per_token as f64 / link.gb_s,
        }
    }
}
