//! Blocks in a call: what a worker's service for peers and a pool have in common.

use tonic::Status;
use warmpath_core::block::BlockRun;
use warmpath_core::time::Duration;
use warmpath_proto::convert;
use warmpath_proto::pool::Agreement;
use warmpath_proto::v1::{GetRequest, GetResponse, Stretch};

/// The blocks that a get asks for. An error says what differs between the two sides.
pub fn wanted(agreement: &Agreement, request: &GetRequest) -> Result<BlockRun, Status> {
    agreement.check(request.agreement.as_ref())?;
    stretch(agreement, request.blocks.as_ref())
}

/// The answer to a get whose blocks have left after this time.
pub fn sent(checksum: warmpath_proto::v1::Digest, after: Duration) -> GetResponse {
    GetResponse { sent_after_ns: after.as_nanos(), checksum: Some(checksum) }
}

/// A stretch of blocks in a message.
pub fn stretch(agreement: &Agreement, blocks: Option<&Stretch>) -> Result<BlockRun, Status> {
    let missing = || Status::invalid_argument("blocks: missing, expected a run of blocks");
    let blocks = blocks.ok_or_else(missing)?;
    convert::stretch_from_wire(agreement.block_size, blocks)
        .map_err(|error| Status::invalid_argument(format!("blocks: {error}")))
}
