//! A prompt that is computed here and answered elsewhere, or the other way round: its KV is handed over,
//! as vLLM's NIXL connector does it. The worker that computed it holds it until the one that answers
//! has pulled what it lacks, or until nobody is expected to come for it any more. The puller then
//! computes the last prompt token alone, for its logits.
//!
//! What is handed over counts in tokens: the last block, which is not full, goes with the others. A
//! hand-over that fails is a miss, never an error: the prompt is computed where it is answered.

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
    /// A worker that does only a part of what requests need. `link`: how KV comes to it or leaves it.
    #[must_use]
    pub fn with_role(mut self, role: Role, link: Option<HandoverLink>) -> Self {
        (self.handovers.role, self.handovers.link) = (role, link);
        self
    }

    /// As [`Engine::submit`], of a prompt whose answer another makes: an [`Output::Prefilled`] says
    /// that it is computed, and from then on its KV is held. `offers`: as in
    /// [`Engine::submit_offered`].
    pub fn submit_prefill(
        &mut self,
        now: Instant,
        mut work: Work,
        offers: &[Offer],
    ) -> Result<(), SubmitError> {
        if work.output_tokens == 0 {
            return Err(SubmitError::EmptyAnswer);
        }
        // One token comes out of computing a prompt; nobody sees it.
        work.output_tokens = 1;
        self.take(now, work, |sequence| {
            sequence.hands_over = true;
            sequence.offers.extend_from_slice(offers);
        })
    }

    /// As [`Engine::submit`], of a prompt that another has computed and holds.
    pub fn submit_handed(
        &mut self,
        now: Instant,
        work: Work,
        from: WorkerId,
    ) -> Result<(), SubmitError> {
        self.take(now, work, |sequence| sequence.handover = Handover::From(from))
    }

    /// Begins to send `tokens` of a prompt's KV to the worker that asked for them. When they have
    /// left, which an [`Output::HandedOver`] says, it is held no longer.
    pub fn hand_over(
        &mut self,
        now: Instant,
        id: RequestId,
        to: WorkerId,
        tokens: u32,
    ) -> Result<(), FetchError> {
        if !self.handovers.holds(id) || self.handovers.going.contains_key(&id) {
            return Err(FetchError::Missing);
        }
        self.handovers.expires_no_more(id);
        self.handovers.going.insert(id, to);
        let bytes = self.profile.handover_bytes(tokens);
        self.handovers.sending.start(now, id, bytes as f64 / self.handovers.link().gb_s);
        self.handovers.stats.tokens += u64::from(tokens);
        self.handovers.stats.bytes += bytes;
        Ok(())
    }

    /// Whether the prompt of a request is held here for another.
    pub fn holds(&self, id: RequestId) -> bool {
        self.handovers.holds(id)
    }

    /// How a hand-over to this worker ended. One that was given up before is not waited for any more.
    pub fn on_handover(&mut self, now: Instant, id: RequestId, result: Result<(), FetchError>) {
        if !self.handovers.awaits_no_more(id) {
            return;
        }
        // It may have ended meanwhile without it: what it waited for besides failed, and it computed.
        let Some(&key) = self.ids.get(&id) else { return };
        self.handovers.stats.failed += u64::from(result.is_err());
        self.scheduler.handed(now, key, result.is_ok());
        self.interrupt(now);
    }

    /// Nobody will come for what is held of a request, or nobody waits for it.
    pub(super) fn drop_handover(&mut self, now: Instant, id: RequestId) {
        self.handovers.awaits_no_more(id);
        // What is on its way is let go when it has left.
        if !self.handovers.going.contains_key(&id)
            && let Some(lease) = self.handovers.held.remove(&id)
        {
            self.handovers.expires_no_more(id);
            self.store.release(lease);
            self.room_came(now);
        }
    }

    /// Asks for what sequences that were admitted lack.
    pub(super) fn ask_for_handovers(&mut self, at: Instant, out: &mut Vec<Output>) {
        for (id, from, tokens) in self.scheduler.take_pulls() {
            let deadline = at + self.handovers.link().timeout();
            self.handovers.awaited.insert(id, deadline);
            self.handovers.deadlines.insert((deadline, id));
            out.push(Output::Pull { at, id, from, tokens });
        }
    }

    /// The prompt of a sequence is computed, and another answers it.
    pub(super) fn hold(&mut self, at: Instant, key: SeqKey, out: &mut Vec<Output>) {
        let &mut Sequence { cached_tokens, hit, .. } = self.scheduler.get_mut(key);
        let (id, lease) = self.scheduler.remove(key);
        self.ids.remove(&id);
        let until = at + self.handovers.link().hold();
        self.handovers.held.insert(id, lease.expect("it ran on a lease"));
        self.handovers.expiries.insert(id, until);
        self.handovers.due.insert((until, id));
        out.push(Output::Prefilled { id, at, cached_tokens, hit });
    }

    pub(super) fn step_handovers(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((at, id)) = self.handovers.sending.pop_ended(now) {
            let lease = self.handovers.held.remove(&id).expect("what is sent is held");
            let to = self.handovers.going.remove(&id).expect("what is sent goes to somebody");
            self.store.release(lease);
            out.push(Output::HandedOver { at, id, to });
            self.room_came(at);
        }
        while let Some(&(_, id)) = self.handovers.due.first().filter(|&&(at, _)| at <= now) {
            self.handovers.stats.expired += 1;
            self.drop_handover(now, id);
        }
        while let Some(&(_, id)) = self.handovers.deadlines.first().filter(|&&(at, _)| at <= now) {
            self.on_handover(now, id, Err(FetchError::Late));
        }
    }

    /// Who waits for room may have it now.
    pub(super) fn room_came(&mut self, now: Instant) {
        if self.scheduler.counts().0 > 0 {
            self.interrupt(now);
        }
    }

    pub fn handover_stats(&self) -> HandoverStats {
        HandoverStats {
            sending: self.handovers.sending.busy(),
            wait: self.scheduler.handover_wait,
            ..self.handovers.stats
        }
    }

    /// For a router, of a worker that decodes only.
    pub(super) fn decode_cost(&self) -> Option<DecodeCost> {
        let link = self.handovers.link.filter(|_| self.handovers.role == Role::Decode)?;
        Some(self.profile.decode_cost(&link))
    }
}
