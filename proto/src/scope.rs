//! Within what blocks are shared, on the wire: the salt that a router sends in the client's place, and
//! what it says besides where a prompt begins with text of the operator's.
//!
//! The salt is a keyed hash of whose the request is, so who does not know the router's secret can't
//! name another's blocks, whatever salt it sends itself. A real vLLM isolates by the same field
//! (`kv.cache_salt`). What is public it can't be told: it leaves the action in `kv_hints` alone, names
//! all blocks under the salt, and so shares less, never more.
//!
//! ```text
//! kv_hints { actions [ { action_type: "warmpath.scope", action_version: "1",
//!     payload: { "public_salt": "<64 hex digits>", "public_blocks": 50, "tenant": 3 } } ] }
//! ```

use crate::vllm::{KvHintAction, KvHintsEnvelope};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use warmpath_core::block::ScopePlan;

const SCOPE: &str = "warmpath.scope";
const VERSION: &str = "1";

/// Within what a request shares blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Circle<'a> {
    /// Nothing is used again: the request's own name.
    Request(&'a str),
    /// Clients name their sessions themselves, so one lies within its tenant.
    Session {
        tenant: &'a str,
        session: &'a str,
    },
    Tenant(&'a str),
    Group(&'a str),
    /// Everything behind this router's secret.
    All,
    /// What the operator wrote and declared public.
    Public,
}

impl Circle<'_> {
    /// The salt that goes upstream in place of the client's.
    pub fn salt(self, secret: &str, client_salt: &str) -> String {
        let (what, fields) = match self {
            Self::Tenant(tenant) => ("warmpath v1 upstream salt", [tenant, ""]),
            Self::Request(name) => ("warmpath v1 upstream salt of a request", [name, ""]),
            Self::Session { tenant, session } => {
                ("warmpath v1 upstream salt of a session", [tenant, session])
            }
            Self::Group(group) => ("warmpath v1 upstream salt of a group", [group, ""]),
            Self::All => ("warmpath v1 upstream salt of all", ["", ""]),
            Self::Public => ("warmpath v1 upstream salt of the public", ["", ""]),
        };
        let key = blake3::derive_key(what, secret.as_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        let second = matches!(self, Self::Session { .. }).then_some(fields[1]);
        for field in [Some(fields[0]), second, Some(client_salt)].into_iter().flatten() {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// What a worker is told of a request's scope besides the salt.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ScopeHint {
    /// The salt of the prompt's first blocks, where some are public.
    pub public_salt: String,
    pub public_blocks: u32,
    /// The router's number of the tenant.
    pub tenant: u32,
}

impl ScopeHint {
    /// Whether there is anything to say.
    pub fn is_plain(&self) -> bool {
        self.public_blocks == 0 && self.tenant == 0
    }

    pub fn to_action(&self) -> KvHintAction {
        let number = |number: u32| Kind::NumberValue(f64::from(number));
        let fields = [
            ("public_salt", Kind::StringValue(self.public_salt.clone())),
            ("public_blocks", number(self.public_blocks)),
            ("tenant", number(self.tenant)),
        ];
        let fields = fields.map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }));
        KvHintAction {
            action_id: "scope".to_owned(),
            action_type: SCOPE.to_owned(),
            action_version: VERSION.to_owned(),
            payload: Some(Struct { fields: fields.into_iter().collect() }),
        }
    }

    /// None: nothing is said, or it can't be read. Then nothing is public, which shares less.
    pub fn from_wire(hints: &KvHintsEnvelope) -> Option<Self> {
        let mut scopes = hints.actions.iter().filter(|action| {
            (action.action_type.as_str(), action.action_version.as_str()) == (SCOPE, VERSION)
        });
        let (action, None) = (scopes.next()?, scopes.next()) else { return None };
        let kind = |name: &str| action.payload.as_ref()?.fields.get(name)?.kind.as_ref();
        let number = |name: &str| match kind(name)? {
            Kind::NumberValue(n) if n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n) => {
                Some(*n as u32)
            }
            _ => None,
        };
        let Kind::StringValue(salt) = kind("public_salt")? else { return None };
        let (public_blocks, tenant) = (number("public_blocks")?, number("tenant")?);
        Some(Self { public_salt: salt.clone(), public_blocks, tenant })
    }

    /// The scope of a prompt that was sent with this and a salt. Router and worker name alike.
    pub fn plan(&self, salt: &str, model: &str, block_size: u32) -> ScopePlan {
        let own = ScopePlan::new(salt, model, "", block_size);
        if self.public_blocks == 0 {
            return own;
        }
        let public = ScopePlan::new(&self.public_salt, model, "", block_size);
        own.behind(&public, self.public_blocks.saturating_mul(block_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circle_has_a_salt_of_its_own() {
        let session = |tenant, session| Circle::Session { tenant, session };
        let all = [
            Circle::Request("a").salt("s", ""),
            session("a", "b").salt("s", ""),
            session("a", "").salt("s", "b"),
            session("ab", "").salt("s", ""),
            Circle::Tenant("a").salt("s", ""),
            Circle::Tenant("a").salt("s", "b"),
            Circle::Tenant("ab").salt("s", ""),
            Circle::Tenant("a").salt("t", ""),
            Circle::Group("a").salt("s", ""),
            Circle::All.salt("s", ""),
            Circle::All.salt("s", "a"),
            Circle::Public.salt("s", ""),
        ];
        for (i, salt) in all.iter().enumerate() {
            assert_eq!(salt.len(), 64);
            assert!(!all[..i].contains(salt), "salt {i} is another's");
        }
        // As routers sent it before there were scopes, so that caches filled then hit.
        let before = "7b7ff15bcae5460e412fbb947fc30565a6447d583cdc1feb3b8ca3b9ee986749";
        assert_eq!(Circle::Tenant("default").salt("", ""), before);
    }

    #[test]
    fn a_scope_comes_back_as_it_went_and_else_nothing_is_public() {
        let hint = ScopeHint { public_salt: "ab".to_owned(), public_blocks: 50, tenant: 3 };
        let envelope = |actions| KvHintsEnvelope { actions, ..Default::default() };
        let wire = envelope(vec![hint.to_action()]);
        assert_eq!(ScopeHint::from_wire(&wire), Some(hint.clone()));
        assert!(!hint.is_plain() && ScopeHint::default().is_plain());
        assert_eq!(ScopeHint::from_wire(&envelope(Vec::new())), None);
        let twice = envelope(vec![hint.to_action(), ScopeHint::default().to_action()]);
        assert_eq!(ScopeHint::from_wire(&twice), None, "two say two things");
        let changed = |name: &str, kind| {
            let mut wire = wire.clone();
            let payload = wire.actions[0].payload.get_or_insert_default();
            payload.fields.insert(name.to_owned(), Value { kind: Some(kind) });
            ScopeHint::from_wire(&wire)
        };
        for blocks in [-1.0, 0.5, 1e12, f64::NAN] {
            assert_eq!(changed("public_blocks", Kind::NumberValue(blocks)), None);
        }
        assert_eq!(changed("public_salt", Kind::NumberValue(1.0)), None);
        let mut other = wire.clone();
        other.actions[0].action_version = "2".to_owned();
        assert_eq!(ScopeHint::from_wire(&other), None);
    }
}
