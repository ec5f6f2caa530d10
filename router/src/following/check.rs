//! Whether a source matches this router, and whether the index matches a source.

use crate::index::SharedIndex;
use crate::source::event::{Announcement, FeedEnd};
use warmpath_core::event::Digest;
use warmpath_core::id::SourceId;

/// Whether a source keeps this router's pace.
pub fn check_speedup(announcement: &Announcement, ours: f64) -> Result<(), String> {
    let theirs = announcement.speedup;
    if theirs != ours {
        return Err(format!("speedup is {theirs}, this router's is {ours}"));
    }
    Ok(())
}

/// Whether the index has applied the last batch that its source sent.
pub fn check_heartbeat(
    index: &SharedIndex,
    source: SourceId,
    (epoch, seq): (u64, u64),
) -> Result<(), FeedEnd> {
    let at = index.read().position(source);
    if at == Some((epoch, seq)) {
        return Ok(());
    }
    let why = format!("heartbeat of batch {seq} of epoch {epoch}, index at {at:?}");
    Err(FeedEnd::Resync { why, kind: "gap" })
}

/// Whether the index holds what its source held after batch `of`. An index at another batch is not
/// compared.
pub fn check_digest(
    index: &SharedIndex,
    source: SourceId,
    of: (u64, u64),
    theirs: Digest,
) -> Result<(), FeedEnd> {
    let index = index.read();
    if index.position(source) != Some(of) {
        return Ok(());
    }
    let ours = index.digest(source);
    if ours != theirs {
        let why = format!("its digest is {theirs:?}, the index has {ours:?}");
        return Err(FeedEnd::Resync { why, kind: "digest" });
    }
    Ok(())
}
