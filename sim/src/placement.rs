//! Which requests stay on the devices of their users, where others go to workers.

use std::collections::BTreeSet;
use warmpath_core::id::{SessionId, TenantId};
use warmpath_core::request::Request;
use warmpath_core::workload::mixed::class_of;

/// A request stays on its device if each rule that is given allows it. Without rules all requests stay.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stays {
    /// The longest prompt that stays, in tokens. A session that outgrows it starts at the workers with
    /// nothing cached.
    pub up_to_tokens: Option<u32>,
    /// The classes of a mixed workload that stay.
    pub classes: Option<Classes>,
    /// The tenants whose requests stay.
    pub tenants: Option<BTreeSet<TenantId>>,
}

/// Some of the classes of a mixed workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Classes {
    /// How many classes the workload has.
    pub of: u32,
    /// The numbers of the classes that stay.
    pub stay: BTreeSet<u32>,
}

impl Stays {
    /// Whether every request stays.
    pub const fn all(&self) -> bool {
        self.up_to_tokens.is_none() && self.classes.is_none() && self.tenants.is_none()
    }

    /// The session's place in the order in which sessions are assigned to users. A mixture numbers the
    /// sessions of its classes in turn, and only some classes may stay. So each class is assigned to all
    /// users by itself, and each begins with another user.
    pub fn turn(&self, SessionId(session): SessionId) -> u64 {
        let of = self.classes.as_ref().map_or(1, |classes| u64::from(classes.of));
        session / of + session % of
    }

    /// Whether this request stays.
    pub fn lets(&self, request: &Request) -> bool {
        let Self { up_to_tokens, classes, tenants } = self;
        let of_class = |classes: &Classes| classes.stay.contains(&class_of(request.id, classes.of));
        up_to_tokens.is_none_or(|most| request.prompt.tokens() <= most)
            && classes.as_ref().is_none_or(of_class)
            && tenants.as_ref().is_none_or(|tenants| tenants.contains(&request.tenant))
    }
}
