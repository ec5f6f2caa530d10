//! The tenants of a workload by name, as a router in this process and a scenario file call them.

use warmpath_core::id::TenantId;

/// What each name begins with; the tenant's number follows.
const PREFIX: &str = "tenant ";

/// The name of a tenant.
pub fn name(tenant: u32) -> String {
    format!("{PREFIX}{tenant}")
}

/// The tenant of a name.
pub fn named(name: &str) -> Option<TenantId> {
    Some(TenantId(name.strip_prefix(PREFIX)?.parse().ok()?))
}
