//! Whose requests these are. The tenant comes from the bearer token of the call, never from the
//! request: `authorization: Bearer TOKEN`. Where no tenants are configured, all clients are one.
//!
//! Tokens are kept and looked up as keyed hashes: how long a look-up takes says nothing of how much of a
//! guess was right, and no log or report can show one. They cross the wire as they are, so a listener
//! that leaves the machine needs TLS in front of it.

use crate::config::ConfigError;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::Status;
use tonic::metadata::MetadataMap;
use warmpath_core::id::TenantId;

const LEAST_TOKEN: usize = 16;
const MOST_TOKEN: usize = 1_024;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    pub name: String,
    /// A bearer token.
    #[serde(skip_serializing)]
    pub token: Secret,
    /// With whom it shares under the scope `group`; None: with nobody.
    #[serde(default)]
    pub group: Option<String>,
}

/// A `[[tenants]]` of a file: its token stands there, in a file of its own, or in the environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantEntry {
    name: String,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    group: Option<String>,
}

impl TenantEntry {
    /// `place`: which it is, for errors. Files are beside `folder`.
    pub fn resolve(self, place: usize, folder: &Path) -> Result<TenantConfig, ConfigError> {
        let Self { name, token, token_file, token_env, group } = self;
        let err =
            |field: &str, why| Err(ConfigError { field: format!("tenants[{place}].{field}"), why });
        let token = match (token, token_file, token_env) {
            (Some(token), None, None) => token,
            (None, Some(file), None) => {
                let file = folder.join(file);
                match std::fs::read_to_string(&file) {
                    Ok(text) => Secret::new(text.trim()),
                    Err(error) => return err("token_file", format!("{}: {error}", file.display())),
                }
            }
            (None, None, Some(variable)) => match std::env::var(&variable) {
                Ok(token) => Secret::new(token),
                Err(error) => return err("token_env", format!("{variable}: {error}")),
            },
            _ => {
                let why = "expected one of token, token_file and token_env".to_owned();
                return err("token", why);
            }
        };
        Ok(TenantConfig { name, token, group })
    }
}

fn check_token(token: &Secret) -> Result<(), String> {
    let token = token.reveal();
    if !(LEAST_TOKEN..=MOST_TOKEN).contains(&token.len()) {
        let length = token.len();
        return Err(format!(
            "{length} characters, expected {LEAST_TOKEN} to {MOST_TOKEN} that nobody can guess"
        ));
    }
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if visible { Ok(()) } else { Err("expected visible ASCII without spaces".to_owned()) }
}

/// What is wrong with a list of tenants.
pub fn check(tenants: &[TenantConfig]) -> Result<(), ConfigError> {
    for (i, tenant) in tenants.iter().enumerate() {
        let err = |field: &str, why: String| {
            Err(ConfigError { field: format!("tenants[{i}].{field}"), why })
        };
        if tenant.name.is_empty() {
            return err("name", "empty, expected one".to_owned());
        }
        if tenants[..i].iter().any(|other| other.name == tenant.name) {
            return err("name", format!("'{}' stands there twice", tenant.name));
        }
        if let Err(why) = check_token(&tenant.token) {
            return err("token", why);
        }
        if let Some(other) = tenants[..i].iter().find(|other| other.token == tenant.token) {
            return err("token", format!("'{}' has the same one", other.name));
        }
    }
    Ok(())
}

/// Who sent a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub group: Option<String>,
}

#[derive(Debug)]
pub struct Tenants {
    all: Vec<Arc<Tenant>>,
    /// By the keyed hash of a token. Empty: nobody has to show one.
    by_token: HashMap<[u8; 32], Arc<Tenant>>,
    key: [u8; 32],
}

impl Tenants {
    /// `alone`: the name of the one tenant where none are configured.
    pub fn new(configured: &[TenantConfig], alone: &str, secret: &str) -> Self {
        let key = blake3::derive_key("warmpath v1 bearer tokens", secret.as_bytes());
        let hash = |token: &Secret| *blake3::keyed_hash(&key, token.reveal().as_bytes()).as_bytes();
        let tenant = |(number, config): (u32, &TenantConfig)| {
            let (name, group) = (config.name.clone(), config.group.clone());
            Arc::new(Tenant { id: TenantId(number), name, group })
        };
        let mut all: Vec<_> = (0..).zip(configured).map(tenant).collect();
        let pairs = configured.iter().zip(&all);
        let by_token =
            pairs.map(|(config, tenant)| (hash(&config.token), Arc::clone(tenant))).collect();
        if all.is_empty() {
            let (id, name) = (TenantId(0), alone.to_owned());
            all.push(Arc::new(Tenant { id, name, group: None }));
        }
        Self { all, by_token, key }
    }

