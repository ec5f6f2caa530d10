//! Requests of two workers: one computes the prompt, the other decodes. What the router's shell and the
//! link between the two workers do on the wire.

use super::split::SplitRequest;
use super::state::World;
use crate::messages::{Message, TransferMessage};
use warmpath_core::engine::SubmitError;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Cached;
use warmpath_core::routing::input::{Decision, Input};
use warmpath_core::time::Instant;

impl World<'_> {
    /// Gives the prompt to the prefill worker.
    pub(super) fn prefill(
        &mut self,
        now: Instant,
        id: RequestId,
        decision: &Decision,
        decode: WorkerId,
    ) -> Result<(), SubmitError> {
        let work = self.works[&id].clone();
        self.splits.insert(id, SplitRequest { decode, found: None });
        let engine = &mut self.engines[decision.worker.0 as usize];
        let offers = self.pool.offers(engine, &work.request.prompt, decision.pull);
        let done = engine.submit_prefill(now, work, &offers);
        self.refresh_wake(decision.worker.0);
        done
    }

    /// The prompt is computed: the router hears of it and sends the request to the decode worker.
    pub(super) fn prefilled(&mut self, at: Instant, id: RequestId, from: WorkerId, found: Cached) {
        let split = self.splits.get_mut(&id).expect("a request of two workers");
        split.found = Some(found);
        let to = split.decode;
        let heard = at + self.hop;
        self.post(heard, Message::Router(Input::PrefillDone(id)));
        self.post(heard + self.hop, Message::Transfer(TransferMessage::Computed { id, to, from }));
    }

    pub(super) fn transfer(&mut self, now: Instant, message: TransferMessage) {
        match message {
            TransferMessage::Computed { id, to, from } => {
                let work = self.works.remove(&id).expect("a request is answered once");
                self.recorder.placed(id, to);
                match self.engines[to.0 as usize].submit_handed(now, work, from) {
                    Ok(()) => self.refresh_wake(to.0),
                    Err(error) => {
                        self.engines[from.0 as usize].cancel(now, id);
                        self.refresh_wake(from.0);
                        self.refuse(now, id, error);
                    }
                }
            }
            TransferMessage::Pull { id, to, from, tokens } => {
                let begun = self.engines[from.0 as usize].send_kv(now, id, to, tokens);
                self.refresh_wake(from.0);
                if begun.is_err() {
                    let arrived = TransferMessage::Arrived { id, to, result: begun };
                    self.post(now + self.hop, Message::Transfer(arrived));
                }
            }
            TransferMessage::Arrived { id, to, result } => {
                self.engines[to.0 as usize].kv_transfer_ended(now, id, result);
                self.refresh_wake(to.0);
            }
        }
    }

    /// The KV has left for the decode worker. The link's latency comes on top.
    pub(super) fn kv_sent(&mut self, at: Instant, id: RequestId, to: WorkerId) {
        let latency = self.kv_transfer_latency;
        self.post(
            at + latency,
            Message::Transfer(TransferMessage::Arrived { id, to, result: Ok(()) }),
        );
    }

    /// What counts as found of a request: what the worker that computed its prompt found.
    pub(super) fn found(&mut self, id: RequestId, found: Cached) -> Cached {
        let split = self.splits.remove(&id);
        split.and_then(|split| split.found).unwrap_or(found)
    }
}
