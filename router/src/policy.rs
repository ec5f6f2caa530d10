//! The policy that decides now, cheap to copy and to name.

use std::sync::Arc;
use warmpath_core::routing::policy::PolicyConfig;

/// A policy with its parameters, and its name in metrics and logs.
#[derive(Clone, Debug)]
pub struct ActivePolicy {
    pub config: PolicyConfig,
    /// The canonical spelling, as `wait-for-room(max_active=4)`.
    pub label: Arc<str>,
}

impl ActivePolicy {
    pub fn new(config: PolicyConfig) -> Self {
        Self { config, label: config.to_string().into() }
    }
}
