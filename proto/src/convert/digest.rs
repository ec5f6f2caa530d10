//! Digests of block sets.

use crate::v1;
use warmpath_core::block::BlockRun;
use warmpath_core::event::Digest;
use warmpath_core::id::TierId;

/// Encodes a digest.
pub const fn digest_to_wire(digest: Digest) -> v1::Digest {
    v1::Digest { blocks: digest.blocks, xor: digest.xor }
}

/// Decodes a digest.
pub const fn digest_from_wire(digest: &v1::Digest) -> Digest {
    Digest { blocks: digest.blocks, xor: digest.xor }
}

/// The digest by which the receiver of these blocks checks the transfer.
pub fn checksum(run: &BlockRun) -> v1::Digest {
    let mut digest = Digest::default();
    digest.add(TierId::HBM, run);
    digest_to_wire(digest)
}
