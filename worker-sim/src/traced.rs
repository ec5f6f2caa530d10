//! A request in traces: one span for all of it here, with its wait, its prefill and its decoding as parts. Times are
//! those of the wall clock at which the engine was due.

use crate::command::{End, Times};
use crate::config::WorkerConfig;
use std::time::Instant;
use warmpath_proto::clock::now;
use warmpath_proto::generate::Accepted;
use warmpath_proto::traces::{Kind, Span, Tracer, Value, attributes};
use warmpath_proto::transfer::Transfer;

#[derive(Debug)]
pub struct Traced {
    tracer: Tracer,
    span: Span,
    begun: Instant,
}

impl Traced {
    pub fn new(tracer: &Tracer, config: &WorkerConfig, accepted: &Accepted) -> Self {
        let begun = now();
        let mut span = tracer.span("text_completion", Kind::Server, accepted.trace, begun);
        if span.is_recorded() {
            span.set(attributes::OPERATION, "text_completion");
            span.set(attributes::PROVIDER, "warmpath");
            span.set(attributes::MODEL, config.model.as_str());
            span.set(attributes::RESPONSE_ID, accepted.request_id.as_str());
            span.set(attributes::MAX_TOKENS, accepted.max_new_tokens);
            span.set(attributes::INPUT_TOKENS, accepted.prompt.len() as u32);
            span.set("warmpath.worker", config.name.as_str());
            let part = match accepted.transfer {
                None => "whole",
                Some(Transfer::Compute) => "prefill",
                Some(Transfer::Answer(_)) => "decode",
            };
            span.set("warmpath.part", part);
        }
        Self { tracer: tracer.clone(), span, begun }
    }

    /// The worker did not take it.
    pub fn refused(&mut self, why: &str) {
        self.span.fail("refused", why);
        self.span.end_at(now());
    }

    /// The answer ended, after `made` tokens.
    pub fn ended(&mut self, end: &End, made: u32, times: Times) {
        if !self.span.is_recorded() {
            return;
        }
        let over = times.ended.unwrap_or_else(now);
        let (cached, reason) = match *end {
            End::Finished { cached_tokens, .. } => (Some(cached_tokens), "length"),
            End::Held { cached_tokens, .. } => (Some(cached_tokens), "held"),
            End::Aborted => (None, "abort"),
        };
        self.span.set(attributes::OUTPUT_TOKENS, made);
        if let Some(cached) = cached {
            self.span.set(attributes::CACHED_TOKENS, cached);
        }
        self.span.set(attributes::FINISH_REASONS, Value::Texts(vec![reason.to_owned()]));
        let mut from = self.begun;
        let ends =
            [("queue", times.admitted), ("prefill", times.first_token), ("decode", Some(over))];
        for (name, until) in ends {
            let Some(until) = until else { continue };
            // An answer of one token has no decoding.
            if until > from {
                self.tracer.part(&self.span, name, (from, until));
            }
            from = from.max(until);
        }
        self.span.end_at(over);
    }

    /// The stream ended before the answer did.
    pub fn cut(&mut self, why: &str) {
        self.span.fail("cut", why);
        self.span.end_at(now());
    }
}

/// Dropped before its end: its client waits no more.
impl Drop for Traced {
    fn drop(&mut self) {
        if self.span.is_recorded() {
            self.span.fail("client_gone", "");
        }
    }
}
