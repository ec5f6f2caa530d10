//! Which requests may share KV cache: the rule that an operator chooses, the tenants of a workload,
//! and from both the [`ScopePlan`] of each request.
//!
//! A scope is part of every block hash, so it holds wherever blocks are kept or looked up: in every
//! tier, in pools, on peers and in a router's index. A look-up needs no check, because a request
//! cannot compute the hashes of another scope.

use crate::block::ScopePlan;
use crate::id::{RequestId, SessionId, TenantId};
use crate::request::Known;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The widest group of requests that share blocks, from narrow to wide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingScope {
    /// No sharing: a request reuses no block of another one.
    None,
    /// The requests of one session.
    Session,
    /// The requests of one tenant.
    #[default]
    Tenant,
    /// The requests of a group of tenants that trust each other.
    Group,
    /// All requests of the operator.
    All,
}

impl SharingScope {
    /// All scopes, from narrow to wide.
    pub const ALL: [Self; 5] = [Self::None, Self::Session, Self::Tenant, Self::Group, Self::All];

    /// The name in files and reports.
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

    /// Reads [`SharingScope::name`]. The error lists the names.
    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.into_iter().find(|scope| scope.name() == text);
        scope.ok_or_else(|| format!("expected one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The sharing rule of a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingRule {
    /// Which requests share blocks.
    #[serde(default)]
    pub scope: SharingScope,
    /// Whether all tenants share the prefixes that the operator declares public, at any scope.
    #[serde(default)]
    pub public_prefixes: bool,
    /// The number of groups, for [`SharingScope::Group`] only. Tenant n is in group n modulo this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<u32>,
}

/// The values of `--sharing`, for help and error texts.
pub const EXPECTED: &str = "none, session, tenant, group:N or all, with +public after it if all tenants share the \
     operator's prefixes";

impl SharingRule {
    /// Checks the number of groups. The error is (field, what was wrong and expected).
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match (self.scope, self.groups) {
            (SharingScope::Group, None) => {
                Err(("scope", "group without groups, expected groups = N".into()))
            }
            (SharingScope::Group, Some(0)) => Err(("groups", "0, expected at least 1".into())),
            (SharingScope::Group, Some(_)) | (_, None) => Ok(()),
            (_, Some(groups)) => {
                Err(("groups", format!("{groups}, expected only with scope = \"group\"")))
            }
        }
    }
}

impl fmt::Display for SharingRule {
    /// Writes the form of [`EXPECTED`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.name())?;
        if let Some(groups) = self.groups {
            write!(f, ":{groups}")?;
        }
        f.write_str(if self.public_prefixes { "+public" } else { "" })
    }
}

impl FromStr for SharingRule {
    type Err = String;

    /// Reads the form of [`EXPECTED`].
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

/// The tenants of a workload, and their shares of its sessions.
#[derive(Clone, PartialEq, Debug)]
pub struct Tenants {
    /// The share of the sessions that belong to this tenant or one before it, up to 1.
    cumulative: Arc<[f64]>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self::new(1, 0.0)
    }
}

impl Tenants {
    /// The most tenants of a workload.
    pub const MOST: u32 = 100_000;

    /// `count` tenants, at least 1. Tenant n, from 1, has n^-zipf times as many sessions as the first
    /// (Zipf's law); with 0 all have the same number.
    pub fn new(count: u32, zipf: f64) -> Self {
        assert!(count > 0, "a workload has at least one tenant");
        Self { cumulative: zipf_shares(count, zipf) }
    }

    /// The number of tenants.
    pub fn count(&self) -> u32 {
        self.cumulative.len() as u32
    }

    /// The tenant of the session or request with this name, drawn at random from the name: equal
    /// names have equal tenants.
    pub fn deal(&self, name: &[u64]) -> TenantId {
        match self.count() {
            1 => TenantId(0),
            _ => TenantId(drawn_rank(&self.cumulative, Rng::named(0x5445_4e41, name).unit())),
        }
    }
}

/// The cumulative shares of the ranks by Zipf's law: rank n, from 1, has a weight of n^-exponent.
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

/// The rank, from 0, for a uniform draw `u` from [0, 1).
pub(crate) fn drawn_rank(cumulative: &[f64], u: f64) -> u32 {
    let rank = cumulative.partition_point(|&share| share <= u);
    rank.min(cumulative.len() - 1) as u32
}

/// The tenant, session and id of a request, which decide its scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requester {
    /// The tenant.
    pub tenant: TenantId,
    /// The session. None: the request belongs to no session.
    pub session: Option<SessionId>,
    /// The request.
    pub request: RequestId,
}

/// The scopes of a workload: gives each request its [`ScopePlan`].
#[derive(Clone, Debug)]
pub struct Scopes {
    /// The operator's own scope. All other scopes are derived from it.
    operator: ScopePlan,
    public: ScopePlan,
    sharing: SharingRule,
    tenants: Tenants,
}

impl Scopes {
    /// The scopes of these tenants under a sharing rule.
    pub fn new(operator: &ScopePlan, sharing: SharingRule, tenants: Tenants) -> Self {
        let public = operator.within("public", 0);
        Self { operator: operator.clone(), public, sharing, tenants }
    }

    /// The tenants.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Whether all requests have one scope.
    pub fn is_one(&self) -> bool {
        let SharingRule { scope, public_prefixes, .. } = self.sharing;
        let one = scope == SharingScope::All
            || scope >= SharingScope::Tenant && self.tenants.count() == 1;
        one && !public_prefixes
    }

    /// Whether each request has a separate scope.
    pub fn is_per_request(&self) -> bool {
        self.sharing.scope == SharingScope::None
    }

    /// The prefixes of a prompt that may be cached under the sharing rule. The user's session had the
    /// first `own_tokens` tokens before; the operator declared the first `declared` tokens public.
    pub fn known(&self, own_tokens: u32, declared: u32) -> Known {
        let own_tokens = if self.is_per_request() { 0 } else { own_tokens };
        let public_tokens = if self.sharing.public_prefixes { declared } else { 0 };
        Known { own_tokens, public_tokens }
    }

    /// The scope of a request. The operator declared the first `declared` tokens of its prompt
    /// public.
    pub fn plan(&self, whose: Requester, declared: u32) -> ScopePlan {
        let Requester { tenant, session, request } = whose;
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
    /// One tenant with the default rule: all its requests share blocks.
    fn from(operator: &ScopePlan) -> Self {
        Self::new(operator, SharingRule::default(), Tenants::default())
    }
}

impl From<&Self> for Scopes {
    fn from(scopes: &Self) -> Self {
        scopes.clone()
    }
}

#[cfg(test)]
mod tests;
