//! How many generate calls of one tenant may be under way, over all fronts: one tenant cannot take the router
//! from others.

use crate::tenants::Tenant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warmpath_core::id::TenantId;

/// The places of all tenants.
#[derive(Debug)]
pub struct Places {
    each: usize,
    by_tenant: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

impl Places {
    /// So many for each tenant.
    pub fn new(each: u32) -> Self {
        Self { each: each as usize, by_tenant: Mutex::default() }
    }

    /// A place, which is free again when it is dropped. The error says how many there are.
    pub fn take(&self, tenant: &Tenant) -> Result<OwnedSemaphorePermit, String> {
        let mut places = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = places.entry(tenant.id);
        let of_tenant = of_tenant.or_insert_with(|| Arc::new(Semaphore::new(self.each)));
        Arc::clone(of_tenant).try_acquire_owned().map_err(|_| {
            let (name, most) = (&tenant.name, self.each);
            format!("tenant '{name}' has {most} calls under way, expected fewer")
        })
    }
}
