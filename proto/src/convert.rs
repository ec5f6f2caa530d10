//! Conversion between messages and core types. Only this module and the services that send and
//! receive messages use generated types.
//!
//! The reader passes in the source's id, because a worker does not know its number in the router.

mod digest;
mod error;
mod feed;
mod hello;
mod news;
mod runs;

pub use digest::{checksum, digest_from_wire, digest_to_wire};
pub use error::DecodeError;
pub use feed::{
    SnapshotReader, batch_from_wire, batch_to_wire, load_from_wire, load_to_wire, response,
    snapshot_to_wire,
};
pub use hello::{PoolInfo, check_block_size, hello_from_wire, hello_to_wire, pool_hello_to_wire};
pub use news::{Heard, Names, Numbers, follow_response, news_from_wire, news_to_wire};
pub use runs::{
    prompt_from_wire, prompt_to_wire, run_from_wire, run_to_wire, stretch_from_wire,
    stretch_to_wire,
};
