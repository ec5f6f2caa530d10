//! The answers of a connection. An answer whose client does not read is cut, and with it its request.
//!
//! hyper takes a part of an answer, and asks for the next one when it may send. So an answer waits for its
//! client if hyper has a part of it and does not ask.

use super::limits::Note;
use crate::clock;
use crate::raw::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// What the parts of a connection know of its calls.
#[derive(Debug)]
pub struct Calls {
    opened: Instant,
    under_way: AtomicUsize,
    /// Calls since then.
    begun: AtomicU64,
    /// When the last one ended, in milliseconds since the connection was opened.
    last_end: AtomicU64,
    /// Parts of answers that were sent.
    answers: AtomicU64,
}

impl Calls {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: clock::now(),
            under_way: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        })
    }

    /// Since when there is none. None: there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        let since = self.opened + Duration::from_millis(self.last_end.load(Ordering::Relaxed));
        (self.under_way.load(Ordering::Acquire) == 0).then_some(since)
    }

    /// One more call. It ends when this is dropped.
    pub fn begin(self: &Arc<Self>) -> Under {
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Under(Arc::clone(self))
    }

    /// How many calls there have been.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

/// A call under way.
#[derive(Debug)]
pub struct Under(Arc<Calls>);

impl Drop for Under {
    fn drop(&mut self) {
        let Self(calls) = self;
        let end = clock::since(calls.opened).as_millis() as u64;
        calls.last_end.store(end, Ordering::Relaxed);
        calls.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether hyper has a part of the answer that it could not send yet, and how many it had before.
#[derive(Debug, Default)]
struct Flow {
    unsent: AtomicBool,
    parts: AtomicU64,
}

tokio::task_local! {
    /// Of the call whose task this is.
    static FLOW: Arc<Flow>;
}

/// Runs the calls of a connection.
#[derive(Clone)]
pub struct Runner {
    pub calls: Arc<Calls>,
    /// How long an answer may wait for its client.
    pub stall: Option<Duration>,
    pub note: Note,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Runner {
    fn execute(&self, call: F) {
        let under = self.calls.begin();
        let flow = Arc::<Flow>::default();
        let call = Call {
            call: Box::pin(call),
            flow: Arc::clone(&flow),
            runner: self.clone(),
            seen: 0,
            time: None,
            _under: under,
        };
        tokio::spawn(FLOW.scope(flow, call));
    }
}

/// One call.
struct Call<F> {
    call: Pin<Box<F>>,
    flow: Arc<Flow>,
    runner: Runner,
    seen: u64,
    time: Option<Pin<Box<Sleep>>>,
    _under: Under,
}

impl<F: Future<Output = ()>> Future for Call<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.call.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(stall) = self.runner.stall else { return Poll::Pending };
        if !self.flow.unsent.load(Ordering::Relaxed) {
            self.time = None;
            return Poll::Pending;
        }
        let parts = self.flow.parts.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.seen, parts) != parts {
            self.time = None;
        }
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(stall)));
        if time.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        (self.runner.note)("stall");
        // Dropping the call resets its stream and cancels its request.
        Poll::Ready(())
    }
}

/// An answer's body that notes when hyper takes a part of it.
pub struct Answer {
    body: tonic::body::Body,
    calls: Arc<Calls>,
    flow: Option<Arc<Flow>>,
    _held: Option<OwnedSemaphorePermit>,
    /// By HTTP/1.1 a call has no task of its own.
    _under: Option<Under>,
}

impl Answer {
    /// Call it in the task of its call. `held` until the answer ends.
    pub fn new(
        body: tonic::body::Body,
        calls: &Arc<Calls>,
        held: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let flow = FLOW.try_with(Arc::clone).ok();
        Self { body, calls: Arc::clone(calls), flow, _held: held, _under: None }
    }

    /// The call ends when the answer does.
    pub fn under(self, under: Option<Under>) -> Self {
        Self { _under: under, ..self }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let part = matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        if part {
            self.calls.answers.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(flow) = &self.flow {
            flow.unsent.store(part, Ordering::Relaxed);
            flow.parts.fetch_add(u64::from(part), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
