//! Calls to pools, peers and prefill workers over warmpath's own gRPC services.

mod holder;
mod kv_transfer;

pub use holder::BlockHolder;
pub use kv_transfer::KvTransfers;
