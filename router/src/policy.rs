//! The policy that decides now, cheap to copy and to name.

use crate::series::OfPolicy;
use std::sync::Arc;
use warmpath_core::routing::policy::PolicyConfig;

/// A policy with its parameters, and its name in metrics and logs.
#[derive(Clone, Debug)]
pub struct ActivePolicy {
    pub config: PolicyConfig,
    /// The canonical spelling, as `wait-for-room(max_active=4)`.
    pub label: Arc<str>,
    /// What is counted of it.
    pub series: Arc<OfPolicy>,
}

impl ActivePolicy {
    pub fn new(config: PolicyConfig) -> Self {
        let label = config.to_string().into();
        let series = Arc::new(OfPolicy::new(&label));
        Self { config, label, series }
    }
}
