//! Whether a source matches this router.

use crate::fleet::status::FleetTerms;
use crate::source::event::Announcement;

/// Whether a source keeps this router's pace.
pub fn check_speedup(announcement: &Announcement, ours: f64) -> Result<(), String> {
    let theirs = announcement.speedup;
    if theirs != ours {
        return Err(format!("speedup is {theirs}, this router's is {ours}"));
    }
    Ok(())
}

/// What a source has that all workers of a fleet must have in common.
pub fn terms(announcement: &Announcement) -> FleetTerms {
    FleetTerms { model: announcement.model.clone(), block_size: announcement.block_size }
}
