//! Ending a request by its client's name for it.

use crate::state::RouterState;
use crate::waiting::Verdict;
use warmpath_core::id::TenantId;

/// Ends the requests that this tenant named so; unknown names are no error. The worker ends a
/// stream, and the answer says so. A held request ends here. A request that is on its way to a
/// worker is marked, and ended when the worker has it.
pub async fn abort(state: &RouterState, tenant: TenantId, names: &[String]) {
    for name in names {
        let Some(tracked) = state.in_flight.mark_aborted(&(tenant, name.clone())) else { continue };
        match tracked.link {
            Some(link) => link.abort(vec![tracked.upstream_id.to_string()]).await,
            None => {
                state.router.withdraw(tracked.id, Verdict::Aborted);
            }
        }
    }
}
