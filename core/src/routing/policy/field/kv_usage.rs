//! The part of a worker's KV memory that requests use, as routers read it from its metrics.

use crate::id::WorkerId;
use crate::routing::view::FleetView;

/// From 0 to 1, by the worker's last report. None: no report.
pub(super) fn kv_usage(view: &FleetView<'_>, worker: WorkerId) -> Option<f64> {
    let (load, _) = view.load(worker)?;
    let total = view.worker(worker)?.alike().total_blocks?;
    Some((load.blocks_in_use as f64 / total.max(1) as f64).min(1.0))
}
