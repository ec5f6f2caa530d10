//! Which requests stay on the devices of their users, where others go to workers.

use std::collections::BTreeSet;
use warmpath_core::id::{SessionId, TenantId};
use warmpath_core::request::Request;
use warmpath_core::workload::mixed::class_of;

/// A request stays where each rule that is given lets it. Without any, all of them stay.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stays {
    /// Prompts of up to so many tokens. A session that outgrows it starts at the workers with nothing
    /// cached.
    pub up_to_tokens: Option<u32>,
    /// Of a mixed workload.
    pub classes: Option<Classes>,
    pub tenants: Option<BTreeSet<TenantId>>,
}

/// Some of the classes of a mixed workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Classes {
    /// How many there are.
    pub of: u32,
    pub stay: BTreeSet<u32>,
}

impl Stays {
    pub const fn all(&self) -> bool {
        self.up_to_tokens.is_none() && self.classes.is_none() && self.tenants.is_none()
    }

    /// Which of the sessions it is that are dealt out to users. A mixture counts its classes' sessions in
    /// turn, of which only some may stay: each class is dealt out to all users by itself, from another
    /// user on.
    pub fn turn(&self, SessionId(session): SessionId) -> u64 {
        let of = self.classes.as_ref().map_or(1, |classes| u64::from(classes.of));
        session / of + session % of
    }

    pub fn lets(&self, request: &Request) -> bool {
        let Self { up_to_tokens, classes, tenants } = self;
        let of_class = |classes: &Classes| classes.stay.contains(&class_of(request.id, classes.of));
        up_to_tokens.is_none_or(|most| request.prompt.tokens() <= most)
            && classes.as_ref().is_none_or(of_class)
            && tenants.as_ref().is_none_or(|tenants| tenants.contains(&request.tenant))
    }
}
