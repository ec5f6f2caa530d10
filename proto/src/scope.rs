//! The sharing scope in a request to a worker: a salt in place of the client's, and the public part at
//! the start of the prompt.
//!
//! The salt is a keyed hash of the requests that may share blocks, such as those of one tenant. A client
//! does not know the router's secret, so it cannot reach blocks of another scope with any salt of its
//! own. A real vLLM isolates requests by the same field (`kv.cache_salt`). It ignores the action in
//! `kv_hints`, hashes all blocks under the salt, and so shares less, never more.
//!
//! ```text
//! kv_hints { actions [ { action_type: "warmpath.scope", action_version: "1",
//!     payload: { "public_salt": "<64 hex digits>", "public_blocks": 50, "tenant": 3 } } ] }
//! ```

use crate::HASH_SCHEME;
use crate::vllm::{KvHintAction, KvHintsEnvelope};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use warmpath_core::block::ScopePlan;
use warmpath_core::sharing::SharingScope;

const SCOPE: &str = "warmpath.scope";
const VERSION: &str = "1";

/// The requests that share blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedBy<'a> {
    /// One request, by its id: no sharing.
    Request(&'a str),
    /// The requests of one session. Clients choose their session ids, so the tenant is part of it.
    Session {
        /// The tenant's name.
        tenant: &'a str,
        /// The client's session id.
        session: &'a str,
    },
    /// The requests of one tenant, by its name.
    Tenant(&'a str),
    /// The requests of a group of tenants, by its name.
    Group(&'a str),
    /// All requests of routers with the same secret.
    All,
    /// The text that the operator declared public.
    Public,
}

impl SharedBy<'_> {
    /// The salt that the worker gets in place of the client's: 64 hexadecimal digits.
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

/// A fingerprint of how a router names blocks. Two routers with different ones have no name in common. It is
/// as hard to turn into the secret as a salt is.
pub fn naming(secret: &str, sharing: SharingScope) -> String {
    let key = blake3::derive_key("warmpath v1 naming of a router", secret.as_bytes());
    let mut hasher = blake3::Hasher::new_keyed(&key);
    for field in [HASH_SCHEME, sharing.name()] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The part of a request's scope that the salt does not carry.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ScopeHint {
    /// The salt of the public blocks.
    pub public_salt: String,
    /// Public blocks at the start of the prompt.
    pub public_blocks: u32,
    /// The router's number of the tenant.
    pub tenant: u32,
}

impl ScopeHint {
    /// Whether the salt alone describes the scope, so that no hint is needed.
    pub fn is_plain(&self) -> bool {
        self.public_blocks == 0 && self.tenant == 0
    }

    /// Encodes the hint.
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

    /// Decodes the hint. None if there is no valid hint: then no block is public, which shares less.
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

    /// The scope of a prompt with this hint and this salt. Router and worker hash blocks with it.
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
    fn every_circle_has_another_salt() {
        let session = |tenant, session| SharedBy::Session { tenant, session };
        let all = [
            SharedBy::Request("a").salt("s", ""),
            session("a", "b").salt("s", ""),
            session("a", "").salt("s", "b"),
            session("ab", "").salt("s", ""),
            SharedBy::Tenant("a").salt("s", ""),
            SharedBy::Tenant("a").salt("s", "b"),
            SharedBy::Tenant("ab").salt("s", ""),
            SharedBy::Tenant("a").salt("t", ""),
            SharedBy::Group("a").salt("s", ""),
            SharedBy::All.salt("s", ""),
            SharedBy::All.salt("s", "a"),
            SharedBy::Public.salt("s", ""),
        ];
        for (i, salt) in all.iter().enumerate() {
            assert_eq!(salt.len(), 64);
            assert!(!all[..i].contains(salt), "salt {i} is not unique");
        }
        // The salt of versions without scopes, so that caches filled by them hit.
        let before = "7b7ff15bcae5460e412fbb947fc30565a6447d583cdc1feb3b8ca3b9ee986749";
        assert_eq!(SharedBy::Tenant("default").salt("", ""), before);
    }

    #[test]
    fn routers_name_alike_with_one_secret_and_one_scope() {
        let one = naming("s", SharingScope::Tenant);
        assert_eq!(naming("s", SharingScope::Tenant), one);
        assert_ne!(naming("t", SharingScope::Tenant), one);
        assert_ne!(naming("s", SharingScope::All), one);
    }

    #[test]
    fn a_hint_is_read_as_it_was_written_and_a_bad_one_is_ignored() {
        let hint = ScopeHint { public_salt: "ab".to_owned(), public_blocks: 50, tenant: 3 };
        let envelope = |actions| KvHintsEnvelope { actions, ..Default::default() };
        let wire = envelope(vec![hint.to_action()]);
        assert_eq!(ScopeHint::from_wire(&wire), Some(hint.clone()));
        assert!(!hint.is_plain() && ScopeHint::default().is_plain());
        assert_eq!(ScopeHint::from_wire(&envelope(Vec::new())), None);
        let twice = envelope(vec![hint.to_action(), ScopeHint::default().to_action()]);
        assert_eq!(ScopeHint::from_wire(&twice), None, "two hints");
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
