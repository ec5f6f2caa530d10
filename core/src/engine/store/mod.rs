//! The KV blocks of one worker or pool: which request uses which block, which block leaves next,
//! and what the tiers behind HBM hold.
//!
//! A request uses the store through a [`Lease`]. A lease holds named blocks, which other requests
//! may share, and reserved blocks, which are private until they are filled. A block without a
//! lease stays until its room is needed. Each tier has an [`eviction`] rule that chooses the next
//! block. The rule takes the end of a prompt before its start, so a tier always holds whole
//! prefixes.
//!
//! A block that leaves HBM moves to the next tier with [`Fill::Spill`], and from there to the
//! following one. A tier with [`Fill::WriteThrough`] gets its copy when the block is computed.
//! Each block is in at most one of HBM and the spill tiers.
//!
//! `block_store` has the state. The files beside it are its work: `find` looks a prompt up and
//! plans what to load, `leasing` is a lease's life, `loading` moves blocks to HBM, `room` evicts,
//! `keep` serves a pool, `reset` empties it, `check` holds the invariants.
//!
//! [`Fill::Spill`]: crate::engine::profile::Fill::Spill
//! [`Fill::WriteThrough`]: crate::engine::profile::Fill::WriteThrough

mod block_store;
mod check;
pub mod eviction;
mod find;
mod keep;
mod lease;
mod leasing;
mod loading;
mod quota;
mod reset;
mod room;
mod run;
mod tier;
mod transfer;

pub use crate::engine::tiers::Offer;
pub use block_store::BlockStore;
pub use lease::{Acquired, Hit, Lease, NoRoom};
pub use tier::Traffic;
pub use transfer::Fetch;
