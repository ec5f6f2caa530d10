//! The workers: what their engines say, and their load reports.

use super::state::World;
use crate::checkers;
use crate::feeds::FeedItem;
use crate::messages::{Message, Said, TransferMessage};
use warmpath_core::engine::Output;
use warmpath_core::id::{SourceId, WorkerId};
use warmpath_core::report::Cached;
use warmpath_core::routing::input::Input;
use warmpath_core::time::Instant;

impl World<'_> {
    /// Does what is due on one engine.
    pub(super) fn step(&mut self, now: Instant, i: u32) {
        let mut outputs = core::mem::take(&mut self.outputs);
        let own = self.worker_faults.own(i, now);
        self.engines[i as usize].step(own, &mut outputs);
        checkers::after_step(&self.engines[i as usize]);
        let worker = WorkerId(i);
        for output in outputs.drain(..) {
            match output {
                Output::Admitted { id, .. } => {
                    if let Some(admitted) = &mut self.observers.admitted {
                        admitted(now, id);
                    }
                }
                Output::FirstToken { id, at } if self.attempts.on => {
                    if let Some(number) = self.attempts.number(id, worker) {
                        let heard = self.at(i, at) + self.hop;
                        self.post(heard, Message::FirstToken(Said { id, worker, number }));
                    }
                }
                Output::Finished { id, at, cached_tokens, hit, output_tokens }
                    if self.attempts.on =>
                {
                    let block_size = self.engines[i as usize].profile().block_size;
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    let found = self.found(id, Cached { tokens: cached_tokens, by_tier });
                    if let Some(number) = self.attempts.number(id, worker) {
                        let (said, heard) =
                            (Said { id, worker, number }, self.at(i, at) + self.hop);
                        self.post(heard, Message::Answered(said, found, output_tokens));
                    }
                }
                Output::FirstToken { id, at } => {
                    let heard = at + self.hop;
                    self.recorder.first_token(heard + self.hop, id);
                    self.post(heard, Message::Router(Input::FirstToken(id)));
                }
                Output::Finished { id, at, cached_tokens, hit, output_tokens } => {
                    let heard = at + self.hop;
                    let ended = heard + self.hop;
                    let block_size = self.engines[i as usize].profile().block_size;
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    let found = self.found(id, Cached { tokens: cached_tokens, by_tier });
                    self.recorder.finished(ended, id, worker, found);
                    let (cached_tokens, by_origin) = (found.tokens, Some(found.by_tier));
                    // What a router on the wire counts while it passes the answer on.
                    let output_tokens = Some(output_tokens);
                    let input = Input::Finished { id, cached_tokens, by_origin, output_tokens };
                    self.post(heard, Message::Router(input));
                    self.post(ended, Message::Ended(id));
                }
                Output::Prefilled { id, at, cached_tokens, hit } => {
                    let block_size = self.engines[i as usize].profile().block_size;
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    self.prefilled(at, id, worker, Cached { tokens: cached_tokens, by_tier });
                }
                Output::Pull { at, id, from, tokens } => {
                    let pull = TransferMessage::Pull { id, to: worker, from, tokens };
                    self.post(at, Message::Transfer(pull));
                }
                Output::KvSent { at, id, to } => self.kv_sent(at, id, to),
                Output::Kv { at, batch } => self.announced(self.at(i, at), i, batch),
                Output::Fetch { at, fetch } => self.post(at, Message::Fetch(worker, fetch)),
                Output::Put { at, run, owner } => self.post(at, Message::Put(run, owner)),
                Output::FetchServed { at, key } => {
                    self.sent(at, key, SourceId::Worker(worker), Ok(()));
                }
            }
        }
        self.outputs = outputs;
        if !core::mem::replace(&mut self.reporting[i as usize], true) {
            self.reports.insert((now + self.report_every, i));
        }
        self.leave_if_done(now, i);
        self.refresh_wake(i);
    }

    /// An instant of an engine's clock, in the world's time.
    fn at(&self, i: u32, own: Instant) -> Instant {
        self.worker_faults.world(i, own).unwrap_or(self.now)
    }

    /// A worker's next load report. A busy worker reports again; an idle one stays silent.
    pub(super) fn report(&mut self, now: Instant, i: u32) {
        self.reports.remove(&(now, i));
        if self.worker_faults.of(i).frozen {
            self.reports.insert((now + self.report_every, i));
            return;
        }
        let engine = &self.engines[i as usize];
        let report = engine.load_report();
        self.reporting[i as usize] = !engine.is_idle();
        if !engine.is_idle() {
            self.reports.insert((now + self.report_every, i));
        }
        if self.feeds.is_some() {
            self.say(now, i, FeedItem::Load(report));
        } else {
            self.post(now + self.hop, Message::Router(Input::Load(report)));
        }
    }
}
