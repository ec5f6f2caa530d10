//! A prompt's blocks by name, and the request as the core router sees it.

use crate::fleet::status::FleetTerms;
use crate::incoming::Incoming;
use crate::state::RouterState;
use std::sync::Arc;
use warmpath_core::block::{TokenBlocks, hash_blocks, hash_blocks_by};
use warmpath_core::id::{RequestId, SessionId};
use warmpath_core::request::Request;
use warmpath_core::sharing::SharingScope;
use warmpath_proto::generate;
use warmpath_proto::scope::{ScopeHint, SharedBy};

/// A prompt's blocks by name, and what a worker needs to give them the same names.
#[derive(Debug)]
pub struct Named {
    /// Replaces the client's salt.
    pub salt: Arc<str>,
    pub scope: ScopeHint,
    pub prompt: TokenBlocks,
}

impl Named {
    /// Names the blocks of a longer prompt in the same scope.
    pub fn extend(&mut self, terms: &FleetTerms, prompt: &[u32]) {
        let plan = self.scope.plan(&self.salt, &terms.model, terms.block_size);
        self.prompt = TokenBlocks::whole(hash_blocks(&plan, prompt));
    }
}

/// Names the blocks of a prompt within its scope. `upstream_id` is the scope of a request that
/// shares nothing; no other request has it.
pub fn name(
    state: &RouterState,
    terms: &FleetTerms,
    incoming: &Incoming,
    upstream_id: &str,
) -> Named {
    let tenant = &incoming.tenant;
    let circle = match (state.config.sharing, &incoming.session, &tenant.group) {
        (SharingScope::Session, Some(session), _) => {
            SharedBy::Session { tenant: &tenant.name, session }
        }
        (SharingScope::None, ..) | (SharingScope::Session, None, _) => {
            SharedBy::Request(upstream_id)
        }
        (SharingScope::Group, _, Some(group)) => SharedBy::Group(group),
        (SharingScope::Tenant, ..) | (SharingScope::Group, _, None) => {
            SharedBy::Tenant(&tenant.name)
        }
        (SharingScope::All, ..) => SharedBy::All,
    };
    let own = state.scopes.get(circle, &incoming.cache_salt, terms);
    let mut scope = ScopeHint { tenant: tenant.id.0, ..ScopeHint::default() };
    scope.public_blocks = state.public.blocks(&incoming.prompt, terms.block_size);
    let chain = if scope.public_blocks > 0 {
        let public = state.scopes.get(SharedBy::Public, "", terms);
        scope.public_salt = public.salt.to_string();
        let first = (&public.namer, scope.public_blocks * terms.block_size);
        hash_blocks_by(&own.namer, Some(first), &incoming.prompt)
    } else {
        hash_blocks_by(&own.namer, None, &incoming.prompt)
    };
    Named { salt: Arc::clone(&own.salt), scope, prompt: TokenBlocks::whole(chain) }
}

/// The client's session, as the core router knows it.
pub fn session(incoming: &Incoming) -> Option<SessionId> {
    let number = |name: &String| generate::session_number(&incoming.tenant.name, name);
    incoming.session.as_ref().map(number).map(SessionId)
}

/// The request as the core router sees it.
pub fn describe(
    state: &RouterState,
    id: RequestId,
    incoming: &Incoming,
    prompt: TokenBlocks,
) -> Request {
    Request {
        id,
        session: session(incoming),
        tenant: incoming.tenant.id,
        prompt,
        priority: incoming.priority,
        deadline: incoming.deadline.map(|at| state.router.clock().at(at)),
        max_new_tokens: Some(incoming.max_new_tokens),
    }
}
