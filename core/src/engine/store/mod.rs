//! The KV blocks of one worker: who uses which, what may be thrown out, what waits in the tiers
//! behind HBM.
//!
//! A [`Lease`] is one request's hold on the store: blocks with a name, which it shares with others
//! and which stay while anyone holds them, and reserved blocks, which are its own until they are
//! filled. Blocks nobody holds stay until room is needed; each tier's [`eviction`] rule says which
//! go first, and of one prompt the last go first, so what is left is always a set of whole prefixes.
//!
//! What leaves HBM goes to the next tier that fills by spilling, and from there to the one behind
//! it; a tier that is written through has a copy from the start. A block is in at most one of HBM
//! and the tiers that fill by spilling.

mod block_store;
mod check;
pub mod eviction;
mod find;
mod keep;
mod lease;
mod leasing;
mod loading;
mod quota;
mod room;
mod run;
mod tier;
mod transfer;

pub use block_store::BlockStore;
pub use lease::{Acquired, Hit, Lease, NoRoom};
pub use tier::Traffic;
pub use transfer::{Fetch, Offer};
