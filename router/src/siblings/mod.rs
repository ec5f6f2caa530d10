//! Other routers before the same fleet: each tells the others what it sends, and books what they tell.
//!
//! - `service`: `warmpath.v1.Siblings`, on a listener of its own. `stream`: what one follower is told.
//! - `follow`: following one sibling. `addresses`: where there are siblings.
//! - `names`: workers, pools and tenants by name.
//!
//! What is to be told, and who is told, is in `telling`; who is followed is in `fleet/siblings`.

mod addresses;
mod follow;
mod names;
mod service;
mod stream;

pub use addresses::follow_all;
pub use service::serve;
