//! The tenants, and the bearer tokens that name them. A front takes the token from the call, never
//! from the request. Without configured tenants, all clients are one tenant.
//!
//! Tokens are stored and looked up as keyed hashes. So the time of a look-up does not tell how much
//! of a guess was right, and no log or report can show a token. A token crosses the wire as it is:
//! a listener that other machines can reach needs TLS.

use crate::config_error::ConfigError;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warmpath_core::id::TenantId;
use warmpath_launch::bounded;

const LEAST_TOKEN: usize = 16;
const MOST_TOKEN: usize = 1_024;

/// One tenant of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    pub name: String,
    /// Its bearer token.
    #[serde(skip_serializing)]
    pub token: Secret,
    /// The group it shares with in the scope `group`. None: it shares with no other tenant.
    #[serde(default)]
    pub group: Option<String>,
}

/// A `[[tenants]]` table of a settings file. It has the token, or names a file or an environment
/// variable with the token.
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
    /// Reads the token. `place`: the table's number, for errors. File names are relative to
    /// `folder`.
    pub fn resolve(self, place: usize, folder: &Path) -> Result<TenantConfig, ConfigError> {
        let Self { name, token, token_file, token_env, group } = self;
        let err =
            |field: &str, why| Err(ConfigError { field: format!("tenants[{place}].{field}"), why });
        let token = match (token, token_file, token_env) {
            (Some(token), None, None) => token,
            (None, Some(file), None) => {
                let file = folder.join(file);
                match bounded::text_of(&file) {
                    Ok(text) => Secret::new(text.trim()),
                    Err(why) => return err("token_file", why),
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
            "{length} characters, expected {LEAST_TOKEN} to {MOST_TOKEN} that cannot be guessed"
        ));
    }
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if visible { Ok(()) } else { Err("expected visible ASCII without spaces".to_owned()) }
}

/// Checks a list of tenants. An error names the first field that cannot be used.
pub fn check(tenants: &[TenantConfig]) -> Result<(), ConfigError> {
    for (i, tenant) in tenants.iter().enumerate() {
        let err = |field: &str, why: String| {
            Err(ConfigError { field: format!("tenants[{i}].{field}"), why })
        };
        if tenant.name.is_empty() {
            return err("name", "empty, expected a name".to_owned());
        }
        if tenants[..i].iter().any(|other| other.name == tenant.name) {
            return err(
                "name",
                format!("'{}' is used twice, expected different names", tenant.name),
            );
        }
        if let Err(why) = check_token(&tenant.token) {
            return err("token", why);
        }
        if let Some(other) = tenants[..i].iter().find(|other| other.token == tenant.token) {
            return err("token", format!("'{}' has the same, expected another", other.name));
        }
    }
    Ok(())
}

/// A tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Its place in the configuration.
    pub id: TenantId,
    pub name: String,
    /// The group it shares with in the scope `group`.
    pub group: Option<String>,
}

/// All tenants of a router.
#[derive(Debug)]
pub struct Tenants {
    all: Vec<Arc<Tenant>>,
    /// By the keyed hash of a token. Empty: no token is needed.
    by_token: HashMap<[u8; 32], Arc<Tenant>>,
    key: [u8; 32],
}

impl Tenants {
    /// `alone`: the name of the one tenant if none are configured.
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

    /// The one tenant of all calls where no tokens are configured. None: each call needs a token.
    pub fn without_tokens(&self) -> Option<&Arc<Tenant>> {
        if self.by_token.is_empty() { self.all.first() } else { None }
    }

    /// The tenant of a call with these values of `authorization`, of which one is expected: `Bearer TOKEN`.
    /// An error about a token says only that no tenant has it.
    pub fn authorized<'a>(
        &self,
        mut given: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Arc<Tenant>, &'static str> {
        if let Some(tenant) = self.without_tokens() {
            return Ok(Arc::clone(tenant));
        }
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err("authorization: expected one `Bearer TOKEN`");
        };
        let token = value.and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err("authorization: expected `Bearer TOKEN`");
        };
        self.with_token(token).cloned().ok_or("authorization: unknown token")
    }

    /// The tenant with this token.
    pub fn with_token(&self, token: &str) -> Option<&Arc<Tenant>> {
        let hash = blake3::keyed_hash(&self.key, token.as_bytes());
        self.by_token.get(hash.as_bytes())
    }

    /// The tenant with this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.all.iter().find(|tenant| tenant.name == name)
    }

    /// Their names, as a list.
    pub fn names(&self, ids: impl Iterator<Item = TenantId>) -> String {
        let of = |id| self.all.iter().find(|tenant| tenant.id == id);
        let names: Vec<_> = ids.filter_map(of).map(|tenant| tenant.name.as_str()).collect();
        names.join(", ")
    }

    /// The only tenant. None: there are several.
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
    fn a_token_names_its_tenant() {
        let all = configured(&[("a", "token-of-tenant-a"), ("b", "token-of-tenant-b")]);
        assert_eq!(check(&all), Ok(()));
        let tenants = Tenants::new(&all, "default", "secret");
        let with = |token: &str| tenants.with_token(token).map(|tenant| tenant.id.0);
        assert_eq!((with("token-of-tenant-a"), with("token-of-tenant-b")), (Some(0), Some(1)));
        assert_eq!(
            (with("token-of-tenant-"), with("token-of-tenant-ab"), with("")),
            (None, None, None)
        );
        assert!(tenants.without_tokens().is_none() && tenants.only().is_none());
        let alone = Tenants::new(&[], "default", "");
        assert_eq!(alone.without_tokens().unwrap().name, "default");
        assert!(alone.only().is_some());
    }

    #[test]
    fn unusable_tenants_are_refused_and_no_token_is_shown() {
        let good = ("a", "token-of-tenant-a");
        let cases = [
            (configured(&[("", "token-of-tenant-a")]), "tenants[0].name: empty"),
            (configured(&[good, ("a", "token-of-tenant-b")]), "tenants[1].name: 'a' is used twice"),
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
