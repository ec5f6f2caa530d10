//! A request, and what it takes to send it: once, or again after a failure.

use super::naming::{self, Named};
use crate::call::{AnswerPart, Ids};
use crate::capture::{Arrived, Capturing};
use crate::fleet::status::FleetTerms;
use crate::incoming::Incoming;
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::id::RequestId;
use warmpath_core::request::Request;

/// A request that is under way. Its prompt grows by the part of the answer that the client has when the
/// answer is resumed.
#[derive(Debug)]
pub struct Job {
    pub terms: Arc<FleetTerms>,
    pub incoming: Incoming,
    pub named: Named,
    /// Answer tokens at the end of the prompt.
    pub answered: u32,
    /// The ids of the answer tokens that came since. With them it is what the client has.
    since: Vec<u32>,
    /// Whether the answer may still be resumed.
    pub resumable: bool,
    /// Where traffic is captured.
    capturing: Option<Capturing>,
}

impl Job {
    /// `upstream_id`: of the first attempt.
    pub fn new(
        state: &RouterState,
        terms: &Arc<FleetTerms>,
        incoming: Incoming,
        upstream_id: &str,
    ) -> Self {
        let named = naming::name(state, terms, &incoming, upstream_id);
        let resumable = incoming.resumable && state.config.reliability.resumes();
        let terms = Arc::clone(terms);
        let capturing = state.capture.as_ref().map(|capture| {
            let plan = named.scope.plan(&named.salt, &terms.model, terms.block_size);
            let arrived = Arrived {
                at: incoming.received,
                session: naming::session(&incoming).map(|session| session.0),
                priority: incoming.priority,
                prompt: &incoming.prompt,
                asked: incoming.max_new_tokens,
            };
            capture.begin(&arrived, named.prompt.clone(), plan)
        });
        Self { terms, incoming, named, answered: 0, since: Vec::new(), resumable, capturing }
    }

    /// Envoy sends it, so nothing but its end is waited for here.
    pub fn sent_elsewhere(&mut self) {
        self.resumable = false;
        self.answers();
    }

    /// Envoy has handed out so many tokens of the answer.
    pub fn handed_out(&mut self, tokens: u32) {
        if let Some(capturing) = &mut self.capturing {
            capturing.hand_out(tokens, None);
        }
    }

    /// Whether the ids of the answer's tokens are needed, also where the client does not want them.
    pub const fn needs_ids(&self) -> bool {
        self.resumable || self.capturing.is_some()
    }

    /// A part of the answer goes to the client.
    pub fn hand_out(&mut self, part: &mut AnswerPart) {
        let ids: Option<Ids> = part.ids.take();
        if let Some(capturing) = &mut self.capturing {
            capturing.hand_out(part.tokens, ids.as_ref());
        }
        match ids {
            Some(ids) if self.resumable => self.since.extend_from_slice(&ids),
            Some(_) => {}
            None => self.end_resuming(),
        }
    }

    /// The first token came: what only a request without one needs is released.
    pub fn answers(&mut self) {
        self.incoming.body.release();
        if !self.resumable {
            self.end_resuming();
        }
    }

    fn end_resuming(&mut self) {
        (self.incoming.prompt, self.since) = (Vec::new(), Vec::new());
        self.resumable = false;
    }

    /// The request as the core router sees it.
    pub fn request(&self, state: &RouterState, id: RequestId) -> Request {
        let request = naming::describe(state, id, &self.incoming, self.named.prompt.clone());
        let rest = self.incoming.max_new_tokens.saturating_sub(self.answered);
        Request { max_new_tokens: Some(rest), ..request }
    }

    /// The request to send again after a failure. None: that is not possible. `has_tokens`: whether the
    /// client has a part of the answer.
    pub fn again(
        &mut self,
        state: &RouterState,
        id: RequestId,
        has_tokens: bool,
    ) -> Option<Request> {
        if has_tokens && !self.resumable {
            return None;
        }
        if !self.since.is_empty() {
            self.answered += self.since.len() as u32;
            self.incoming.prompt.append(&mut self.since);
            self.named.extend(&self.terms, &self.incoming.prompt);
        }
        Some(self.request(state, id))
    }
}
