//! KV transfer: a prefill worker computes a prompt, a decode worker answers it, as with vLLM's NIXL
//! connector. The prefill worker holds the KV until the decode worker has pulled the part that it
//! lacks, or until the hold time is over. The decode worker then computes the last prompt token
//! alone, for its logits.
//!
//! A transfer is counted in tokens, because the last block may be partly filled. A failed transfer
//! is a cache miss, not an error: the decode worker computes the prompt.
use super::handover::{HandoverLink, HandoverStats};
use super::output::{FetchError, Output, SubmitError};
use super::sequence::{Handover, SeqKey, Sequence};
use super::store::Offer;
use super::worker::Engine;
use crate::event::{DecodeCost, Role};
use crate::id::{RequestId, WorkerId};
use crate::request::Work;
use crate::time::Instant;

impl Engine {
    /// Sets the worker's role, and the link of its KV transfers.
    #[must_use]
    pub fn with_role(mut self, role: Role, link: Option<HandoverLink>) -> Self {
        (self.handovers.role, self.handovers.link) = (role, link);
        self
    }

    /// As [`Engine::submit_offered`], for a prompt whose answer a decode worker makes. An
    /// [`Output::Prefilled`] reports its end, and from then on the engine holds its KV.
    pub fn submit_prefill(
        &mut self,
        now: Instant,
        mut work: Work,
        offers: &[Offer],
    ) -> Result<(), SubmitError> {
        if work.output_tokens == 0 {
            return Err(SubmitError::EmptyAnswer);
        }
        // Computing a prompt makes one token, which is not reported.
        work.output_tokens = 1;
        self.accept(now, work, |sequence| {
            sequence.prefill_only = true;
            sequence.offers.extend_from_slice(offers);
        })
    }

    /// As [`Engine::submit`], for a prompt that the prefill worker `from` has computed and holds.
    pub fn submit_handed(
        &mut self,
        now: Instant,
        work: Work,
        from: WorkerId,
    ) -> Result<(), SubmitError> {
        self.accept(now, work, |sequence| sequence.handover = Handover::From(from))
    }

    /// Starts to send the KV of `tokens` prompt tokens to the decode worker `to`. An
    /// [`Output::HandedOver`] reports when they have left and are no longer held.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if the KV is not held here, or is already under way.
    pub fn hand_over(
        &mut self,
        now: Instant,
        id: RequestId,
        to: WorkerId,
        tokens: u32,
    ) -> Result<(), FetchError> {
        if !self.handovers.holds(id) || self.handovers.destinations.contains_key(&id) {
            return Err(FetchError::Missing);
        }
        self.handovers.cancel_expiry(id);
        self.handovers.destinations.insert(id, to);
        let bytes = self.profile.handover_bytes(tokens);
        self.handovers.sending.start(now, id, bytes as f64 / self.handovers.link().gb_s);
        self.handovers.stats.tokens += u64::from(tokens);
        self.handovers.stats.bytes += bytes;
        Ok(())
    }

    /// Whether this worker holds the KV of a request for a decode worker.
    pub fn holds(&self, id: RequestId) -> bool {
        self.handovers.holds(id)
    }

    /// Ends a KV transfer to this worker. Ignores one that has already timed out.
    pub fn on_handover(&mut self, now: Instant, id: RequestId, result: Result<(), FetchError>) {
        if !self.handovers.stop_waiting(id) {
            return;
        }
        // The sequence may have ended without it: a fetch failed, and it computed its prompt.
        let Some(&key) = self.ids.get(&id) else { return };
        self.handovers.stats.failed += u64::from(result.is_err());
        self.scheduler.kv_transfer_ended(now, key, result.is_ok());
        self.interrupt(now);
    }

    /// Releases the KV held for a request, and ends the wait for its transfer.
    pub(super) fn drop_handover(&mut self, now: Instant, id: RequestId) {
        self.handovers.stop_waiting(id);
        // KV under way is released when it has left.
        if !self.handovers.destinations.contains_key(&id)
            && let Some(lease) = self.handovers.held.remove(&id)
        {
            self.handovers.cancel_expiry(id);
            self.store.release(lease);
            self.retry_admission(now);
        }
    }

    /// Reports the KV transfers that newly admitted sequences need.
    pub(super) fn announce_pulls(&mut self, at: Instant, out: &mut Vec<Output>) {
        for (id, from, tokens) in self.scheduler.take_pulls() {
            let deadline = at + self.handovers.link().timeout();
            self.handovers.awaited.insert(id, deadline);
            self.handovers.deadlines.insert((deadline, id));
            out.push(Output::Pull { at, id, from, tokens });
        }
    }

    /// Holds the KV of a computed prompt for its decode worker.
    pub(super) fn hold_prefilled(&mut self, at: Instant, key: SeqKey, out: &mut Vec<Output>) {
        let &mut Sequence { cached_tokens, hit, .. } = self.scheduler.get_mut(key);
        let (id, lease) = self.scheduler.remove(key);
        self.ids.remove(&id);
        let until = at + self.handovers.link().hold();
        self.handovers.held.insert(id, lease.expect("the lease of a computed prompt"));
        self.handovers.expiries.insert(id, until);
        self.handovers.expiry_order.insert((until, id));
        out.push(Output::Prefilled { id, at, cached_tokens, hit });
    }

    /// Does the KV transfers' part of a step.
    pub(super) fn step_handovers(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, id)) = self.handovers.sending.pop_ended(now) {
            let lease = self.handovers.held.remove(&id).expect("the held KV of a transfer");
            let to =
                self.handovers.destinations.remove(&id).expect("the destination of a transfer");
            self.store.release(lease);
            out.push(Output::HandedOver { at, id, to });
            self.retry_admission(at);
        }
        while let Some(&(_, id)) = self.handovers.expiry_order.first().filter(|&&(at, _)| at <= now)
        {
            self.handovers.stats.expired += 1;
            self.drop_handover(now, id);
        }
        while let Some(&(_, id)) = self.handovers.deadlines.first().filter(|&&(at, _)| at <= now) {
            self.on_handover(now, id, Err(FetchError::Late));
        }
    }

    /// Lets the scheduler try again to admit waiting requests, because room was freed.
    pub(super) fn retry_admission(&mut self, now: Instant) {
        if self.scheduler.counts().0 > 0 {
            self.interrupt(now);
        }
    }

    /// Counts of KV transfers since the engine started.
    pub fn handover_stats(&self) -> HandoverStats {
        HandoverStats {
            sending: self.handovers.sending.busy(),
            wait: self.scheduler.handover_wait,
            ..self.handovers.stats
        }
    }

    /// A decode worker's costs, for a router; None for other roles.
    pub(super) fn decode_cost(&self) -> Option<DecodeCost> {
        let link = self.handovers.link.filter(|_| self.handovers.role == Role::Decode)?;
        Some(self.profile.decode_cost(&link))
    }
}
