//! A request in traces: one span for all of it, and one for each attempt, which is the parent of what its worker
//! does.

use crate::fleet::worker::WorkerLink;
use crate::incoming::Incoming;
use crate::metrics::Outcome;
use std::time::Duration;
use warmpath_core::routing::input::Decision;
use warmpath_proto::clock::now;
use warmpath_proto::traces::{Kind, Span, TraceContext, Tracer, attributes};

#[derive(Debug)]
pub struct Traced {
    tracer: Tracer,
    request: Span,
    attempt: Span,
}

impl Traced {
    /// `name`: the client's name for the request, or the router's.
    pub fn new(tracer: &Tracer, incoming: &Incoming, name: &str) -> Self {
        let start = incoming.received;
        let mut request = tracer.span("text_completion", Kind::Server, incoming.trace, start);
        if request.is_recorded() {
            request.set(attributes::OPERATION, "text_completion");
            request.set(attributes::PROVIDER, "warmpath");
            request.set(attributes::RESPONSE_ID, name);
            request.set(attributes::MAX_TOKENS, incoming.max_new_tokens);
            request.set(attributes::INPUT_TOKENS, incoming.prompt.len() as u32);
            request.set("warmpath.tenant", incoming.tenant.name.as_str());
            if let Some(session) = &incoming.session {
                request.set(attributes::CONVERSATION, session.as_str());
            }
        }
        Self { tracer: tracer.clone(), request, attempt: Span::default() }
    }

    /// The model that serves it.
    pub fn model(&mut self, model: &str) {
        self.request.set(attributes::MODEL, model);
    }

    /// A rule chose a worker.
    pub fn decided(
        &mut self,
        policy: &str,
        link: &WorkerLink,
        decision: &Decision,
        held: Duration,
    ) {
        let parent = self.request.context();
        self.attempt = self.tracer.span("attempt", Kind::Client, parent, now());
        if !self.attempt.is_recorded() {
            return;
        }
        if !held.is_zero() {
            self.attempt.set("warmpath.held_s", held.as_secs_f64());
        }
        self.attempt.set("warmpath.policy", policy);
        self.attempt.set("warmpath.worker", link.name.as_str());
        self.attempt.set(attributes::SERVER, link.url.as_str());
        if let Some(overlap) = decision.overlap {
            self.attempt.set("warmpath.expected_blocks", overlap.iter().sum::<u32>());
        }
    }

    /// What the worker of the attempt is told.
    pub const fn context(&self) -> Option<TraceContext> {
        match self.attempt.context() {
            Some(attempt) => Some(attempt),
            None => self.request.context(),
        }
    }

    /// The client has a token.
    pub fn first_token(&mut self) {
        self.request.event("first_token");
    }

    /// An attempt failed; another one may follow.
    pub fn attempt_failed(&mut self, how: &str, why: &str) {
        self.attempt.fail(how, why);
        self.attempt = Span::default();
    }

    /// The answer is whole. What is not known of it is not said.
    pub fn answered(&mut self, tokens: Option<u32>, cached: Option<u32>) {
        for span in [&mut self.attempt, &mut self.request] {
            if let Some(tokens) = tokens {
                span.set(attributes::OUTPUT_TOKENS, tokens);
            }
            if let Some(cached) = cached {
                span.set(attributes::CACHED_TOKENS, cached);
            }
        }
    }

    /// No worker has it any more.
    pub fn ended(&mut self, outcome: Outcome) {
        if outcome != Outcome::Finished {
            self.attempt.fail(outcome.name(), "");
            self.failed(outcome.name(), "");
        }
        self.attempt = Span::default();
    }

    /// Its client gets an error.
    pub fn failed(&mut self, kind: &str, why: &str) {
        self.request.fail(kind, why);
    }
}
