//! KV transfer: a prefill worker computes a prompt, a decode worker answers it, as with vLLM's NIXL
//! connector. The prefill worker holds the KV until the decode worker has pulled the part that it
//! lacks, or until the hold time is over. The decode worker then computes the last prompt token
//! alone, for its logits.
//!
//! A transfer is counted in tokens, because the last block may be partly filled. A failed transfer
//! is a cache miss, not an error: the decode worker computes the prompt.
use super::output::{FetchError, Output, SubmitError};
use super::sequence::{KvTransfer, SeqKey, Sequence};
use super::store::Offer;
use super::transfers::{KvTransferLink, KvTransferStats};
use super::worker::Engine;
use crate::event::{DecodeCost, Role};
use crate::id::{RequestId, WorkerId};
use crate::request::Work;
use crate::time::Instant;

impl Engine {
    /// Sets the worker's role, and the link of its KV transfers.
    #[must_use]
    pub fn with_role(mut self, role: Role, link: Option<KvTransferLink>) -> Self {
        (self.kv_transfers.role, self.kv_transfers.link) = (role, link);
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
        self.accept(now, work, |sequence| sequence.kv_transfer = KvTransfer::From(from))
    }

    /// Starts to send the KV of `tokens` prompt tokens to the decode worker `to`. An
    /// [`Output::KvSent`] reports when they have left and are no longer held.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if the KV is not held here, or is already under way.
    pub fn send_kv(
        &mut self,
        now: Instant,
        id: RequestId,
        to: WorkerId,
        tokens: u32,
    ) -> Result<(), FetchError> {
        if !self.kv_transfers.holds(id) || self.kv_transfers.destinations.contains_key(&id) {
            return Err(FetchError::Missing);
        }
        self.kv_transfers.cancel_expiry(id);
        self.kv_transfers.destinations.insert(id, to);
        let bytes = self.profile.kv_transfer_bytes(tokens);
        self.kv_transfers.sending.start(now, id, bytes as f64 / self.kv_transfers.link().gb_s);
        self.kv_transfers.stats.tokens += u64::from(tokens);
        self.kv_transfers.stats.bytes += bytes;
        Ok(())
    }

    /// Whether this worker holds the KV of a request for a decode worker.
    pub fn holds(&self, id: RequestId) -> bool {
        self.kv_transfers.holds(id)
    }

    /// Ends a KV transfer to this worker. Ignores one that has already timed out.
    pub fn kv_transfer_ended(
        &mut self,
        now: Instant,
        id: RequestId,
        result: Result<(), FetchError>,
    ) {
        if !self.kv_transfers.stop_waiting(id) {
            return;
        }
        // The sequence may have ended without it: a fetch failed, and it computed its prompt.
        let Some(&key) = self.ids.get(&id) else { return };
        self.kv_transfers.stats.failed += u64::from(result.is_err());
        self.scheduler.kv_transfer_ended(now, key, result.is_ok());
        self.interrupt(now);
    }

    /// Releases the KV held for a request, and ends the wait for its transfer.
    pub(super) fn drop_held_kv(&mut self, now: Instant, id: RequestId) {
        self.kv_transfers.stop_waiting(id);
        // KV under way is released when it has left.
        if !self.kv_transfers.destinations.contains_key(&id)
            && let Some(lease) = self.kv_transfers.held.remove(&id)
        {
            self.kv_transfers.cancel_expiry(id);
            self.store.release(lease);
            self.retry_admission(now);
        }
    }

    /// Reports the KV transfers that newly admitted sequences need.
    pub(super) fn announce_pulls(&mut self, at: Instant, out: &mut Vec<Output>) {
        for (id, from, tokens) in self.scheduler.take_pulls() {
            let deadline = at + self.kv_transfers.link().timeout();
            self.kv_transfers.awaited.insert(id, deadline);
            self.kv_transfers.deadlines.insert((deadline, id));
            out.push(Output::Pull { at, id, from, tokens });
        }
    }

    /// Holds the KV of a computed prompt for its decode worker.
    pub(super) fn hold_prefilled(&mut self, at: Instant, key: SeqKey, out: &mut Vec<Output>) {
        let &mut Sequence { cached_tokens, hit, .. } = self.scheduler.get_mut(key);
        let (id, lease) = self.scheduler.remove(key);
        self.ids.remove(&id);
        let until = at + self.kv_transfers.link().hold();
        self.kv_transfers.held.insert(id, lease.expect("the lease of a computed prompt"));
        self.kv_transfers.expiries.insert(id, until);
        self.kv_transfers.expiry_order.insert((until, id));
        out.push(Output::Prefilled { id, at, cached_tokens, hit });
    }

    /// Does the KV transfers' part of a step.
    pub(super) fn step_kv_transfers(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, id)) = self.kv_transfers.sending.pop_ended(now) {
            let lease = self.kv_transfers.held.remove(&id).expect("the held KV of a transfer");
            let to =
                self.kv_transfers.destinations.remove(&id).expect("the destination of a transfer");
            self.store.release(lease);
            out.push(Output::KvSent { at, id, to });
            self.retry_admission(at);
        }
        while let Some(&(_, id)) =
            self.kv_transfers.expiry_order.first().filter(|&&(at, _)| at <= now)
        {
            self.kv_transfers.stats.expired += 1;
            self.drop_held_kv(now, id);
        }
        while let Some(&(_, id)) = self.kv_transfers.deadlines.first().filter(|&&(at, _)| at <= now)
        {
            self.kv_transfer_ended(now, id, Err(FetchError::Late));
        }
    }

    /// Lets the scheduler try again to admit waiting requests, because room was freed.
    pub(super) fn retry_admission(&mut self, now: Instant) {
        if self.scheduler.counts().0 > 0 {
            self.interrupt(now);
        }
    }

    /// Counts of KV transfers since the engine started.
    pub fn kv_transfer_stats(&self) -> KvTransferStats {
        KvTransferStats {
            sending: self.kv_transfers.sending.busy(),
            wait: self.scheduler.kv_transfer_wait,
            ..self.kv_transfers.stats
        }
    }

    /// What decoding costs, for a router; None for a worker that only computes prompts.
    pub(super) fn decode_cost(&self) -> Option<DecodeCost> {
        let role = self.kv_transfers.role;
        let link = self.kv_transfers.link.as_ref().filter(|_| role == Role::Decode);
        (role != Role::Prefill).then(|| self.profile.decode_cost(link))
    }
}
