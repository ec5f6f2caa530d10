//! Other routers before the same fleet.
//!
//! A router knows what it sent itself. What its siblings sent to the same workers it hears from them
//! ([`News`]), or sees in the workers' load reports ([`Unbooked`]). News are exact and as old as a
//! message; a report says only how much there is, and is as old as the interval of reports.

use crate::event::LoadReport;
use crate::hash::Map;
use crate::id::{ORIGINS, RequestId};
use crate::request::Request;
use crate::routing::decision::Decision;
use crate::routing::observed::Observed;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// How often a router that has no news says that it is there, in milliseconds. The live router takes this as
/// wall time.
pub const HEARTBEAT_MS: u64 = 1_000;
/// A router counts as gone when so many heartbeats in a row are missed.
pub const MISSED: u64 = 3;
/// A router that says nothing for this long counts as gone, in milliseconds: half a heartbeat more than it
/// may miss.
pub const SILENCE_MS: u64 = HEARTBEAT_MS * MISSED + HEARTBEAT_MS / 2;

/// How a router learns what others send to its fleet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// It believes that it is alone.
    Nothing,
    /// It takes what workers report beyond its own bookings for the work of others.
    LoadReports,
    /// The routers tell each other what they send and what has ended.
    #[default]
    Bookings,
}

impl Sharing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::LoadReports, Self::Bookings];

    /// As it is spelled in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::LoadReports => "load-reports",
            Self::Bookings => "bookings",
        }
    }

    /// What a router knows of the others.
    pub const fn siblings(self) -> Siblings {
        match self {
            Self::Nothing => Siblings::NONE,
            Self::LoadReports => Siblings { read_reports: true, ..Siblings::NONE },
            Self::Bookings => Siblings { tell: true, ..Siblings::NONE },
        }
    }
}

/// A router among those before one fleet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RouterId(pub u32);

/// What a router knows of the others before its fleet. By default it believes that there are none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Siblings {
    /// It tells them what it does: [`Router::take_news`](crate::routing::Router::take_news).
    pub tell: bool,
    /// It takes what a worker reports beyond what is booked there for the work of others.
    pub read_reports: bool,
}

impl Siblings {
    /// Neither.
    pub const NONE: Self = Self { tell: false, read_reports: false };

    /// Whether the router believes that it is alone.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// What a router tells its siblings. Ids are those of the router that tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum News {
    /// It sent a request to a worker.
    Sent {
        /// The request, with the names of its blocks.
        request: Request,
        /// Where it went.
        decision: Decision,
    },
    /// The prompt of a request that another worker decodes is computed.
    PrefillDone(RequestId),
    /// The prompt is computed.
    FirstToken(RequestId),
    /// The answer is complete.
    Finished {
        /// The request.
        id: RequestId,
        /// Prompt tokens that the worker did not compute.
        cached_tokens: u32,
        /// The same by where the worker had them from, if it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_origin: Option<[u32; ORIGINS]>,
        /// The length of the answer, where it was counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_tokens: Option<u32>,
    },
    /// The request ended without an answer, or an attempt at it failed.
    Cancelled(RequestId),
}

impl News {
    /// The request that it is about.
    pub const fn id(&self) -> RequestId {
        match self {
            Self::Sent { request, .. } => request.id,
            Self::PrefillDone(id)
            | Self::FirstToken(id)
            | Self::Finished { id, .. }
            | Self::Cancelled(id) => *id,
        }
    }

    /// What a router tells of an input, if that ends or advances a request.
    pub(super) fn of(what: &Observed<'_>) -> Option<Self> {
        Some(match what {
            Observed::PrefillDone(id) => Self::PrefillDone(*id),
            Observed::FirstToken(id) => Self::FirstToken(*id),
            &Observed::Finished { id, cached_tokens, by_origin, output_tokens } => {
                Self::Finished { id, cached_tokens, by_origin: by_origin.copied(), output_tokens }
            }
            Observed::Cancelled(id) => Self::Cancelled(*id),
            _ => return None,
        })
    }
}

