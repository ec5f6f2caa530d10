//! Workers, pools and tenants by the names that all routers before a fleet know.

use crate::config::normal_url;
use crate::state::RouterState;
use warmpath_core::id::{PoolId, TenantId, WorkerId};
use warmpath_proto::convert::{Names, Numbers};
use warmpath_proto::v1::WorkerRef;

/// A tenant that this router does not know.
const STRANGER: TenantId = TenantId(u32::MAX);

impl Names for RouterState {
    fn worker(&self, id: WorkerId) -> WorkerRef {
        let url = self.roster.get(id).map(|link| link.url.clone());
        WorkerRef {
            instance: self.instances.of(id).unwrap_or_default(),
            url: url.unwrap_or_default(),
        }
    }

    fn pool(&self, id: PoolId) -> String {
        self.pools.get(id.0 as usize).map(|pool| pool.url.clone()).unwrap_or_default()
    }

    fn tenant(&self, id: TenantId) -> String {
        self.tenants.names(std::iter::once(id))
    }
}

impl Numbers for RouterState {
    /// By its instance if it has one: a worker that has restarted has not the requests of its life before.
    fn worker(&self, worker: &WorkerRef) -> Option<WorkerId> {
        let id = match worker.instance.as_str() {
            "" => {
                let links = self.roster.links();
                links.iter().find(|link| link.url == worker.url).map(|link| link.id)
            }
            instance => self.instances.holder(instance),
        };
        id.filter(|&id| self.router.fleet(|fleet| fleet.worker(id).is_some()))
    }

    fn pool(&self, url: &str) -> Option<PoolId> {
        let url = normal_url(url).ok()?;
        let same = |ours: &str| normal_url(ours).is_ok_and(|ours| ours == url);
        self.pools.iter().find(|pool| same(&pool.url)).map(|pool| pool.id)
    }

    fn tenant(&self, name: &str) -> TenantId {
        self.tenants.named(name).map_or(STRANGER, |tenant| tenant.id)
    }
}
