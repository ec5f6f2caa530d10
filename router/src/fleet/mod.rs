//! The workers, pools and siblings of one router, as data.
//!
//! - [`status`]: the members of the fleet, and what all workers agree on.
//! - [`worker`], [`pool`]: one of them: its number, its URL, and how to speak with it.
//! - [`connect`]: which protocols a worker or a pool at a URL speaks.
//! - [`roster`]: the workers by number. [`instances`]: which process is behind which number.
//! - [`siblings`]: other routers before the fleet.
//! - [`agreement`]: the model and the block size that the fleet serves.

pub mod agreement;
pub mod connect;
pub mod instances;
pub mod pool;
pub mod roster;
pub mod siblings;
pub mod status;
pub mod worker;
