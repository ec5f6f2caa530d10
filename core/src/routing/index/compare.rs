//! What a source says of its blocks, compared with the index. A router on the wire and a simulated one ask here.

use super::state::PrefixIndex;
use crate::event::Digest;
use crate::id::SourceId;

/// The index is not what its source says. Only a snapshot repairs that.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// A batch is missing, or the source has restarted.
    #[error("heartbeat of batch {seq} of epoch {epoch}, index at {at:?}")]
    Behind {
        /// The source's epoch.
        epoch: u64,
        /// The last batch that the source sent.
        seq: u64,
        /// The last batch that the index has of it: (epoch, seq).
        at: Option<(u64, u64)>,
    },
    /// After the same batch the index has other blocks.
    #[error("its digest is {theirs:?}, the index has {ours:?}")]
    Differs {
        /// What the source has.
        theirs: Digest,
        /// What the index has of it.
        ours: Digest,
    },
}

impl PrefixIndex {
    /// Whether the index has applied the last batch that a source sent.
    pub fn check_heartbeat(
        &self,
        source: SourceId,
        (epoch, seq): (u64, u64),
    ) -> Result<(), Mismatch> {
        let at = self.position(source);
        match at == Some((epoch, seq)) {
            true => Ok(()),
            false => Err(Mismatch::Behind { epoch, seq, at }),
        }
    }

    /// Whether the index has what a source had after batch `of`. An index at another batch is not
    /// compared.
    pub fn check_digest(
        &self,
        source: SourceId,
        of: (u64, u64),
        theirs: Digest,
    ) -> Result<(), Mismatch> {
        if self.position(source) != Some(of) {
            return Ok(());
        }
        let ours = self.digest(source);
        match ours == theirs {
            true => Ok(()),
            false => Err(Mismatch::Differs { theirs, ours }),
        }
    }
}
