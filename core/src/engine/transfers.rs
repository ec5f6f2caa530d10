//! The link and the state of KV transfers from prefill workers to decode workers.

use super::profile::{Profile, ProfileError, StepShape};
use super::store::Lease;
use crate::event::{DecodeCost, Role};
use crate::id::{RequestId, WorkerId};
use crate::link::FairLink;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The link that moves KV from prefill workers to decode workers.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvTransferLink {
    /// Bandwidth out of each prefill worker, in GB/s (10^9 bytes), shared by its transfers.
    pub gb_s: f64,
    /// Latency of each transfer on top of its time on the link, in microseconds.
    pub latency_us: f64,
    /// Timeout of a transfer in milliseconds. The decode worker then computes the prompt.
    pub timeout_ms: f64,
    /// How long a prefill worker holds KV that no decode worker has requested, in milliseconds.
    pub hold_ms: f64,
}

impl KvTransferLink {
    /// Checks the values.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), ProfileError> {
        let err = |field, why: String| Err(ProfileError { field, why });
        for (field, value) in [
            ("kv_transfer.gb_s", self.gb_s),
            ("kv_transfer.timeout_ms", self.timeout_ms),
            ("kv_transfer.hold_ms", self.hold_ms),
        ] {
            if !(value > 0.0 && value <= 1e9) {
                return err(field, format!("{value}, expected more than 0"));
            }
        }
        if !(0.0..=1e12).contains(&self.latency_us) {
            return err(
                "kv_transfer.latency_us",
                format!("{}, expected 0 or more", self.latency_us),
            );
        }
        Ok(())
    }

    /// Latency of each transfer on top of its time on the link.
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

/// Counts of KV transfers since the engine started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct KvTransferStats {
    /// Tokens whose KV this worker sent to decode workers.
    pub tokens: u64,
    /// Bytes of that KV.
    pub bytes: u64,
    /// Time with at least one transfer on the way out.
    pub sending: Duration,
    /// Transfers to this worker that failed. It computed their prompts.
    pub failed: u64,
    /// Prompts computed here whose KV no decode worker requested in time.
    pub expired: u64,
    /// Time that requests waited here for KV transfers, summed over requests.
    pub wait: Duration,
}

/// The KV transfers of one worker, in both directions.
#[derive(Debug, Default)]
pub(super) struct KvTransfers {
    pub role: Role,
    pub link: Option<KvTransferLink>,
    /// KV computed here, held for a decode worker.
    pub held: BTreeMap<RequestId, Lease>,
    /// When held KV expires, unless it is requested before.
    pub expiries: BTreeMap<RequestId, Instant>,
    /// The same in order of time.
    pub expiry_order: BTreeSet<(Instant, RequestId)>,
    /// The decode workers of held KV that is under way.
    pub destinations: BTreeMap<RequestId, WorkerId>,
    pub sending: FairLink<RequestId>,
    /// Transfers that this worker waits for, with their timeouts.
    pub awaited: BTreeMap<RequestId, Instant>,
    /// The same in order of time.
    pub deadlines: BTreeSet<(Instant, RequestId)>,
    pub stats: KvTransferStats,
}

impl KvTransfers {
    /// When the next transfer ends, times out or expires.
    pub fn next_wake(&self) -> Option<Instant> {
        let due = self.expiry_order.first().map(|&(at, _)| at);
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        Instant::earliest([due, deadline, self.sending.next_end()])
    }

    /// Whether the KV of a request is held here.
    pub fn holds(&self, id: RequestId) -> bool {
        self.held.contains_key(&id)
    }

    pub fn check_at_rest(&self) {
        assert!(self.held.is_empty(), "KV of {} prompts is still held", self.held.len());
        assert!(self.expiry_order.is_empty() && self.expiries.is_empty(), "expiries are left over");
        assert!(
            self.awaited.is_empty() && self.deadlines.is_empty(),
            "KV transfers are still awaited"
        );
    }

    /// Lets held KV stay until it has been sent.
    pub fn cancel_expiry(&mut self, id: RequestId) {
        if let Some(at) = self.expiries.remove(&id) {
            self.expiry_order.remove(&(at, id));
        }
    }

    /// Ends the wait for a transfer. Returns whether it was awaited.
    pub fn stop_waiting(&mut self, id: RequestId) -> bool {
        let deadline = self.awaited.remove(&id);
        deadline.is_some_and(|at| self.deadlines.remove(&(at, id)))
    }

    pub fn link(&self) -> &KvTransferLink {
        self.link.as_ref().expect("a worker with KV transfers has their link")
    }
}

impl Profile {
    /// Bytes of a transfer: the KV of `tokens` tokens, and a sequence's constant part.
    pub fn kv_transfer_bytes(&self, tokens: u32) -> u64 {
        let constant = f64::from(self.constant_blocks()) * self.block_bytes();
        u64::from(tokens) * self.kv_bytes_per_token + constant as u64
    }

    /// The costs for a router's estimates. Exact for one sequence and for a full batch.
    /// `link`: that of the KV transfers from prefill workers; None: there are none.
    pub fn decode_cost(&self, link: Option<&KvTransferLink>) -> DecodeCost {
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
            ns_per_context_token: self.step.growth_ns(1, 0, 0.0),
            kv_transfer_latency_ns: link.map_or(0.0, |link| link.latency_us * 1e3),
            kv_transfer_ns_per_token: link
                .map_or(0.0, |link| self.kv_bytes_per_token as f64 / link.gb_s),
        }
    }
}
