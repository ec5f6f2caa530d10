//! One stretch of a request's life, while it goes on.

use super::ended::{Ended, Value, attributes};
use super::export::Queue;
use crate::clock::now;
use crate::trace_context::TraceContext;
use std::time::Instant;

/// A span that has begun. It ends when it is dropped. One that is not recorded costs nothing, and hands its parent on.
#[derive(Debug, Default)]
pub struct Span {
    context: Option<TraceContext>,
    live: Option<Box<(Ended, Queue)>>,
}

impl Span {
    pub(super) const fn unrecorded(context: Option<TraceContext>) -> Self {
        Self { context, live: None }
    }

    pub(super) fn begun(span: Ended, queue: Queue) -> Self {
        Self { context: Some(span.context), live: Some(Box::new((span, queue))) }
    }

    /// The parent of what comes next. None: there is no trace.
    pub const fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// Whether anything is recorded: what costs something to find out need not be.
    pub const fn is_recorded(&self) -> bool {
        self.live.is_some()
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some((span, _)) = self.live.as_deref_mut() {
            span.attributes.push((name, value.into()));
        }
    }

    pub fn event(&mut self, name: &'static str) {
        self.event_at(name, now());
    }

    pub fn event_at(&mut self, name: &'static str, at: Instant) {
        if let Some((span, _)) = self.live.as_deref_mut() {
            span.events.push((at, name));
        }
    }

    /// It failed. `kind`: one of few words, as metrics have them.
    pub fn fail(&mut self, kind: impl Into<Value>, why: impl Into<String>) {
        self.set(attributes::ERROR, kind);
        if let Some((span, _)) = self.live.as_deref_mut() {
            span.failed = Some(why.into());
        }
    }

    /// It ends at that instant, now or before.
    pub fn end_at(&mut self, at: Instant) {
        if let Some((mut span, queue)) = self.live.take().map(|live| *live) {
            span.end = at.max(span.start);
            queue.push(span);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end_at(now());
    }
}
