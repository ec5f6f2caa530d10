//! How long an answer is waited for: until its worker leaves the fleet or is found silent, and until a
//! limit of time passes.

use super::flight::Failed;
use crate::call::UpstreamError;
use crate::fleet::worker::{Gone, Standing, WorkerLink};
use crate::source::event::{SILENCE, SILENT};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use warmpath_core::id::RequestId;
use warmpath_core::routing::input::Failure;
use warmpath_proto::clock::{now, since};

/// The limits of one attempt, by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub headers: Instant,
    pub first_token: Instant,
    /// Between two tokens.
    pub gap: Duration,
    /// How much longer the first token is waited for if no other worker can be tried.
    pub most: Duration,
}

/// How many gaps pass before an answer ends that no other worker can go on with.
const LAST_GAPS: u32 = 3;

/// How often a worker whose feed fell silent is looked at again, until its answer has been silent for as long.
const LOOK: Duration = Duration::from_millis(100);

/// Why an attempt is not waited for any more.
#[derive(Clone, PartialEq, Debug)]
pub enum Lapse {
    /// Its worker left the fleet, and why.
    Lost(String),
    /// Its worker answers nothing.
    Silent,
    /// A limit of time passed.
    Late(Failure),
}

/// Watches one attempt.
pub struct Patience {
    link: Arc<WorkerLink>,
    /// Of the worker, when the request was sent.
    life: u64,
    id: RequestId,
    /// Ends when the worker has been lost for a while, or is silent.
    gone: Pin<Box<dyn Future<Output = Option<Gone>> + Send>>,
    /// The end of the limit that holds now; None: there is none.
    timer: Option<Pin<Box<Sleep>>>,
    limits: Option<Limits>,
    /// When the last message of the answer came.
    heard: Instant,
    has_token: bool,
    /// A limit passed, and there was no other worker to try.
    waits_on: bool,
}

impl Patience {
    /// `limits`: None where the client alone sets a limit.
    pub fn new(
        (link, life): (Arc<WorkerLink>, u64),
        id: RequestId,
        limits: Option<Limits>,
    ) -> Self {
        let timer =
            limits.map(|limits| Box::pin(tokio::time::sleep_until(limits.first_token.into())));
        let (gone, heard) = (gone(&link, life, id), now());
        Self { link, life, id, gone, timer, limits, heard, has_token: false, waits_on: false }
    }

    /// A message of the answer came. `has_token`: it or one before it had a token.
    pub fn hear(&mut self, has_token: bool) {
        self.heard = now();
        self.waits_on = false;
        if has_token
            && !std::mem::replace(&mut self.has_token, true)
            && let (Some(limits), Some(timer)) = (self.limits, &mut self.timer)
        {
            timer.as_mut().reset((self.heard + limits.gap).into());
        }
    }

    /// A limit of time passed, and there is no other worker to try. False: it has been waited on for long
    /// enough.
    pub fn wait_on(&mut self) -> bool {
        let (Some(limits), Some(timer)) = (self.limits, &mut self.timer) else { return true };
        if std::mem::replace(&mut self.waits_on, true) {
            return false;
        }
        let more = if self.has_token { limits.gap * (LAST_GAPS - 1) } else { limits.most };
        timer.as_mut().reset((now() + more).into());
        true
    }

    /// Ready when no more of the answer is waited for. Nothing came since [`Patience::hear`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Lapse> {
        if let Poll::Ready(how) = self.poll_timer(cx) {
            return Poll::Ready(Lapse::Late(how));
        }
        loop {
            let gone = ready!(self.gone.as_mut().poll(cx));
            self.gone = self::gone(&self.link, self.life, self.id);
            match gone {
                Some(Gone::Lost(why)) if since(self.heard) >= SILENCE => {
                    return Poll::Ready(Lapse::Lost(why));
                }
                Some(Gone::Silent) if !self.has_token => return Poll::Ready(Lapse::Silent),
                Some(_) | None => {}
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let (Some(limits), Some(timer)) = (self.limits, &mut self.timer) else {
            return Poll::Pending;
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            if !self.has_token {
                return Poll::Ready(Failure::NoFirstToken);
            }
            let next = self.heard + limits.gap;
            if next <= now() {
                return Poll::Ready(Failure::Stalled);
            }
            timer.as_mut().reset(next.into());
        }
    }
}

impl Lapse {
    /// The attempt's failure. `tokens`: what the client has; `has_token`: what this worker has sent.
    pub fn failed(self, tokens: u32, has_token: bool) -> Failed {
        let (how, why) = match self {
            Self::Lost(why) if has_token => {
                (Failure::MidStream, format!("lost after {tokens} tokens: {why}"))
            }
            Self::Lost(why) => {
                (Failure::BeforeFirstToken, format!("lost before its first token: {why}"))
            }
            Self::Silent => (Failure::NoFirstToken, "it answers none of its requests".to_owned()),
            Self::Late(how @ Failure::Stalled) => {
                (how, format!("no further token in time, after {tokens} tokens"))
            }
            Self::Late(how) => (how, "no first token in time".to_owned()),
        };
        Failed { how, cause: UpstreamError::unavailable(why), at_work: true }
    }
}

/// Why a worker is gone, once that is no moment's matter. None: it is back.
fn gone(
    link: &Arc<WorkerLink>,
    life: u64,
    id: RequestId,
) -> Pin<Box<dyn Future<Output = Option<Gone>> + Send>> {
    let link = Arc::clone(link);
    Box::pin(async move {
        match link.gone(id, life).await {
            Gone::Silent => {
                link.forget(id);
                Some(Gone::Silent)
            }
            Gone::Lost(why) => {
                // A connection that broke may be back in a moment. A silent feed has had its time.
                let moment = if why == SILENT { LOOK } else { SILENCE };
                tokio::time::sleep(moment).await;
                let lost = Gone::Lost(why);
                (link.standing() != Standing::Joined || link.life() != life).then_some(lost)
            }
        }
    })
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("worker", &self.link.name).finish_non_exhaustive()
    }
}