/// The requests that siblings have under way. Each has an id of this router's own, since two routers may
/// use the same one. These ids count down from the highest, so that no client's request has one.
#[derive(Default, Debug)]
pub struct SiblingRequests {
    ids: Map<(RouterId, RequestId), RequestId>,
    heard: u64,
}

impl SiblingRequests {
    /// A new id for a request. Also returns the id of an earlier one of the same name, which is over.
    pub fn add(&mut self, router: RouterId, id: RequestId) -> (RequestId, Option<RequestId>) {
        self.heard += 1;
        let own = RequestId(u64::MAX - self.heard);
        (own, self.ids.insert((router, id), own))
    }

    /// The id of a request here.
    pub fn get(&self, router: RouterId, id: RequestId) -> Option<RequestId> {
        self.ids.get(&(router, id)).copied()
    }

    /// The same, of a request that is over.
    pub fn remove(&mut self, router: RouterId, id: RequestId) -> Option<RequestId> {
        self.ids.remove(&(router, id))
    }

    /// All requests of a router, which is gone.
    pub fn lose(&mut self, router: RouterId) -> Vec<RequestId> {
        let its = |(of, _): &(RouterId, RequestId)| *of == router;
        let mut gone: Vec<RequestId> =
            self.ids.iter().filter(|(key, _)| its(key)).map(|(_, &own)| own).collect();
        // Sorted, since a hash map is never walked in its own order. The first one has the highest id.
        gone.sort_unstable_by(|a, b| b.cmp(a));
        self.ids.retain(|key, _| !its(key));
        gone
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// The queue that a worker has beyond what is booked on it, by its last report. It is the work of siblings
/// that do not tell, as far as a report can show it. What is under way to the worker is booked and not
/// reported, so the difference is rather too small than too large.
///
/// Requests that already answer are left out. Their number says little of the next second, but all routers
/// would read the same old number and send to the same worker: that is worse than not to know it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unbooked {
    /// When the report came.
    at: Instant,
    /// Time to compute the tokens.
    work: Duration,
    queue: Waiting,
}

/// Requests on a worker that wait for their first token.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waiting {
    /// How many.
    pub requests: u32,
    /// Their prompt tokens that are not yet computed.
    pub tokens: u64,
}

impl Unbooked {
    /// The difference between a report and the bookings. `each`: the tokens that a request usually has to
    /// compute. `work`: the time to compute a prompt of so many tokens.
    pub fn new(
        now: Instant,
        report: &LoadReport,
        booked: Waiting,
        each: f64,
        work: impl Fn(u32) -> Duration,
    ) -> Self {
        let queued = report.queued_prefill_tokens;
        // A report counts requests as of the engine's last step, but tokens as of now. So requests that
        // came during a long step show in the tokens only.
        let by_tokens = libm::round(queued as f64 / each.max(1.0)) as u32;
        let waiting = report.waiting.max(by_tokens).max(u32::from(queued > 0));
        let requests = waiting.saturating_sub(booked.requests);
        let tokens = queued.saturating_sub(booked.tokens);
        // Prompts of one length.
        let prompts = u64::from(requests.max(1));
        let each = work(u32::try_from(tokens / prompts).unwrap_or(u32::MAX));
        let work = Duration::from_nanos(each.as_nanos().saturating_mul(prompts));
        Self { at: now, work, queue: Waiting { requests, tokens } }
    }

    /// The work that is left. The worker is assumed to have computed it since the report.
    pub fn work(&self, now: Instant) -> Duration {
        self.work.saturating_sub(now.since(self.at))
    }

    /// When no work is left.
    pub fn until(&self) -> Instant {
        self.at + self.work
    }

    /// What is left of the queue.
    pub fn queue(&self, now: Instant) -> Waiting {
        let (left, all) = (u128::from(self.work(now).as_nanos()), u128::from(self.work.as_nanos()));
        let part = |n: u64| (u128::from(n) * left).div_ceil(all.max(1)) as u64;
        let Waiting { requests, tokens } = self.queue;
        Waiting { requests: part(u64::from(requests)) as u32, tokens: part(tokens) }
    }
}
