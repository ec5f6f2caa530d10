//! A number for one life of a process.

use std::time::SystemTime;

/// The epoch of a process that starts now. A restart has a higher one.
pub fn epoch_now() -> u64 {
    let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    epoch.map_or(1, |since| since.as_nanos() as u64)
}
