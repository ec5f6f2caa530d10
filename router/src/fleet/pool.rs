//! One pool of the router's configuration.

use crate::source::event::EventSource;
use warmpath_core::id::PoolId;

/// A pool and the feed of what it holds.
#[derive(Debug)]
pub struct PoolLink {
    /// Its place in the configuration.
    pub id: PoolId,
    pub url: String,
    /// Its name in metrics and logs.
    pub name: String,
    pub source: Box<dyn EventSource>,
}