    /// Whose a call with this metadata is. Says no more of a token than that it is none of them.
    pub fn identify(&self, metadata: &MetadataMap) -> Result<Arc<Tenant>, Status> {
        if self.by_token.is_empty() {
            return Ok(Arc::clone(&self.all[0]));
        }
        let mut given = metadata.get_all("authorization").iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(Status::unauthenticated("authorization: expected one `Bearer TOKEN`"));
        };
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err(Status::unauthenticated("authorization: expected `Bearer TOKEN`"));
        };
        let hash = blake3::keyed_hash(&self.key, token.as_bytes());
        let tenant = self.by_token.get(hash.as_bytes());
        tenant.cloned().ok_or_else(|| Status::unauthenticated("authorization: unknown token"))
    }

    pub fn named(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.all.iter().find(|tenant| tenant.name == name)
    }

    /// In a list.
    pub fn names(&self, ids: impl Iterator<Item = TenantId>) -> String {
        let of = |id| self.all.iter().find(|tenant| tenant.id == id);
        let names: Vec<_> = ids.filter_map(of).map(|tenant| tenant.name.as_str()).collect();
        names.join(", ")
    }

    /// The only one there is; None where there are several.
    pub fn only(&self) -> Option<&Arc<Tenant>> {
        if let [only] = self.all.as_slice() { Some(only) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(names: &[(&str, &str)]) -> Vec<TenantConfig> {
        let tenant = |&(name, token): &(&str, &str)| TenantConfig {
            name: name.to_owned(),
            token: Secret::new(token),
            group: None,
        };
        names.iter().map(tenant).collect()
    }

    #[test]
    fn a_token_says_who_it_is_and_nothing_else_does() {
        let all = configured(&[("a", "token-of-tenant-a"), ("b", "token-of-tenant-b")]);
        assert_eq!(check(&all), Ok(()));
        let tenants = Tenants::new(&all, "default", "secret");
        let who = |values: &[&str]| {
            let mut metadata = MetadataMap::new();
            for value in values {
                metadata.append("authorization", value.parse().unwrap());
            }
            tenants.identify(&metadata).map(|tenant| tenant.id.0).map_err(|status| status.code())
        };
        assert_eq!(who(&["Bearer token-of-tenant-a"]), Ok(0));
        assert_eq!(who(&["bearer token-of-tenant-b"]), Ok(1));
        let refused: [&[&str]; 8] = [
            &[],
            &["token-of-tenant-a"],
            &["Basic token-of-tenant-a"],
            &["Bearer token-of-tenant-"],
            &["Bearer token-of-tenant-ab"],
            &["Bearer  token-of-tenant-a"],
            &["Bearer "],
            &["Bearer token-of-tenant-a", "Bearer token-of-tenant-b"],
        ];
        for values in refused {
            assert_eq!(who(values), Err(tonic::Code::Unauthenticated), "{values:?}");
        }
        let alone = Tenants::new(&[], "default", "");
        assert_eq!(alone.identify(&MetadataMap::new()).unwrap().name, "default");
        assert!(alone.only().is_some() && tenants.only().is_none());
    }

    #[test]
    fn tenants_that_cannot_be_are_refused_and_no_token_is_shown() {
        let good = ("a", "token-of-tenant-a");
        let cases = [
            (configured(&[("", "token-of-tenant-a")]), "tenants[0].name: empty"),
            (configured(&[good, ("a", "token-of-tenant-b")]), "tenants[1].name: 'a' stands"),
            (configured(&[good, ("b", "short")]), "tenants[1].token: 5 characters"),
            (configured(&[("a", "token of tenant a")]), "tenants[0].token: expected visible"),
            (configured(&[good, ("b", good.1)]), "tenants[1].token: 'a' has the same"),
        ];
        for (tenants, expected) in cases {
            let why = check(&tenants).unwrap_err().to_string();
            assert!(why.starts_with(expected), "{why}");
            assert!(!why.contains("token-of") && !format!("{tenants:?}").contains("token-of"));
            assert!(!serde_json::to_string(&tenants).unwrap().contains("token-of"));
        }
    }
}
