//! What each worker would have to keep, so that its latest texts are found again.

use super::in_flight::InFlight;
use crate::hash::Map;
use crate::id::{RequestId, SessionId, SourceId, WorkerId};
use crate::request::Request;
use crate::routing::observed::Observed;
use crate::routing::pending::{PendingIndex, Place};
use crate::routing::per_worker::PerWorker;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Weight of a new request in the share of those that go on with a text.
const NEW_REQUEST: f64 = 0.005;
/// The largest share that is believed: longer texts are too few to tell.
const MOST_RETURNING: f64 = 0.98;

/// The latest prompt of each text: where it was sent, and its blocks. Blocks that several texts of a
/// worker share count once.
#[derive(Debug)]
pub struct WorkingSet {
    keep: Duration,
    stays: Map<Text, Stay>,
    under_way: InFlight<Text>,
    /// When each text was used, by number, oldest first. Only a text's latest use counts.
    order: VecDeque<(u64, Text)>,
    noted: u64,
    prompts: PendingIndex,
    blocks: PerWorker<u64>,
    /// The share of requests that go on with a text, as a running mean.
    returning: f64,
}

/// A text that grows from turn to turn: what a session has said, or the prompt of a request without a
/// session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Text {
    Session(SessionId),
    Request(RequestId),
}

#[derive(Clone, Debug)]
struct Stay {
    number: u64,
    /// The latest use: a dispatch, or the end of a request.
    at: Instant,
    /// Requests under way.
    busy: u32,
    worker: WorkerId,
    /// Where the prompt ends.
    end: Place,
}

impl Text {
    fn of(request: &Request) -> Self {
        request.session.map_or(Self::Request(request.id), Self::Session)
    }
}

impl WorkingSet {
    /// A text is forgotten when it has no request under way for `keep`.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep,
            stays: Map::default(),
            under_way: InFlight::default(),
            order: VecDeque::new(),
            noted: 0,
            prompts: PendingIndex::default(),
            blocks: PerWorker::default(),
            returning: 0.0,
        }
    }

    /// Learns from what happened. A rule calls it with each thing that it observes.
    pub fn observe(&mut self, now: Instant, what: &Observed<'_>) {
        match *what {
            Observed::Dispatched { request, decision } => {
                self.expire(now);
                let text = self.note(now, request, decision.worker);
                self.under_way.begin(request.id, decision.worker, text);
                return;
            }
            Observed::Lost(SourceId::Worker(worker)) => self.forget(worker),
            Observed::Joined(info) => {
                self.forget(info.worker);
                self.blocks.of_mut(info.worker);
            }
            _ => {}
        }
        let Self { under_way, stays, order, noted, .. } = self;
        under_way.end(what, |_, _, text| {
            let Some(stay) = stays.get_mut(&text) else { return };
            *noted += 1;
            (stay.number, stay.at, stay.busy) = (*noted, now, stay.busy.saturating_sub(1));
            order.push_back((*noted, text));
        });
    }

    /// Blocks of the latest texts of a worker.
    pub fn blocks(&self, worker: WorkerId) -> u64 {
        self.blocks.get(worker).copied().unwrap_or(0)
    }

    /// The share of requests that go on with a text.
    pub const fn returning(&self) -> f64 {
        self.returning
    }

    /// How many more requests a text is expected to have after the present one, if each goes on with the
    /// same probability.
    pub fn requests_to_come(&self) -> f64 {
        self.returning / (1.0 - self.returning.min(MOST_RETURNING))
    }

    fn note(&mut self, at: Instant, request: &Request, worker: WorkerId) -> Text {
        self.noted += 1;
        let text = Text::of(request);
        // The new prompt comes before the old one goes: most of it is the same.
        let (new, end) = self.prompts.add(worker, &request.prompt);
        *self.blocks.of_mut(worker) += u64::from(new);
        let busy = 1 + self.stays.get(&text).map_or(0, |stay| stay.busy);
        let stay = Stay { number: self.noted, at, busy, worker, end };
        let before = self.stays.insert(text, stay);
        self.returning += NEW_REQUEST * (f64::from(u8::from(before.is_some())) - self.returning);
        if let Some(before) = before {
            self.leave(&before);
        }
        self.order.push_back((self.noted, text));
        if self.order.len() > 64.max(2 * self.stays.len()) {
            let Self { stays, order, .. } = self;
            order.retain(|(number, text)| stays.get(text).is_some_and(|s| s.number == *number));
        }
        text
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(number, text)) = self.order.front() {
            let latest = self.stays.get_mut(&text).filter(|stay| stay.number == number);
            match latest {
                Some(stay) if now.since(stay.at) < self.keep => return,
                Some(stay) if stay.busy > 0 => {
                    self.noted += 1;
                    (stay.number, stay.at) = (self.noted, now);
                    self.order.push_back((self.noted, text));
                }
                Some(_) => {
                    let stay = self.stays.remove(&text).expect("it was found");
                    self.leave(&stay);
                }
                None => {}
            }
            self.order.pop_front();
        }
    }

    fn leave(&mut self, stay: &Stay) {
        let gone = u64::from(self.prompts.remove(stay.worker, stay.end));
        if let Some(blocks) = self.blocks.get_mut(stay.worker) {
            *blocks -= gone;
        }
    }

    fn forget(&mut self, lost: WorkerId) {
        let Self { stays, order, prompts, .. } = self;
        order.retain(|(number, text)| {
            let Some(stay) = stays.get(text).filter(|stay| stay.number == *number) else {
                return false;
            };
            let gone = stay.worker == lost;
            if gone {
                prompts.remove(lost, stay.end);
                stays.remove(text);
            }
            !gone
        });
        self.blocks.remove(lost);
    }
}
