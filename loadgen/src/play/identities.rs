//! The tenants that a live run sends requests for. Each request carries the bearer token of its
//! tenant. The router tells tenants apart by nothing else.

use crate::files::{bad, bad_field, parse_toml, read};
use crate::setup::{Setup, tenants};
use anyhow::Result;
use serde::Deserialize;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;
use tonic::metadata::{Ascii, MetadataValue};
use warmpath_core::id::TenantId;
use warmpath_core::sharing::SharingScope;
use warmpath_router::RouterConfig;
use warmpath_router::public::PublicPrefix;
use warmpath_router::secret::Secret;
use warmpath_router::tenants::{TenantConfig, TenantEntry, check};

/// The largest number of public system prompts of a fleet in this process.
const MOST_PREFIXES: u64 = 1_024;

/// A bearer token per tenant. Empty: the router asks for none.
#[derive(Clone, Default)]
pub struct Identities(Arc<[MetadataValue<Ascii>]>);

/// The content of a `--tenants-file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tenants: Vec<TenantEntry>,
}

impl Identities {
    pub fn read(path: &Path) -> Result<Self> {
        let (origin, text) = (path.display().to_string(), read(path)?);
        let File { tenants } = parse_toml(&origin, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let each = tenants.into_iter().enumerate().map(|(i, tenant)| tenant.resolve(i, folder));
        let all = each.collect::<Result<Vec<_>, _>>().and_then(|all| check(&all).map(|()| all));
        let all = all.map_err(|error| bad_field(&origin, &text, &error.field, &error.why))?;
        if all.is_empty() {
            return Err(bad(format!("{origin}: tenants: none, expected at least one")));
        }
        Ok(Self::of(&all))
    }

    fn of(tenants: &[TenantConfig]) -> Self {
        let header = |tenant: &TenantConfig| {
            let value = MetadataValue::try_from(format!("Bearer {}", tenant.token.reveal()));
            let mut value = value.expect("a checked token is visible ASCII");
            value.set_sensitive(true);
            value
        };
        Self(tenants.iter().map(header).collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value of the `authorization` header of a tenant's requests, if there is one.
    pub fn token(&self, tenant: TenantId) -> Option<&str> {
        self.0.get(tenant.0 as usize)?.to_str().ok()
    }

    /// The message as a request of the tenant.
    pub fn sign<T>(&self, tenant: TenantId, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(header) = self.0.get(tenant.0 as usize) {
            request.metadata_mut().insert("authorization", header.clone());
        }
        request
    }
}

/// Gives the router of a fleet in this process the tenants, scope and public prefixes of a set-up.
pub fn configure(config: &mut RouterConfig, setup: &Setup) -> Result<Identities> {
    config.sharing = setup.sharing.scope;
    if setup.sharing.public_prefixes {
        let number = setup.source.operators_texts();
        if number > MOST_PREFIXES {
            let why = format!("{number} system prompts, a router takes up to {MOST_PREFIXES}");
            return Err(bad(format!("--live-requests: {why}")));
        }
        let prefix = |number| PublicPrefix {
            name: format!("system prompt {number}"),
            ids: setup.source.operators_text(setup.seed, number),
        };
        config.public_prefixes = (0..number).map(prefix).collect();
    }
    let count = setup.source.tenants().count();
    if count == 1 {
        return Ok(Identities::default());
    }
    // The standard library seeds its hashers with randomness from the system.
    let random = || format!("{:016x}{:016x}", fresh(1), fresh(2));
    config.secret = Some(Secret::new(random()));
    let groups = setup.sharing.groups.filter(|_| setup.sharing.scope == SharingScope::Group);
    let tenant = |number: u32| TenantConfig {
        name: tenants::name(number),
        token: Secret::new(random()),
        group: groups.map(|groups| format!("group {}", number % groups)),
    };
    config.tenants = (0..count).map(tenant).collect();
    Ok(Identities::of(&config.tenants))
}

fn fresh(what: u64) -> u64 {
    RandomState::new().hash_one(what)
}
