//! How long an answer is waited for: until its worker leaves the fleet or is found silent, and until a
//! limit of time passes.

use crate::call::UpstreamError;
use crate::fleet::worker::{Gone, Standing, WorkerLink};
use crate::source::event::SILENCE;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use warmpath_core::id::RequestId;
use warmpath_core::routing::input::Failure;

/// The limits of one attempt, by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub headers: Instant,
    pub first_token: Instant,
    /// Between two tokens.
    pub gap: Duration,
}

/// Watches one attempt.
pub struct Patience {
    link: Arc<WorkerLink>,
    id: RequestId,
    /// Ends when the worker has been lost for a while, or is silent.
    gone: Pin<Box<dyn Future<Output = Option<Gone>> + Send>>,
    /// The end of the limit that holds now; None: there is none.
    timer: Option<Pin<Box<Sleep>>>,
    limits: Option<Limits>,
    /// When the last message of the answer came.
    heard: Instant,
    has_token: bool,
}

impl Patience {
    /// `limits`: None where the client alone sets a limit.
    pub fn new(link: Arc<WorkerLink>, id: RequestId, limits: Option<Limits>) -> Self {
        let timer =
            limits.map(|limits| Box::pin(tokio::time::sleep_until(limits.first_token.into())));
        let (gone, heard) = (gone(&link, id), Instant::now());
        Self { link, id, gone, timer, limits, heard, has_token: false }
    }

    /// A message of the answer came. `has_token`: it or one before it had a token.
    pub fn hear(&mut self, has_token: bool) {
        self.heard = Instant::now();
        if has_token
            && !std::mem::replace(&mut self.has_token, true)
            && let (Some(limits), Some(timer)) = (self.limits, &mut self.timer)
        {
            timer.as_mut().reset((self.heard + limits.gap).into());
        }
    }

    /// Ready when no more of the answer is waited for. Nothing came since [`Patience::hear`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Failure, UpstreamError)> {
        if let Poll::Ready(late) = self.poll_timer(cx) {
            return Poll::Ready(late);
        }
        loop {
            let gone = ready!(self.gone.as_mut().poll(cx));
            self.gone = self::gone(&self.link, self.id);
            match gone {
                Some(Gone::Lost(why)) if self.heard.elapsed() >= SILENCE => {
                    let how = self.how(Failure::BeforeFirstToken, Failure::MidStream);
                    return Poll::Ready((how, UpstreamError::unavailable(format!("lost: {why}"))));
                }
                Some(Gone::Silent) if !self.has_token => {
                    let why = "it answers none of its requests";
                    return Poll::Ready((Failure::NoFirstToken, UpstreamError::unavailable(why)));
                }
                Some(_) | None => {}
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<(Failure, UpstreamError)> {
        let (Some(limits), Some(timer)) = (self.limits, &mut self.timer) else {
            return Poll::Pending;
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            let next = self.heard + limits.gap;
            if !self.has_token {
                return Poll::Ready(late(Failure::NoFirstToken, "no first token in time"));
            }
            if next <= Instant::now() {
                let why = format!("no token for {:.1} s", self.heard.elapsed().as_secs_f64());
                return Poll::Ready(late(Failure::Stalled, why));
            }
            timer.as_mut().reset(next.into());
        }
    }

    const fn how(&self, before: Failure, after: Failure) -> Failure {
        if self.has_token { after } else { before }
    }
}

fn late(how: Failure, why: impl Into<String>) -> (Failure, UpstreamError) {
    (how, UpstreamError::unavailable(why))
}

/// Why a worker is gone, once that is no moment's matter. None: it is back.
fn gone(
    link: &Arc<WorkerLink>,
    id: RequestId,
) -> Pin<Box<dyn Future<Output = Option<Gone>> + Send>> {
    let link = Arc::clone(link);
    Box::pin(async move {
        match link.gone(id).await {
            Gone::Silent => {
                link.forget(id);
                Some(Gone::Silent)
            }
            lost @ Gone::Lost(_) => {
                tokio::time::sleep(SILENCE).await;
                (link.standing() != Standing::Joined).then_some(lost)
            }
        }
    })
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("worker", &self.link.name).finish_non_exhaustive()
    }
}
