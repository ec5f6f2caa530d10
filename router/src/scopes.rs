//! The salts and keys of the sharing scopes that were used last. To derive them takes longer than to name a prompt of a
//! few hundred tokens, and most requests share their scope with another one.

use crate::fleet::status::FleetTerms;
use lru::LruCache;
use smallvec::SmallVec;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use warmpath_core::block::Namer;
use warmpath_proto::scope::{ScopeHint, SharedBy};

/// Scopes that are kept, some 1.5 KiB each, and 2 KiB more with the longest names.
const KEPT: NonZeroUsize = NonZeroUsize::new(2_048).expect("above 0");
/// A scope of longer names is derived each time: clients choose session ids and salts.
const LONGEST: usize = 512;

/// What names blocks in one sharing scope.
pub struct Scope {
    /// What workers get, see [`SharedBy::salt`].
    pub salt: Arc<str>,
    /// Its keys are expanded.
    pub namer: Namer,
}

/// All that a scope is derived from but the router's secret.
type Key = SmallVec<[u8; 96]>;

/// The scopes of one router.
pub struct Scopes {
    secret: String,
    last: Mutex<LruCache<Key, Arc<Scope>>>,
}

impl Scopes {
    pub fn new(secret: &str) -> Self {
        Self { secret: secret.to_owned(), last: Mutex::new(LruCache::new(KEPT)) }
    }

    /// The scope of these requests.
    pub fn get(&self, by: SharedBy<'_>, client_salt: &str, terms: &FleetTerms) -> Arc<Scope> {
        let Some(key) = key(by, client_salt, terms) else {
            return Arc::new(self.derive(by, client_salt, terms));
        };
        let lock = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scope) = lock().get(&key) {
            return Arc::clone(scope);
        }
        let scope = Arc::new(self.derive(by, client_salt, terms));
        lock().put(key, Arc::clone(&scope));
        scope
    }

    fn derive(&self, by: SharedBy<'_>, client_salt: &str, terms: &FleetTerms) -> Scope {
        let salt = by.salt(&self.secret, client_salt);
        let plan = ScopeHint::default().plan(&salt, &terms.model, terms.block_size);
        Scope { salt: salt.into(), namer: Namer::new(&plan) }
    }
}

/// None: the scope is not kept. No two scopes have one key.
fn key(by: SharedBy<'_>, client_salt: &str, terms: &FleetTerms) -> Option<Key> {
    let (kind, fields) = match by {
        // It is used once.
        SharedBy::Request(_) => return None,
        SharedBy::Session { tenant, session } => (0, [tenant, session]),
        SharedBy::Tenant(tenant) => (1, [tenant, ""]),
        SharedBy::Group(group) => (2, [group, ""]),
        SharedBy::All => (3, ["", ""]),
        SharedBy::Public => (4, ["", ""]),
    };
    let mut key = Key::new();
    key.push(kind);
    key.extend_from_slice(&terms.block_size.to_le_bytes());
    for field in [fields[0], fields[1], client_salt, &*terms.model] {
        if field.len() > LONGEST {
            return None;
        }
        key.extend_from_slice(&(field.len() as u16).to_le_bytes());
        key.extend_from_slice(field.as_bytes());
    }
    Some(key)
}

impl fmt::Debug for Scopes {
    /// The secret and the keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scopes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::block::{Chain, hash_blocks, hash_blocks_by};

    #[test]
    fn a_scope_that_is_kept_is_the_one_that_is_derived() {
        let terms = |model: &str, block_size| FleetTerms { model: model.to_owned(), block_size };
        let long = "x".repeat(LONGEST + 1);
        let session = |tenant, session| SharedBy::Session { tenant, session };
        let all = [
            (session("a", "b"), "", "m", 16),
            (session("ab", ""), "", "m", 16),
            (session("a", ""), "b", "m", 16),
            (SharedBy::Tenant("a"), "", "m", 16),
            (SharedBy::Tenant("a"), "b", "m", 16),
            (SharedBy::Tenant("a"), "", "n", 16),
            (SharedBy::Tenant("a"), "", "m", 32),
            (SharedBy::Tenant("a"), &*long, "m", 16),
            (SharedBy::Group("a"), "", "m", 16),
            (SharedBy::Request("a"), "", "m", 16),
            (SharedBy::All, "", "m", 16),
            (SharedBy::Public, "", "m", 16),
        ];
        let scopes = Scopes::new("secret");
        for round in 0..2 {
            for (by, salt, model, block_size) in all {
                let scope = scopes.get(by, salt, &terms(model, block_size));
                let derived = by.salt("secret", salt);
                assert_eq!(*scope.salt, derived, "{by:?} in round {round}");
                let plan = ScopeHint::default().plan(&derived, model, block_size);
                let prompt = [7; 64];
                let name = |chain: Chain| chain.hash(chain.blocks() - 1);
                let (named, expected) =
                    (hash_blocks_by(&scope.namer, None, &prompt), hash_blocks(&plan, &prompt));
                assert_eq!(name(named), name(expected), "{by:?} in round {round}");
            }
        }
        let last = scopes.last.lock().unwrap();
        assert_eq!(last.len(), all.len() - 2, "neither the long one nor that of one request");
    }
}
