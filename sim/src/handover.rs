//! Prompts that one worker computes and another answers: what the router's shell and the link between
//! the two do on the wire.

use crate::mail::Letter;
use crate::world::World;
use warmpath_core::engine::{FetchError, SubmitError};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Cached;
use warmpath_core::routing::input::{Decision, Input};
use warmpath_core::time::{Duration, Instant};

/// What becomes of a hand-over, and to whom it is said.
#[derive(Debug)]
pub enum Hand {
    /// To who answers: the prompt is computed there.
    Over { id: RequestId, to: WorkerId, from: WorkerId },
    /// To who computed it: so much of it is asked for.
    Pull { id: RequestId, to: WorkerId, from: WorkerId, tokens: u32 },
    /// To who answers: it is there, or will not come.
    Came { id: RequestId, to: WorkerId, result: Result<(), FetchError> },
}

/// Where a request that two workers share stands.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    decode: WorkerId,
    /// What the worker that computed the prompt found of it.
    found: Option<Cached>,
}

impl World<'_> {
    /// Gives the prompt to the first of two workers.
    pub fn prefill(
        &mut self,
        now: Instant,
        id: RequestId,
        decision: &Decision,
        decode: WorkerId,
    ) -> Result<(), SubmitError> {
        let work = self.works[&id].clone();
        self.shares.insert(id, Shared { decode, found: None });
        let engine = &mut self.engines[decision.worker.0 as usize];
        let offers = self.shared.offers(engine, &work.request.prompt, decision.pull);
        let done = engine.submit_prefill(now, work, &offers);
        self.refresh_wake(decision.worker.0);
        done
    }

    /// The first worker is done: the router hears of it, and sends the request on.
    pub fn prefilled(&mut self, at: Instant, id: RequestId, from: WorkerId, found: Cached) {
        let share = self.shares.get_mut(&id).expect("a request of two workers");
        share.found = Some(found);
        let to = share.decode;
        let heard = at + self.hop;
        self.post(heard, Letter::Heard(Input::PrefillDone(id)));
        self.post(heard + self.hop, Letter::Hand(Hand::Over { id, to, from }));
    }

    pub fn hand(&mut self, now: Instant, hand: Hand) {
        match hand {
            Hand::Over { id, to, from } => {
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
            Hand::Pull { id, to, from, tokens } => {
                let begun = self.engines[from.0 as usize].hand_over(now, id, to, tokens);
                self.refresh_wake(from.0);
                if begun.is_err() {
                    let came = Hand::Came { id, to, result: begun };
                    self.post(now + self.hop, Letter::Hand(came));
                }
            }
            Hand::Came { id, to, result } => {
                self.engines[to.0 as usize].on_handover(now, id, result);
                self.refresh_wake(to.0);
            }
        }
    }

    /// KV has left for who answers; the latency of the way comes on top.
    pub fn handed_over(&mut self, at: Instant, id: RequestId, to: WorkerId) {
        let latency = self.handover_latency;
        self.post(at + latency, Letter::Hand(Hand::Came { id, to, result: Ok(()) }));
    }

    /// What counts as found of a request: what who computed its prompt found.
    pub fn found(&mut self, id: RequestId, found: Cached) -> Cached {
        let share = self.shares.remove(&id);
        share.and_then(|share| share.found).unwrap_or(found)
    }
}

pub fn latency(scenario: &crate::Scenario) -> Duration {
    scenario.handover.map_or(Duration::ZERO, |link| link.latency())
}
