//! Who shares KV cache with whom: the scope that an operator chooses, the tenants that a workload
//! plays, and from both the [`ScopePlan`] of each request.
//!
//! A scope is part of every block's name, so it holds wherever blocks are kept or looked for: in
//! every tier, in pools, with peers and in a router's index. Nobody checks it at a look-up, because
//! a look-up across scopes has nothing to name the blocks with.

use crate::block::ScopePlan;
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::Known;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The widest circle in which blocks are shared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingScope {
    /// Nothing is used again: each request is alone.
    None,
    Session,
    #[default]
    Tenant,
    /// Tenants that trust each other.
    Group,
    /// Everything that the operator owns.
    All,
}

impl SharingScope {
    pub const ALL: [Self; 5] = [Self::None, Self::Session, Self::Tenant, Self::Group, Self::All];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Session => "session",
            Self::Tenant => "tenant",
            Self::Group => "group",
            Self::All => "all",
        }
    }
}

impl FromStr for SharingScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.into_iter().find(|scope| scope.name() == text);
        scope.ok_or_else(|| format!("expected one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A fleet's rule of sharing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    #[serde(default)]
    pub scope: SharingScope,
    /// Whether all tenants share the prefixes that the operator declares public, whatever the scope.
    #[serde(default)]
    pub public_prefixes: bool,
    /// With the scope `group`: tenant n is in group n modulo this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<u32>,
}

/// What a `--sharing` may say.
pub const EXPECTED: &str = "none, session, tenant, group:N or all, with +public behind it if all tenants share the \
     operator's prefixes";

impl Sharing {
    /// What is wrong with it: (field, why).
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match (self.scope, self.groups) {
            (SharingScope::Group, None) => {
                Err(("scope", "group, expected groups = N as well".into()))
            }
            (SharingScope::Group, Some(0)) => Err(("groups", "0, expected at least 1".into())),
            (SharingScope::Group, Some(_)) | (_, None) => Ok(()),
            (_, Some(groups)) => {
                Err(("groups", format!("{groups}, expected only with scope = \"group\"")))
            }
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.name())?;
        if let Some(groups) = self.groups {
            write!(f, ":{groups}")?;
        }
        f.write_str(if self.public_prefixes { "+public" } else { "" })
    }
}

impl FromStr for Sharing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scope, public_prefixes) = match text.strip_suffix("+public") {
            Some(scope) => (scope, true),
            None => (text, false),
        };
        let (scope, groups) = match scope.split_once(':') {
            Some((scope, groups)) => (scope, Some(groups.parse().map_err(|_| expected())?)),
            None => (scope, None),
        };
        let scope = scope.parse().map_err(|_| expected())?;
        let sharing = Self { scope, public_prefixes, groups };
        sharing.check().map(|()| sharing).map_err(|_| expected())
    }
}

fn expected() -> String {
    format!("expected {EXPECTED}")
}

/// How sessions are dealt to tenants.
#[derive(Clone, PartialEq, Debug)]
pub struct Tenants {
    /// Share of the sessions that belong to this tenant or one before it.
    cumulative: Arc<[f64]>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self::new(1, 0.0)
    }
}

impl Tenants {
    pub const MOST: u32 = 100_000;

    /// `zipf`: the n-th has n^-zipf times as many sessions as the first; 0 deals evenly.
    pub fn new(count: u32, zipf: f64) -> Self {
        assert!(count > 0, "a request belongs to somebody");
        Self { cumulative: zipf_shares(count, zipf) }
    }

    pub fn count(&self) -> u32 {
        self.cumulative.len() as u32
    }

    /// Whose the thing of this name is; equal names, equal tenants.
    pub fn deal(&self, name: &[u64]) -> TenantId {
        match self.count() {
            1 => TenantId(0),
            _ => TenantId(drawn_rank(&self.cumulative, Rng::named(0x5445_4e41, name).unit())),
        }
    }
}

/// For each rank the share of all that this one and those before it have, by Zipf's law.
pub(crate) fn zipf_shares(count: u32, exponent: f64) -> Arc<[f64]> {
    let mut sum = 0.0;
    let mut cumulative: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += libm::pow(f64::from(rank), -exponent);
            sum
        })
        .collect();
    for share in &mut cumulative {
        *share /= sum;
    }
    cumulative.into()
}

/// The rank that a draw from [0, 1) hits.
pub(crate) fn drawn_rank(cumulative: &[f64], u: f64) -> u32 {
    let rank = cumulative.partition_point(|&share| share <= u);
    rank.min(cumulative.len() - 1) as u32
}

/// Whose a request is, from the widest circle to the narrowest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    pub tenant: TenantId,
    /// None: it is a session of its own.
    pub session: Option<SessionId>,
    pub request: RequestId,
}

/// Names a workload's blocks: under which scope each request's are, and who its tenant is.
#[derive(Clone, Debug)]
pub struct Scopes {
    /// What the operator owns; all other scopes lie within it.
    operator: ScopePlan,
    public: ScopePlan,
    sharing: Sharing,
    tenants: Tenants,
}

impl Scopes {
    pub fn new(operator: &ScopePlan, sharing: Sharing, tenants: Tenants) -> Self {
        let public = operator.within("public", 0);
        Self { operator: operator.clone(), public, sharing, tenants }
    }

    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Whether all requests' blocks have names of one scope, whoever sent them.
    pub fn is_one(&self) -> bool {
        let Sharing { scope, public_prefixes, .. } = self.sharing;
        let one = scope == SharingScope::All
            || scope >= SharingScope::Tenant && self.tenants.count() == 1;
        one && !public_prefixes
    }

    /// Whether every request has a scope of its own.
    pub fn is_per_request(&self) -> bool {
        self.sharing.scope == SharingScope::None
    }

    /// What may be found again of a prompt of which its user's session had `own_tokens` before, and of
    /// which the operator wrote the first `declared`.
    pub fn known(&self, own_tokens: u32, declared: u32) -> Known {
        let own_tokens = if self.is_per_request() { 0 } else { own_tokens };
        let public_tokens = if self.sharing.public_prefixes { declared } else { 0 };
        Known { own_tokens, public_tokens }
    }

    /// The scope of a request of which the operator wrote the first `declared` tokens.
    pub fn plan(&self, whose: Whose, declared: u32) -> ScopePlan {
        let Whose { tenant, session, request } = whose;
        let own = match (self.sharing.scope, session) {
            (SharingScope::All, _) => self.operator.clone(),
            (SharingScope::Tenant | SharingScope::Group, _) if self.tenants.count() == 1 => {
                self.operator.clone()
            }
            (SharingScope::Group, _) => {
                let groups = self.sharing.groups.unwrap_or(1);
                self.operator.within("group", u64::from(tenant.0 % groups))
            }
            (SharingScope::Tenant, _) => self.operator.within("tenant", u64::from(tenant.0)),
            // A client names its sessions itself, so another tenant could guess one.
            (SharingScope::Session, Some(session)) => {
                self.operator.within("tenant", u64::from(tenant.0)).within("session", session.0)
            }
            (SharingScope::Session, None) | (SharingScope::None, _) => {
                self.operator.within("request", request.0)
            }
        };
        if self.sharing.public_prefixes { own.behind(&self.public, declared) } else { own }
    }
}

impl From<&ScopePlan> for Scopes {
    /// One tenant, whose requests all share.
    fn from(operator: &ScopePlan) -> Self {
        Self::new(operator, Sharing::default(), Tenants::default())
    }
}

impl From<&Self> for Scopes {
    fn from(scopes: &Self) -> Self {
        scopes.clone()
    }
}

#[cfg(test)]
mod tests;
